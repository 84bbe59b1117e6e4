import { describe, expect, it } from 'vitest'

import { fromQuery, tidy, toQuery, without, type CaseFilter } from '../src/shared/filter'

const read = (text: string) => fromQuery(new URLSearchParams(text))

describe('the filter in the address', () => {
  it.each<[string, CaseFilter]>([
    ['stage=handling', { stage: ['handling'] }],
    ['light=red,yellow', { light: ['red', 'yellow'] }],
    ['category=component:0104,event:05', { category: ['component:0104', 'event:05'] }],
    ['bbox=116.6,40.07,116.7,40.15', { bbox: ['116.6', '40.07', '116.7', '40.15'] }],
    ['q=a,b', { q: ['a,b'] }],
    ['since=2026-11-01&until=2026-11-20', { since: ['2026-11-01'], until: ['2026-11-20'] }],
  ])('reads %s', (text, filter) => {
    expect(read(text)).toEqual(filter)
  })

  it('survives the way to the address and back, whatever was typed', () => {
    for (const q of ['路灯 & 井盖', 'a=b', '100%', 'x#y', '、，', '+1']) {
      const filter: CaseFilter = { status: ['open'], village: ['110113003201', '110113003202'], q: [q] }
      expect(read(toQuery(filter))).toEqual(filter)
    }
  })

  it('gives equal filters one address', () => {
    expect(toQuery({ village: ['b', 'a', 'a'], status: ['open'] })).toBe(toQuery({ status: ['open'], village: ['a', 'b'] }))
  })

  it('keeps the corners of an area in their order', () => {
    expect(tidy({ bbox: ['9', '1', '10', '2'] }).bbox).toEqual(['9', '1', '10', '2'])
    expect(tidy({ bbox: ['1', '1', '2', '2'] }).bbox).toHaveLength(4)
    expect(tidy({ bbox: ['1', '2'] }).bbox).toBeUndefined()
  })

  it('drops what says nothing', () => {
    expect(tidy({ stage: [], q: ['  '], village: [''] })).toEqual({})
    expect(toQuery({})).toBe('')
    expect(read('status=all')).toEqual({})
    expect(read('status=&nonsense=1')).toEqual({})
  })

  it('takes single parameters out without touching the given filter', () => {
    const filter: CaseFilter = { status: ['open'], light: ['red'] }
    expect(without(filter, 'light')).toEqual({ status: ['open'] })
    expect(filter.light).toEqual(['red'])
  })
})
