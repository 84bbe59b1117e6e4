/** The plan on the desk's map: unit grids to press, borders of duty grids, what is new, chosen or wrong. Knows MapLibre. */
import type { ExpressionSpecification, GeoJSONSource, LayerSpecification } from 'maplibre-gl'

import type { LonLat, PlainMap } from '../parts/plainmap'
import type { DutyGrid, GridFault, Shape, UnitGrid } from './api'
import { between, snap } from './borders'

const INK = '#16324f'
const BAD = '#c62828'
const FONT = ['Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', 'sans-serif']
const SNAP_PX = 10
const is = (name: string): ExpressionSpecification => ['boolean', ['get', name], false]
const paper = { 'text-color': '#1c242c', 'text-halo-color': '#ffffff', 'text-halo-width': 1.5 }

const LAYERS: LayerSpecification[] = [
  { id: 'plan-fill', type: 'fill', source: 'plan-grids', paint: { 'fill-color': ['case', is('faulty'), BAD, INK], 'fill-opacity': ['case', is('chosen'), 0.42, is('faulty'), 0.3, is('fresh'), 0.16, is('moved'), 0.1, 0.02] } },
  { id: 'plan-line', type: 'line', source: 'plan-grids', paint: { 'line-color': INK, 'line-opacity': 0.45, 'line-width': ['interpolate', ['linear'], ['zoom'], 12, 0.3, 16, 1] } },
  { id: 'plan-fresh', type: 'line', source: 'plan-grids', filter: is('fresh'), paint: { 'line-color': INK, 'line-width': 1.5, 'line-dasharray': [3, 2] } },
  { id: 'plan-duty', type: 'line', source: 'plan-duty', layout: { 'line-join': 'round' }, paint: { 'line-color': INK, 'line-width': ['interpolate', ['linear'], ['zoom'], 11, 1, 16, 3.5] } },
  { id: 'plan-chosen', type: 'line', source: 'plan-grids', filter: is('chosen'), paint: { 'line-color': INK, 'line-width': 3 } },
  { id: 'plan-number', type: 'symbol', source: 'plan-labels', minzoom: 15, filter: ['==', ['get', 'kind'], 'grid'], layout: { 'text-field': ['get', 'text'], 'text-font': FONT, 'text-size': 11 }, paint: paper },
  { id: 'plan-name', type: 'symbol', source: 'plan-labels', minzoom: 12.5, maxzoom: 16, filter: ['==', ['get', 'kind'], 'duty'], layout: { 'text-field': ['get', 'text'], 'text-font': FONT, 'text-size': 13 }, paint: { ...paper, 'text-color': INK, 'text-halo-width': 2 } },
  { id: 'plan-hand', type: 'circle', source: 'plan-hand', paint: { 'circle-radius': 5, 'circle-color': '#ffffff', 'circle-stroke-color': INK, 'circle-stroke-width': 2.5 } },
]

export interface Shown {
  shapes: ReadonlyMap<string, Shape>
  grids: readonly UnitGrid[]
  duties: readonly DutyGrid[]
  faults: readonly GridFault[]
  chosen: ReadonlySet<string>
  /** Grids that go to another duty grid. */
  moved: ReadonlySet<string>
}

const none: GeoJSON.FeatureCollection = { type: 'FeatureCollection', features: [] }
const point = (at: readonly number[], properties: Record<string, unknown>): GeoJSON.Feature => ({ type: 'Feature', properties, geometry: { type: 'Point', coordinates: [...at] } })

/** The middle of a ring's box: near enough for a label. */
function middle(shape: Shape): LonLat {
  const ring = shape.geometry.coordinates[0]!
  let [w, s, e, n] = [Infinity, Infinity, -Infinity, -Infinity]
  for (const [x = 0, y = 0] of ring) [w, s, e, n] = [Math.min(w, x), Math.min(s, y), Math.max(e, x), Math.max(n, y)]
  return [(w + e) / 2, (s + n) / 2]
}

export class GridMap {
  constructor(
    private readonly plain: PlainMap,
    pressed: (key: string) => void,
    private readonly drawing: () => boolean,
  ) {
    const { map } = plain
    for (const name of ['plan-grids', 'plan-duty', 'plan-labels', 'plan-hand']) map.addSource(name, { type: 'geojson', data: none })
    const names = map.getStyle().layers.filter((one) => one.type === 'symbol' && !one.id.startsWith('desk-') && !one.id.startsWith('case-'))
    for (const layer of LAYERS) map.addLayer(layer, 'desk-area-fill')
    // Thousands of borders would strike the ground's names through.
    for (const { id } of names) map.moveLayer(id, 'plan-number')
    map.on('click', 'plan-fill', (event) => {
      const key: unknown = event.features?.[0]?.properties.key
      if (key && !this.drawing()) pressed(String(key))
    })
    map.on('mousemove', 'plan-fill', () => (map.getCanvas().style.cursor = this.drawing() ? 'crosshair' : 'pointer'))
  }

  private set(name: string, data: GeoJSON.FeatureCollection): void {
    void this.plain.map.getSource<GeoJSONSource>(name)?.setData(data)
  }

  show({ shapes, grids, duties, faults, chosen, moved }: Shown): void {
    const faulty = new Set(faults.filter((fault) => !fault.hint).flatMap((fault) => fault.grids))
    const dutyOf = new Map(grids.map((grid) => [grid.key, grid.duty]))
    const features: GeoJSON.Feature[] = []
    const labels: GeoJSON.Feature[] = []
    const middles = new Map<string, LonLat[]>()
    for (const grid of grids) {
      const shape = shapes.get(grid.key)
      if (!shape) continue
      const { key, fresh } = grid
      features.push({ ...shape, properties: { key, fresh, chosen: chosen.has(key), faulty: faulty.has(key), moved: moved.has(key) } })
      const at = middle(shape)
      labels.push(point(at, { kind: 'grid', text: grid.code.slice(-3) }))
      middles.set(grid.duty, [...(middles.get(grid.duty) ?? []), at])
    }
    for (const duty of duties) {
      const places = middles.get(duty.key)
      if (!places) continue
      const sum = places.reduce<LonLat>((a, b) => [a[0] + b[0], a[1] + b[1]], [0, 0])
      labels.push(point([sum[0] / places.length, sum[1] / places.length], { kind: 'duty', text: duty.name }))
    }
    this.set('plan-grids', { type: 'FeatureCollection', features })
    this.set('plan-labels', { type: 'FeatureCollection', features: labels })
    this.set('plan-duty', { type: 'FeatureCollection', features: [between(shapes.values(), (key) => dutyOf.get(key) ?? '')] })
  }

  /** A ring around the node in the hand. */
  hold(at: LonLat | null): void {
    this.set('plan-hand', at ? { type: 'FeatureCollection', features: [point(at, {})] } : none)
  }

  /** The node or border within ten pixels of a place, or null. */
  snap(shapes: ReadonlyMap<string, Shape>, at: LonLat): LonLat | null {
    const zoom = this.plain.map.getZoom()
    const perDegree = (512 * 2 ** zoom) / 360
    const scale = [perDegree, perDegree / Math.cos((at[1] * Math.PI) / 180)] as const
    return snap(shapes.values(), at, scale, SNAP_PX)
  }
}

