/** The wall's map as data: sources and layers over the town's basemap. Knows no widgets and reads nothing. */
import type {
  DataDrivenPropertyValueSpecification as Value,
  ExpressionSpecification as Expression,
  LayerSpecification,
  SourceSpecification,
  StyleSpecification,
} from 'maplibre-gl'

import { COLOUR } from '../../shared/lights'
import type { LayerName } from '../state'
import { PARTS } from './symbols'

const FONT = ['Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', 'sans-serif']
const GROUND = '#12181e'
/** Neutral ramp of numbers on areas: brightness, never a colour of state. */
export const RAMP = ['#1b242d', '#3b4a58', '#66788a', '#9db0c1', '#e6eef5'] as const

/** Layers of the filter's cases. */
export const CASE_LAYERS = ['case-points-far', 'case-clusters-far', 'case-points-near', 'case-clusters-near'] as const

/** Map layers behind each entry of the layer tree. */
export const PARTS_OF: Readonly<Record<LayerName, readonly string[]>> = {
  choropleth: ['choropleth-villages', 'choropleth-grids'],
  unitGrids: ['unit-grids'],
  dutyGrids: ['duty-grids'],
  villages: ['villages', 'villages-here', 'village-names'],
  components: ['component-clusters', 'component-points'],
  heat: ['heat', 'heat-cells'],
  cases: [...CASE_LAYERS, 'drill-points'],
  inspectors: ['inspectors'],
  panoramas: ['panoramas'],
}

/** From here on single unit grids are readable: numbers move from villages to grids. */
export const GRID_ZOOM = 13.5
/** Up to here cases are drawn as few large clusters that can be read from afar, beyond in the finest cells. */
export const NEAR_ZOOM = 15
/** From here on the server tells every case apart; further in the tiles are drawn larger, not asked again. */
export const CASE_TILE_ZOOM = 17

const get = (name: string): Expression => ['get', name]

/** Same decision as `markOf` in shared/lights.ts, over a tile's properties. */
export const MARK: Expression = [
  'case',
  ['!=', get('status'), 'open'],
  'done',
  ['==', get('kind'), 'whistle'],
  'whistle',
  ['==', get('light'), 'red'],
  'late',
  ['==', get('light'), 'yellow'],
  'soon',
  ['match', get('stage'), ['report', 'acceptance'], true, false],
  'new',
  ['==', get('light'), 'none'],
  'new',
  'onTime',
]

const N: Expression = ['to-number', get('n'), 1]
const single: Expression = ['<=', N, 1]
const share = (name: string): Expression => ['ceil', ['/', ['*', PARTS, ['to-number', get(name), 0]], N]]
const RING: Expression = ['concat', 'ring-', ['step', N, 0, 10, 1, 100, 2, 1000, 3], '-', share('red'), '-', share('yellow')]

/** 950 · 1.2万 (or 12k). */
export const clusterText = (chinese: boolean): Expression =>
  chinese
    ? ['case', ['>=', N, 10_000], ['concat', ['to-string', ['/', ['round', ['/', N, 1000]], 10]], '万'], ['to-string', N]]
    : ['case', ['>=', N, 10_000], ['concat', ['to-string', ['round', ['/', N, 1000]]], 'k'], ['to-string', N]]

const state: Expression = ['feature-state', 'value']
const ramp = (share: Expression): Expression => [
  'interpolate',
  ['linear'],
  ['coalesce', share, 0],
  ...RAMP.flatMap((colour, i) => [i / (RAMP.length - 1), colour]),
] as Expression
/** Brightness by the area's number relative to the largest; areas without a number stay clear. */
const rampColour = ramp(state)
/** The share of a unit grid that was seen, or that it is not known; none where nobody asks. */
const seen: Expression = ['coalesce', ['feature-state', 'seen'], -2]
export const UNKNOWN = -1
const rampOpacity = (opacity: number): Expression => ['case', ['>', ['coalesce', state, 0], 0], 0.5 * opacity, 0]

/** The villages with these codes. */
export const here = (codes: readonly string[]): Expression => ['in', get('code'), ['literal', [...codes]]]

const empty: GeoJSON.FeatureCollection = { type: 'FeatureCollection', features: [] }
const points = (): SourceSpecification => ({ type: 'geojson', data: empty, promoteId: 'id' })

