import { describe, expect, it } from 'vitest'
import { createExpression, latest } from '@maplibre/maplibre-gl-style-spec'

import { clocksOf, COLOUR, markOf, MARKS, SHAPE, type Lit } from '../src/shared/lights'
import { MARK } from '../src/wall/map/style'

const STAGES = ['report', 'acceptance', 'filing', 'dispatch', 'handling', 'feedback', 'check', 'closing']

describe('the mark of a case', () => {
  it.each<[string, Lit]>([
    ['late', { light: 'red', stage: 'handling', status: 'open', kind: 'case' }],
    ['soon', { light: 'yellow', stage: 'dispatch', status: 'open', kind: 'case' }],
    ['onTime', { light: 'green', stage: 'handling', status: 'open', kind: 'case' }],
    ['new', { light: 'none', stage: 'acceptance', status: 'open', kind: 'case' }],
    ['new', { light: 'none', stage: 'filing', status: 'open', kind: 'case' }],
    ['new', { light: 'green', stage: 'acceptance', status: 'open', kind: 'case' }],
    ['whistle', { light: 'red', stage: 'handling', status: 'open', kind: 'whistle' }],
    ['done', { light: 'none', stage: 'closing', status: 'closed', kind: 'whistle' }],
    ['done', { light: 'none', stage: 'acceptance', status: 'void', kind: 'case' }],
  ])('is %s', (mark, item) => {
    expect(markOf(item)).toBe(mark)
  })

  it('is the same on the map as in the list, for everything a case can be', () => {
    const parsed = createExpression(MARK, latest.layout_symbol['text-field'] as never)
    if (parsed.result === 'error') throw new Error(parsed.value.map(String).join())
    for (const status of ['open', 'closed', 'void'])
      for (const stage of STAGES)
        for (const light of ['green', 'yellow', 'red', 'none'])
          for (const kind of ['case', 'hotline', 'whistle']) {
            const item = { status, stage, light, kind }
            const drawn = parsed.value.evaluate({ zoom: 15 } as never, { type: 'Point', properties: item } as never)
            expect(String(drawn), JSON.stringify(item)).toBe(markOf(item))
          }
  })

  it('names the clocks that made it', () => {
    expect(clocksOf({ light: 'red', handling_light: 'red', stage_light: 'yellow' })).toEqual(['handling_light'])
    expect(clocksOf({ light: 'red', handling_light: 'none', stage_light: 'red' })).toEqual(['stage_light'])
    expect(clocksOf({ light: 'yellow', handling_light: 'yellow', stage_light: 'yellow' })).toEqual(['handling_light', 'stage_light'])
    expect(clocksOf({ light: 'green', handling_light: 'green', stage_light: 'green' })).toEqual([])
  })

  it('has a colour and a shape of its own', () => {
    expect(new Set(MARKS.map((mark) => COLOUR[mark])).size).toBe(MARKS.length)
    expect(new Set(MARKS.map((mark) => SHAPE[mark])).size).toBe(MARKS.length)
  })
})
