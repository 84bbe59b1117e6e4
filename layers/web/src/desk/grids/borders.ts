/** Borders of the shown grids: which part duty grids, what lies under the pointer. Pure; places are [lon, lat] degrees. */
import type { LonLat } from '../parts/plainmap'
import type { Shape } from './api'

const nodeKey = (at: readonly number[]) => `${at[0]},${at[1]}`

/** Every border once: its ends, and the grids on its sides (one at the town's rim). */
export function borders(shapes: Iterable<Shape>): { ends: [LonLat, LonLat]; sides: string[] }[] {
  const found = new Map<string, { ends: [LonLat, LonLat]; sides: string[] }>()
  for (const shape of shapes)
    for (const ring of shape.geometry.coordinates)
      for (let i = 1; i < ring.length; i += 1) {
        const [a, b] = [ring[i - 1]!, ring[i]!]
        const [from, to] = [nodeKey(a), nodeKey(b)]
        const key = from < to ? `${from};${to}` : `${to};${from}`
        const known = found.get(key)
        if (known) known.sides.push(shape.properties.key)
        else found.set(key, { ends: [a as LonLat, b as LonLat], sides: [shape.properties.key] })
      }
  return [...found.values()]
}

/** The borders between grids of different groups, as lines to draw. */
export function between(shapes: Iterable<Shape>, groupOf: (key: string) => string): GeoJSON.Feature {
  const lines = borders(shapes)
    .filter(({ sides }) => sides.length < 2 || groupOf(sides[0]!) !== groupOf(sides[1]!))
    .map(({ ends }) => ends)
  return { type: 'Feature', properties: {}, geometry: { type: 'MultiLineString', coordinates: lines } }
}

/**
 * The node nearest to a place, or else the nearest place on a border, if either is within `reach` of it; `scale` tells
 * what a degree of longitude and of latitude are in the unit of `reach`.
 */
export function snap(shapes: Iterable<Shape>, at: LonLat, scale: readonly [number, number], reach: number): LonLat | null {
  let node: LonLat | null = null
  let foot: LonLat | null = null
  let [nodeAway, footAway] = [reach, reach]
  const [x, y] = [at[0] * scale[0], at[1] * scale[1]]
  for (const { geometry } of shapes)
    for (const ring of geometry.coordinates)
      for (let i = 1; i < ring.length; i += 1) {
        const [a, b] = [ring[i - 1]!, ring[i]!]
        const [ax, ay, bx, by] = [a[0]! * scale[0], a[1]! * scale[1], b[0]! * scale[0], b[1]! * scale[1]]
        const away = Math.hypot(ax - x, ay - y)
        if (away <= nodeAway) [node, nodeAway] = [a as LonLat, away]
        const length = (bx - ax) ** 2 + (by - ay) ** 2
        const share = length ? Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length)) : 0
        const side = Math.hypot(ax + (bx - ax) * share - x, ay + (by - ay) * share - y)
        if (side <= footAway) [foot, footAway] = [[a[0]! + (b[0]! - a[0]!) * share, a[1]! + (b[1]! - a[1]!) * share], side]
      }
  return node ?? foot
}

/** The corners of the box around a shape: west, south, east, north. */
export function box(shape: Shape): [number, number, number, number] {
  const ring = shape.geometry.coordinates[0]!
  const [xs, ys] = [ring.map((p) => p[0]!), ring.map((p) => p[1]!)]
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]
}