const tiles = (layer: string, query = ''): string => `${location.origin}/tiles/${layer}/{z}/{x}/{y}.mvt${query && `?${query}`}`
/** Sources of cases: cells along a tile's edge and the zooms they are for. */
export const CASE_SOURCES = { 'wall-cases-far': 8, 'wall-cases-near': 64 } as const
export const caseTiles = (query: string, cells: number): string[] => [tiles('cases', [query, `cells=${cells}`].filter(Boolean).join('&'))]
export const heatTiles = (query: string): string[] => [tiles('heat', query)]
export const componentTiles = (categories: readonly string[]): string[] => [
  tiles('components', categories.length ? `category=${categories.map(encodeURIComponent).join(',')}` : ''),
]

export interface StyleOptions {
  shown: readonly LayerName[]
  chinese: boolean
  cases: string
  components: readonly string[]
  villages: GeoJSON.FeatureCollection | null
  names: GeoJSON.FeatureCollection
}

/** Kernel density: every case weighs the same, a cell's weight is its number of cases. How bright the densest is shown is the
 * scale's: relative to what a crowded cell holds here, so that a quiet town and a busy one both show their own crowds. */
export const heatIntensity = (crowded: number): number => 0.9 / crowded

/** What one sees of cells: brightness by number, the fullest the brightest. */
export const CELL_RAMP = ['#3a342c', '#6d5d4a', '#a98f6f', '#dcc4a0', '#fff8ec'] as const
export const cellColour = (top: number): Expression =>
  ['interpolate', ['linear'], ['sqrt', ['/', get('n'), Math.max(1, top)]], ...CELL_RAMP.flatMap((colour, i) => [i / (CELL_RAMP.length - 1), colour])] as Expression

/** Clusters and single cases of one of the two sources. */
export function caseLayers(range: 'far' | 'near', chinese: boolean): LayerSpecification[] {
  const common = {
    type: 'symbol',
    source: `wall-cases-${range}`,
    'source-layer': 'cases',
    ...(range === 'far' ? { maxzoom: NEAR_ZOOM } : { minzoom: NEAR_ZOOM }),
  } as const
  // Always drawn, but names make way for them.
  const always = { 'icon-allow-overlap': true }
  return [
    { ...common, id: `case-points-${range}`, filter: single, layout: { 'icon-image': ['concat', 'mark-', MARK], ...always } },
    { ...common, id: `case-clusters-${range}`, filter: ['>', N, 1], layout: {
      'icon-image': RING, ...always, 'symbol-sort-key': N,
      'text-field': clusterText(chinese), 'text-font': FONT, 'text-size': ['step', N, 12, 100, 13, 1000, 14], 'text-allow-overlap': true,
    }, paint: { 'text-color': '#ffffff' } },
  ]
}

