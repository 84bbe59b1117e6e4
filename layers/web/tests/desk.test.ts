import { describe, expect, it } from 'vitest'

import { entryOf, mayUse, type NavEntry } from '../src/desk/area'
import { ApiError, isPassing } from '../src/shared/api'
import { COLOUR_ON_LIGHT, MARKS } from '../src/shared/lights'
import { catalogues, messages } from '../src/shared/messages'

const entry = (path: string, rest: Partial<NavEntry> = {}): NavEntry => ({ path, title: 'app.all', icon: {}, order: 1, ...rest })
const me = (roles: string[], permissions: string[]) => ({ roles: roles.map((role) => ({ role, scope: 'town', scope_code: '' })), permissions })

describe('who may use an area', () => {
  it('asks for the permission and for one of the roles', () => {
    expect(mayUse(entry('/a', { permission: 'case.view' }), me(['leader'], []))).toBe(false)
    expect(mayUse(entry('/a', { permission: 'case.view' }), me([], ['case.view']))).toBe(true)
    expect(mayUse(entry('/a', { roles: ['leader', 'evaluator'] }), me(['evaluator'], []))).toBe(true)
    expect(mayUse(entry('/a', { permission: 'case.view', roles: ['leader'] }), me(['handler'], ['case.view']))).toBe(false)
    expect(mayUse(entry('/a'), me([], []))).toBe(true)
  })

  it('finds the entry an address lies under, the nearest one', () => {
    const nav = [entry('/a'), entry('/a/b'), entry('/ab')]
    expect(entryOf(nav, '/a')).toBe(nav[0])
    expect(entryOf(nav, '/a/x')).toBe(nav[0])
    expect(entryOf(nav, '/a/b/c')).toBe(nav[1])
    expect(entryOf(nav, '/abc')).toBeUndefined()
  })
})

describe('a failure', () => {
  it('is worth another try unless a rule refuses', () => {
    const statuses = [0, 400, 403, 404, 409, 422, 429, 500, 503]
    expect(statuses.filter((status) => isPassing(new ApiError(status, 'code', '', '')))).toEqual([0, 409, 429, 500, 503])
    expect(isPassing(new TypeError('broken'))).toBe(true)
  })
})

describe('the catalogue of strings', () => {
  it('holds no key twice', () => {
    const keys = Object.values(catalogues).flatMap((catalogue) => Object.keys(catalogue))
    expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([])
    expect(Object.keys(messages)).toHaveLength(keys.length)
  })
})

/** Relative luminance after WCAG. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = parseInt(hex.slice(i, i + 2), 16) / 255
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

describe('marks on the light ground', () => {
  it.each(MARKS)('%s stands out from white as text would', (mark) => {
    expect(1.05 / (luminance(COLOUR_ON_LIGHT[mark]) + 0.05)).toBeGreaterThan(4.5)
  })
})
