import { describe, expect, it } from 'vitest'

import type { Shape } from '../src/desk/grids/api'
import { between, borders, box, snap } from '../src/desk/grids/borders'

const square = (key: string, west: number, south = 0): Shape => ({
  type: 'Feature',
  properties: { key },
  geometry: { type: 'Polygon', coordinates: [[[west, south], [west + 1, south], [west + 1, south + 1], [west, south + 1], [west, south]]] },
})
const row = [square('a', 0), square('b', 1), square('c', 2)]

describe('borders of grids', () => {
  it('stand once, with the grids on both sides', () => {
    const found = borders(row)
    expect(found).toHaveLength(10)
    expect(found.filter(({ sides }) => sides.length === 2).map(({ sides }) => sides.join(''))).toEqual(['ab', 'bc'])
  })

  it('between groups are drawn, and the rim', () => {
    const drawn = between(row, (key) => (key === 'c' ? '2' : '1')).geometry as GeoJSON.MultiLineString
    const inner = drawn.coordinates.filter(([a, b]) => a![0] === b![0] && a![0]! > 0 && a![0]! < 3)
    expect(inner.map(([a]) => a![0])).toEqual([2])
    expect(drawn.coordinates).toHaveLength(9)
  })
})

describe('what lies under the pointer', () => {
  it('is a node before a border, and nothing far from both', () => {
    expect(snap(row, [1.05, 0.95], [1, 1], 0.1)).toEqual([1, 1])
    expect(snap(row, [1.05, 0.5], [1, 1], 0.1)).toEqual([1, 0.5])
    expect(snap(row, [1.5, 0.5], [1, 1], 0.1)).toBeNull()
  })

  it('is told with the box of a shape', () => expect(box(row[1]!)).toEqual([1, 0, 2, 1]))
})
