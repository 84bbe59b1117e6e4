/** How a sketch looks on the map: its features as layers. Knows shapes and colours; asks nothing. */
import { shallowRef } from 'vue'

import { addressed } from '../state'
import type { WallMap } from '../map/wallmap'
import type { Sketch, SketchFeature } from './api'
import { bearing, overlay, ring, type Overlay, type Part } from './overlay'

/** The sketch in the address. */
export const sketchId = addressed('sketch')
/** What was drawn and not kept when the tool was put away. */
export const unsaved = shallowRef<{ sketch: Sketch; name: string; shared: boolean; features: SketchFeature[] } | null>(null)
/** The one whose features are drawn now. */
export const shownSketch = shallowRef('')

export const COLOURS = ['#ffffff', '#ff5d55', '#f4c534', '#3fc380', '#4aa8ff', '#b38cff'] as const
export const WIDTHS = [2, 3, 5] as const

const FONT = ['Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', 'sans-serif']
const PARTS: readonly Part[] = [
  { id: 'fill', type: 'fill', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': ['get', 'colour'], 'fill-opacity': 0.2 } },
  { id: 'line', type: 'line', filter: ['!=', ['geometry-type'], 'Point'], layout: { 'line-cap': 'round', 'line-join': 'round' }, paint: { 'line-color': ['get', 'colour'], 'line-width': ['get', 'width'] } },
  { id: 'head', type: 'symbol', filter: ['==', ['get', 'role'], 'head'], layout: { 'text-field': '▲', 'text-font': FONT, 'text-size': ['+', 10, ['*', 4, ['get', 'width']]], 'text-rotate': ['get', 'turn'], 'text-rotation-alignment': 'map', 'text-allow-overlap': true, 'text-ignore-placement': true }, paint: { 'text-color': ['get', 'colour'] } },
  { id: 'point', type: 'circle', filter: ['==', ['get', 'role'], 'point'], paint: { 'circle-radius': ['+', 3, ['get', 'width']], 'circle-color': ['get', 'colour'], 'circle-stroke-color': '#12181e', 'circle-stroke-width': 1.5 } },
  { id: 'label', type: 'symbol', filter: ['all', ['==', ['get', 'role'], 'label'], ['!=', ['get', 'label'], '']], layout: { 'text-field': ['get', 'label'], 'text-font': FONT, 'text-size': ['get', 'size'], 'text-offset': ['get', 'off'], 'text-allow-overlap': true, 'text-ignore-placement': true }, paint: { 'text-halo-color': '#12181e', 'text-halo-width': 1.6, 'text-color': ['get', 'colour'] } },
]

type Place = [number, number]

/** What is drawn of one feature: its shape, the head of an arrow, its label. */
function drawn(feature: SketchFeature): GeoJSON.Feature[] {
  const { shape, colour, width, label, radius_m } = feature.properties
  const look = { colour, width }
  const one = (geometry: GeoJSON.Geometry, role: string, more: object = {}): GeoJSON.Feature => ({ type: 'Feature', properties: { ...look, role, ...more }, geometry })
  const named = (at: Place, off: [number, number], size = 13) => one({ type: 'Point', coordinates: at }, 'label', { label, off, size })
  if (feature.geometry.type === 'Point') {
    const at = feature.geometry.coordinates as Place
    if (shape === 'text') return [named(at, [0, 0], 12 + width * 2)]
    if (shape === 'circle') return [one({ type: 'Polygon', coordinates: [ring(at, radius_m ?? 1)] }, 'shape'), named(at, [0, 0])]
    return [one(feature.geometry, 'point'), named(at, [0, 1.1])]
  }
  if (feature.geometry.type === 'LineString') {
    const line = feature.geometry.coordinates
    const [before, end] = [line[line.length - 2]!, line[line.length - 1]!]
    const head = shape === 'arrow' ? [one({ type: 'Point', coordinates: end }, 'head', { turn: bearing(before, end) })] : []
    return [one(feature.geometry, 'shape'), ...head, named(line[Math.floor((line.length - 1) / 2)] as Place, [0, -1])]
  }
  const edge = feature.geometry.coordinates[0]!
  const middle = (axis: 0 | 1) => (Math.min(...edge.map((p) => p[axis]!)) + Math.max(...edge.map((p) => p[axis]!))) / 2
  return [one(feature.geometry, 'shape'), named([middle(0), middle(1)], [0, 0])]
}

let layer: Overlay | null = null
let on: WallMap | null = null

/** Draws these features in the place of those shown. */
export function showSketch(map: WallMap, features: readonly SketchFeature[]): void {
  if (on !== map) {
    layer = overlay(map.map, 'sketch', PARTS)
    on = map
  }
  layer?.show(features.flatMap(drawn))
}
