import { createHash, randomBytes } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { FIRST_MS, LONGEST_MS, patience, wait } from '../src/core/backoff'
import { emptyForm, missing, reportBody } from '../src/core/draft'
import { gaps, needsDesk, payloadOf } from '../src/core/fields'
import { messages } from '../src/core/messages'
import { boxAround, metres, nearest } from '../src/core/near'
import { fit } from '../src/core/photo'
import { plainSha256 } from '../src/core/sha256'
import { ofOneClock } from '../src/core/track'
import type { ActionField, CaseAction, NearComponent, Place } from '../src/core/types'
import { uuid7 } from '../src/core/uuid7'

it('makes UUIDs of version 7 that sort by time', () => {
  // RFC 9562, appendix A.6: the moment 2022-02-22T19:22:22Z is 017f22e2-79b0.
  const first = uuid7(0x017f22e279b0, new Uint8Array([0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]))
  expect(first).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f')
  const made = Array.from({ length: 200 }, (_, n) => uuid7(1_700_000_000_000 + n * 7))
  expect([...made].sort()).toEqual(made)
  expect(new Set(Array.from({ length: 500 }, () => uuid7(5))).size).toBe(500)
  for (const id of made) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

it('waits with full jitter up to five minutes', () => {
  expect(wait(1, 0.999)).toBeLessThanOrEqual(FIRST_MS)
  expect(wait(4, 0.5)).toBe(FIRST_MS * 4)
  expect(wait(60, 0.999)).toBeLessThanOrEqual(LONGEST_MS)
  expect(wait(60, 0.999)).toBeGreaterThan(LONGEST_MS * 0.99)
  for (let tries = 0; tries < 80; tries++) expect(wait(tries, 0)).toBeGreaterThan(0)
  expect(patience(800_000)).toBe(110_000)
})

it('digests as others do, around every block border', () => {
  for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
    const content = randomBytes(size)
    expect(plainSha256(content)).toBe(createHash('sha256').update(content).digest('hex'))
  }
})

it('fits photos without making them larger', () => {
  expect(fit(4000, 3000)).toEqual({ width: 1600, height: 1200 })
  expect(fit(3000, 4000)).toEqual({ width: 1200, height: 1600 })
  expect(fit(800, 600)).toEqual({ width: 800, height: 600 })
  expect(fit(9000, 1)).toEqual({ width: 1600, height: 1 })
})

const component = (code: string, lon: number, lat: number): NearComponent => ({
  ...{ code, name: code, catalogue: 'cjt214-2007', category_code: '0101', distance_m: 0 },
  ...{ lon, lat },
})

it('finds the nearest components by distance', () => {
  // A degree of latitude is 111.2 km on the sphere used.
  expect(metres(116, 40, 116, 41)).toBeCloseTo(111_195, -1)
  const near = component('b', 116.65, 40.1101)
  const nearer = component('a', 116.65, 40.11005)
  const far = component('c', 116.65, 40.2)
  const found = nearest([far, near, nearer], 116.65, 40.11)
  expect(found.map((each) => each.code)).toEqual(['a', 'b'])
  expect(found[0]!.distance_m).toBeCloseTo(5.6, 0)
  const [west, south, east, north] = boxAround(116.65, 40.11, 400)
  expect(metres(west, 40.11, east, 40.11)).toBeCloseTo(400, -1)
  expect(metres(116.65, south, 116.65, north)).toBeCloseTo(400, -1)
})

const place: Place = { lon: 116.65, lat: 40.11, crs: 'EPSG:4326', accuracy_m: 8, at: '2026-11-20T02:00:00Z', by: 'gps' }
const facts = { id: 'i', catalogue: 'cjt214-2007', device: 'd', clock_offset_ms: 0, occurred_at: 0, version: '1', photos_left: 0 }

it('says what a report lacks', () => {
  expect(missing(emptyForm())).toEqual(['place', 'category'])
  expect(missing({ ...emptyForm(), component: component('c', 1, 2) })).toEqual([])
  expect(missing({ ...emptyForm(), place })).toEqual(['category'])
  expect(() => reportBody({ ...emptyForm(), place }, [], facts)).toThrow()
})

it('takes place and class from the component, else from the person', () => {
  const category = { kind: 'event' as const, code: '0101', name: '暴露垃圾' }
  const own = reportBody({ ...emptyForm(), place, category, fix: place, description: ' 路边 ' }, [], facts)
  expect(own).toMatchObject({ lon: 116.65, crs: 'EPSG:4326', category_kind: 'event', description: '路边', component_code: '' })
  const of = reportBody({ ...emptyForm(), place, category, component: component('c', 1, 2) }, [], facts)
  expect(of).toMatchObject({ lon: 1, lat: 2, crs: 'EPSG:4490', category_kind: 'component', category_code: '0101', component_code: 'c' })
})

it('says everything in both languages', () => {
  const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort()
  for (const [key, [zh, en]] of Object.entries(messages)) {
    expect(zh, key).not.toBe('')
    expect(holes(en), key).toEqual(holes(zh))
  }
})

describe('the fields of a step', () => {
  const field = (name: string, type: ActionField['type'], required = false): ActionField => ({ name, type, required, label: { zh: name, en: name } })
  const action = (...fields: ActionField[]): CaseAction => ({ action: 'a', name: { zh: '', en: '' }, effect: { zh: '', en: '' }, primary: false, to_state: 's', fields })

  it('are sent in the form the server takes', () => {
    const all = action(field('note', 'text'), field('n', 'number'), field('until', 'date'), field('helpers', 'departments'), field('gone', 'staff'), field('photos', 'photo'))
    expect(payloadOf(all, { note: ' 好 ', n: '2', until: '2026-11-20T18:30', helpers: ['D02'], gone: 'x' })).toEqual({
      note: '好',
      n: 2,
      until: '2026-11-20T18:30:00+08:00',
      helpers: ['D02'],
    })
    expect(payloadOf(all, { note: ' ', helpers: [] })).toEqual({})
  })

  it('name what is missing, and what only the desk has a field for', () => {
    const all = action(field('closing', 'closing_condition', true), field('helpers', 'departments', true), field('photos', 'photo', true))
    expect(gaps(all, { helpers: [] }, false).map((each) => each.name)).toEqual(['closing', 'helpers', 'photos'])
    expect(gaps(all, { closing: '1', helpers: ['D02'] }, true)).toEqual([])
    expect(needsDesk(all)).toBe(false)
    expect(needsDesk(action(field('who', 'staff', true)))).toBe(true)
    expect(needsDesk(action(field('who', 'staff')))).toBe(false)
  })
})

it('sends fixes of one reckoning of the clock at a time, in their order', () => {
  const fixes = [0, 0, 90_000, 90_000, 0].map((clock_ms, seq) => ({ seq, clock_ms }))
  expect(ofOneClock(fixes).map((fix) => fix.seq)).toEqual([0, 1])
  expect(ofOneClock(fixes.slice(2)).map((fix) => fix.seq)).toEqual([2, 3])
  expect(ofOneClock(fixes.slice(4)).map((fix) => fix.seq)).toEqual([4])
  const plain: { seq: number; clock_ms?: number }[] = [{ seq: 7 }, { seq: 8 }]
  expect(ofOneClock(plain)).toHaveLength(2)
  expect(ofOneClock([])).toEqual([])
})
