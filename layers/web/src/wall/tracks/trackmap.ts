/** What tracks draw on the wall's map: sources and layers of their own, gone with whoever drew them. White and grey only. */
import type { GeoJSONSource, LayerSpecification } from 'maplibre-gl'

import { COLOUR } from '../../shared/lights'
import type { WallMap } from '../map/wallmap'
import type { Point } from './api'

const FONT = ['Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', 'sans-serif']
const name = { 'text-field': ['get', 'name'], 'text-font': FONT, 'text-size': 12, 'text-offset': [0, 1.2], 'text-anchor': 'top', 'text-optional': true }
const halo = { 'text-color': '#ffffff', 'text-halo-color': '#12181e', 'text-halo-width': 1.4 }

type Layer = LayerSpecification extends infer One ? (One extends { source: string } ? Omit<One, 'id' | 'source'> : never) : never

/** By name: how each kind of feature is drawn, from below to above. */
const LAYERS = {
  gap: { type: 'line', paint: { 'line-color': '#a3b1bf', 'line-width': 2, 'line-dasharray': [1.5, 2] } },
  way: { type: 'line', layout: { 'line-cap': 'round', 'line-join': 'round' }, paint: { 'line-color': '#eaf0f5', 'line-width': ['interpolate', ['linear'], ['zoom'], 11, 1.5, 16, 3.5] } },
  mark: { type: 'symbol', layout: { 'text-field': '×', 'text-font': FONT, 'text-size': 16, 'text-allow-overlap': true }, paint: { 'text-color': '#c3cfda', 'text-halo-color': '#12181e', 'text-halo-width': 1.2 } },
  cell: { type: 'circle', paint: { 'circle-radius': ['interpolate', ['exponential', 2], ['zoom'], 11, 6, 17, 180], 'circle-color': '#eaf0f5', 'circle-opacity': 0.18, 'circle-stroke-color': '#eaf0f5', 'circle-stroke-width': 1, 'circle-stroke-opacity': 0.5 } },
  stop: { type: 'circle', paint: { 'circle-radius': ['interpolate', ['linear'], ['get', 'minutes'], 4, 6, 60, 14], 'circle-color': '#1d252d', 'circle-stroke-color': '#ffffff', 'circle-stroke-width': 2.5 } },
  case: { type: 'symbol', layout: { 'icon-image': ['concat', 'mark-', ['get', 'mark']], 'icon-allow-overlap': true, 'icon-ignore-placement': true } },
  person: { type: 'symbol', layout: { 'icon-image': ['concat', 'person-', ['get', 'state']], 'icon-allow-overlap': true, 'icon-ignore-placement': true, ...name }, paint: halo },
  grid: { type: 'circle', paint: { 'circle-radius': 9, 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': COLOUR.new, 'circle-stroke-width': 2.5 } },
} as unknown as Record<string, Layer>

export type Kind = 'gap' | 'way' | 'mark' | 'cell' | 'stop' | 'case' | 'person' | 'grid'

export const line = (places: readonly Point[]): GeoJSON.Feature => ({ type: 'Feature', geometry: { type: 'LineString', coordinates: places as Point[] }, properties: {} })
export const dot = (at: Point, properties: Record<string, unknown> = {}): GeoJSON.Feature => ({ type: 'Feature', geometry: { type: 'Point', coordinates: at }, properties })

export class TrackMap {
  private readonly wall: WallMap
  private readonly prefix: string
  private readonly kinds: readonly Kind[]

  /** Draws these kinds, in the order they are drawn upon each other. */
  constructor(wall: WallMap, prefix: string, kinds: readonly Kind[]) {
    this.wall = wall
    this.prefix = prefix
    this.kinds = kinds
    for (const kind of kinds) {
      const id = `${prefix}-${kind}`
      wall.map.addSource(id, { type: 'geojson', data: { type: 'FeatureCollection', features: [] } })
      wall.map.addLayer({ ...LAYERS[kind], id, source: id } as LayerSpecification)
    }
  }

  draw(kind: Kind, features: GeoJSON.Feature[]): void {
    this.wall.map.getSource<GeoJSONSource>(`${this.prefix}-${kind}`)?.setData({ type: 'FeatureCollection', features })
  }

  clear(): void {
    for (const kind of this.kinds) this.draw(kind, [])
  }

  remove(): void {
    for (const kind of this.kinds) {
      const id = `${this.prefix}-${kind}`
      // The map may have gone first.
      if (!this.wall.map.style) return
      if (this.wall.map.getLayer(id)) this.wall.map.removeLayer(id)
      if (this.wall.map.getSource(id)) this.wall.map.removeSource(id)
    }
  }
}
