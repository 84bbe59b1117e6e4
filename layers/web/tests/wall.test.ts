import { describe, expect, it } from 'vitest'

import { filterAddress, moved, placeAddress, placeOf, shownOf } from '../src/remote/steering'
import { following } from '../src/wall/scenes'
import { bars, range } from '../src/wall/timeline'

describe('the time slider', () => {
  it('loses no case and no day, however long the time', () => {
    for (const days of [1, 2, 119, 120, 121, 800]) {
      const today = '2026-11-20'
      const counts = Object.fromEntries(
        Array.from({ length: days }, (_, i) => [new Date(Date.parse(today) - i * 86_400_000).toISOString().slice(0, 10), i + 1]),
      )
      const made = bars(counts, today)
      expect(made.length).toBeLessThanOrEqual(120)
      expect(made.reduce((sum, bar) => sum + bar.n, 0)).toBe((days * (days + 1)) / 2)
      expect(made.at(-1)?.until).toBe(today)
      for (const [i, bar] of made.entries()) if (i) expect(Date.parse(bar.since) - Date.parse(made[i - 1]!.until)).toBe(86_400_000)
    }
  })

  it('finds the bars of a filter, all of them where it has no days', () => {
    const made = bars({ '2026-11-18': 1, '2026-11-20': 2 }, '2026-11-20')
    expect(made.map((bar) => bar.n)).toEqual([1, 0, 2])
    expect(range(made, undefined, undefined)).toEqual([0, 2])
    expect(range(made, '2026-11-19', '2026-11-19')).toEqual([1, 1])
    expect(range(made, '2026-01-01', '2026-12-31')).toEqual([0, 2])
    expect(range(made, '2027-01-01', undefined)).toEqual([2, 2])
  })

  it('has one empty bar for no case at all', () => {
    expect(bars({}, '2026-11-20')).toEqual([{ since: '2026-11-20', until: '2026-11-20', n: 0 }])
  })
})

describe('a remote', () => {
  it('sends a wall from what it shows to something else, and keeps the rest', () => {
    const shown = shownOf('?scene=village:110113003201&status=void#map=12.00/40.10000/116.60000')
    expect(shown).toEqual({ scene: { code: 'village', of: '110113003201' }, filter: { status: ['void'] }, place: '12.00/40.10000/116.60000' })
    expect(filterAddress(shown, { light: ['red'] })).toBe('?scene=village:110113003201&light=red')
    expect(filterAddress(shown, {})).toBe('?scene=village:110113003201&status=all')
    expect(placeAddress('?scene=heat#map=1/2/3', moved(shown.place, 0, 0, 1))).toBe('?scene=heat#map=13.00/40.10000/116.60000')
    const [, lat, lon] = moved(shown.place, 1, -1).split('/').map(Number)
    expect(lat).toBeLessThan(40.1)
    expect(lon).toBeGreaterThan(116.6)
  })

  it('goes near to a point and shows a town as a whole', () => {
    expect(placeOf({ lon: 116.6, lat: 40.1 })).toBe('16.5/40.10000/116.60000')
    // Half a degree of longitude is 2^12 · 512 / 720 = 2,913 of the world's pixels at zoom 12: 900 of them are 1.69 less.
    expect(placeOf({ lon: 0, lat: 0, bbox: [116.4, 40.0, 116.9, 40.1] })).toBe('10.31/40.05000/116.65000')
    expect(Number(placeOf({ lon: 0, lat: 0, bbox: [116.6, 39.8, 116.7, 40.2] }).split('/')[0])).toBeLessThan(10.31)
  })

  it('reads a scene that says nothing of its filter as the scene begins', () => {
    expect(shownOf('?scene=department:D02').filter).toEqual({ status: ['open'], department: ['D02'] })
    expect(shownOf('?status=all').filter).toEqual({})
  })
})

describe('rotation', () => {
  it('goes round, also from a scene that is none of its stops', () => {
    const stops = ['overview', 'village', 'department:D02']
    expect(following(stops, { code: 'overview', of: '' })).toBe('village')
    expect(following(stops, { code: 'village', of: '110113003201' })).toBe('department:D02')
    expect(following(stops, { code: 'department', of: 'D02' })).toBe('overview')
    expect(following(stops, { code: 'heat', of: '' })).toBe('overview')
    expect(following([], { code: 'heat', of: '' })).toBeUndefined()
  })
})