/** The whole style: `base` (null when it could not be read) below, the town's life above. */
export function wallStyle(base: StyleSpecification | null, o: StyleOptions): StyleSpecification {
  const text = (size: number) => ({ 'text-font': FONT, 'text-size': size })
  const halo = { 'text-halo-color': GROUND, 'text-halo-width': 1.4 }
  const vector = (url: string, maxzoom: number, id?: string): SourceSpecification => ({
    type: 'vector',
    tiles: [url],
    maxzoom,
    ...(id && { promoteId: id }),
  })

  const sources: Record<string, SourceSpecification> = {
    'wall-villages': { type: 'geojson', data: o.villages ?? empty, promoteId: 'code' },
    'wall-village-names': { type: 'geojson', data: o.names },
    'wall-unit-grids': vector(tiles('unit_grids'), 16, 'code'),
    'wall-duty-grids': vector(tiles('duty_grids'), 16, 'code'),
    'wall-components': vector(componentTiles(o.components)[0]!, 17),
    'wall-heat': vector(heatTiles(o.cases)[0]!, 16),
    'wall-cases-far': vector(caseTiles(o.cases, CASE_SOURCES['wall-cases-far'])[0]!, NEAR_ZOOM),
    'wall-cases-near': vector(caseTiles(o.cases, CASE_SOURCES['wall-cases-near'])[0]!, CASE_TILE_ZOOM),
    'wall-drill': points(),
    'wall-inspectors': points(),
    'wall-panoramas': points(),
    'wall-chosen': points(),
    'wall-fresh': points(),
    'wall-cells': { type: 'geojson', data: empty, promoteId: 'cell' },
  }

  const hidden = new Set((Object.keys(PARTS_OF) as LayerName[]).filter((name) => !o.shown.includes(name)).flatMap((name) => PARTS_OF[name]))

  const heatColour: Expression = [
    'interpolate', ['linear'], ['heatmap-density'],
    0, 'rgba(0,0,0,0)', 0.15, 'rgba(92,80,66,0.55)', 0.45, 'rgba(158,134,104,0.75)', 0.75, 'rgba(219,196,160,0.88)', 1, 'rgba(255,248,236,0.95)',
  ]

  const layers: LayerSpecification[] = [
    { id: 'choropleth-villages', type: 'fill', source: 'wall-villages', maxzoom: GRID_ZOOM, paint: { 'fill-color': rampColour, 'fill-opacity': rampOpacity(1) } },
    { id: 'choropleth-grids', type: 'fill', source: 'wall-unit-grids', 'source-layer': 'unit_grids', minzoom: GRID_ZOOM, paint: { 'fill-color': rampColour, 'fill-opacity': rampOpacity(1) } },
    { id: 'coverage-grids', type: 'fill', source: 'wall-unit-grids', 'source-layer': 'unit_grids', minzoom: 11, layout: { visibility: 'none' }, paint: { 'fill-color': ramp(seen), 'fill-opacity': ['case', ['>=', seen, 0], 0.75, 0] } },
    { id: 'coverage-unknown', type: 'fill', source: 'wall-unit-grids', 'source-layer': 'unit_grids', minzoom: 11, layout: { visibility: 'none' }, paint: { 'fill-pattern': 'hatch', 'fill-opacity': ['case', ['==', seen, UNKNOWN], 0.5, 0] } },
    { id: 'heat', type: 'heatmap', source: 'wall-heat', 'source-layer': 'heat', paint: {
      'heatmap-weight': N,
      'heatmap-intensity': heatIntensity(10),
      // Wider than the cells the weights stand at, or one would see the cells instead of the density.
      'heatmap-radius': ['interpolate', ['linear'], ['zoom'], 10, 28, 13, 52, 16, 84],
      'heatmap-color': heatColour,
    } },
    { id: 'heat-cells', type: 'fill', source: 'wall-cells', paint: { 'fill-color': cellColour(1), 'fill-opacity': 0.72, 'fill-outline-color': '#12181e' } },
    { id: 'village-areas', type: 'fill', source: 'wall-villages', maxzoom: GRID_ZOOM, paint: { 'fill-opacity': 0 } },
    { id: 'unit-grid-areas', type: 'fill', source: 'wall-unit-grids', 'source-layer': 'unit_grids', minzoom: GRID_ZOOM, paint: { 'fill-opacity': 0 } },
    { id: 'unit-grids', type: 'line', source: 'wall-unit-grids', 'source-layer': 'unit_grids', minzoom: 13, paint: { 'line-color': '#7f92a5', 'line-width': ['interpolate', ['linear'], ['zoom'], 13, 0.3, 17, 1.2], 'line-opacity': 0.55 } },
    { id: 'duty-grids', type: 'line', source: 'wall-duty-grids', 'source-layer': 'duty_grids', minzoom: 11, paint: { 'line-color': '#c3cfda', 'line-width': 1.2, 'line-dasharray': [3, 2] } },
    { id: 'villages', type: 'line', source: 'wall-villages', paint: { 'line-color': '#aab9c7', 'line-width': ['interpolate', ['linear'], ['zoom'], 10, 0.8, 15, 2], 'line-opacity': 0.7 } },
    { id: 'villages-here', type: 'line', source: 'wall-villages', filter: here([]), layout: { 'line-join': 'round' }, paint: { 'line-color': '#ffffff', 'line-width': ['interpolate', ['linear'], ['zoom'], 10, 2, 15, 5] } },
    { id: 'component-clusters', type: 'circle', source: 'wall-components', 'source-layer': 'components', minzoom: 13, filter: ['>', N, 1], paint: {
      'circle-color': '#b9c6d2', 'circle-opacity': 0.5,
      'circle-radius': ['interpolate', ['linear'], N, 2, 2, 50, 5, 500, 9],
    } },
    { id: 'component-points', type: 'symbol', source: 'wall-components', 'source-layer': 'components', minzoom: 13, filter: single, layout: {
      'icon-image': ['concat', 'component-', ['slice', ['coalesce', get('category'), 'component:01'], 10, 12]],
      'icon-size': ['interpolate', ['linear'], ['zoom'], 14, 0.5, 18, 1.1], 'icon-allow-overlap': true, 'icon-ignore-placement': true,
    } },
    { id: 'village-names', type: 'symbol', source: 'wall-village-names', minzoom: 11.5, maxzoom: 16, layout: { 'text-field': get('name'), ...text(13), 'text-max-width': 8, 'text-variable-anchor': ['center', 'top', 'bottom', 'left', 'right'], 'text-radial-offset': 1.6 }, paint: { 'text-color': '#dbe4ec', ...halo } },
    { id: 'inspectors', type: 'symbol', source: 'wall-inspectors', layout: {
      'icon-image': ['concat', 'person-', get('state')], 'icon-size': ['interpolate', ['linear'], ['zoom'], 11, 0.6, 14, 1], 'icon-allow-overlap': true, 'icon-ignore-placement': true,
      'text-field': ['step', ['zoom'], '', 14, get('name')] as Value<string>, ...text(12), 'text-offset': [0, 1.2], 'text-anchor': 'top', 'text-optional': true,
    }, paint: { 'text-color': '#ffffff', ...halo } },
    { id: 'panoramas', type: 'circle', source: 'wall-panoramas', paint: { 'circle-radius': 7, 'circle-color': '#12181e', 'circle-stroke-color': '#e6ecf2', 'circle-stroke-width': 3 } },
    ...caseLayers('far', o.chinese),
    ...caseLayers('near', o.chinese),
    { id: 'drill-points', type: 'symbol', source: 'wall-drill', layout: { 'icon-image': ['concat', 'mark-', get('mark')], 'icon-allow-overlap': true, 'icon-ignore-placement': true } },
    { id: 'chosen', type: 'circle', source: 'wall-chosen', paint: { 'circle-radius': 16, 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': '#ffffff', 'circle-stroke-width': 2.5 } },
    { id: 'fresh', type: 'circle', source: 'wall-fresh', paint: {
      'circle-radius': ['+', 8, ['*', 30, ['sqrt', get('age')]]], 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': COLOUR.new,
      'circle-stroke-width': 3, 'circle-stroke-opacity': ['-', 1, get('age')],
    } },
  ]

  const own = layers.map((layer) => (hidden.has(layer.id) ? ({ ...layer, layout: { ...layer.layout, visibility: 'none' } } as LayerSpecification) : layer))
  return withGround(base, { version: 8, sources, layers: own })
}

const BARE = [{ id: 'ground', type: 'background', paint: { 'background-color': GROUND } } as const]

/** What is drawn (without a ground, or over the bare one) over a ground, or over the bare one for null. */
export function withGround(base: StyleSpecification | null, drawn: StyleSpecification): StyleSpecification {
  // Areas and lines go under the ground's names; village names are ours, since they belong to a layer one can hide.
  const ground = (base?.layers ?? BARE).filter((layer) => layer.id !== 'village-name')
  const own = drawn.layers.filter((layer) => layer.type !== 'background')
  const isName = (layer: LayerSpecification) => layer.type === 'symbol'
  const isLow = (layer: LayerSpecification) => layer.type === 'fill' || layer.type === 'line'
  return {
    ...drawn,
    ...base,
    sources: { ...base?.sources, ...drawn.sources },
    layers: [
      ...ground.filter((layer) => !isName(layer)),
      ...own.filter(isLow),
      ...ground.filter(isName),
      ...own.filter((layer) => !isLow(layer)),
    ],
  }
}

/** Which paint properties carry a layer's opacity, and their value at full strength. */
export function opacityOf(layer: LayerSpecification, opacity: number): [string, unknown][] {
  if (layer.id.startsWith('choropleth')) return [['fill-opacity', rampOpacity(opacity)]]
  if (layer.id === 'unit-grids') return [['line-opacity', 0.55 * opacity]]
  if (layer.id === 'villages') return [['line-opacity', 0.7 * opacity]]
  if (layer.id === 'heat-cells') return [['fill-opacity', 0.72 * opacity]]
  if (layer.id === 'component-clusters') return [['circle-opacity', 0.5 * opacity]]
  const names = { line: ['line-opacity'], symbol: ['icon-opacity', 'text-opacity'], heatmap: ['heatmap-opacity'], circle: ['circle-opacity'] }
  return (names[layer.type as keyof typeof names] ?? []).map((name) => [name, opacity])
}
