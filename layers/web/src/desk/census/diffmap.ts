/** The differences of a draft on the desk's map, read as vector tiles. Knows MapLibre. Each kind has a shape of its own. */
import type { FilterSpecification, LayerSpecification } from 'maplibre-gl'

import type { PlainMap } from '../parts/plainmap'
import type { Kind } from './api'

const INK = '#16324f'
const SOURCE = 'census-differences'
const SIGN: Record<Kind, string> = { added: '＋', moved: '', changed: '■', removed: '✕' }
const FONT = ['Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', 'sans-serif']
const LAYERS = ['differences-line', 'differences-ends', 'differences-dot', 'differences-sign']

export function addDifferences(plain: PlainMap, tiles: string, picked: (number: number) => void): void {
  const { map } = plain
  const of = { source: SOURCE, 'source-layer': 'differences' } as const
  map.addSource(SOURCE, { type: 'vector', tiles: [tiles], minzoom: 9, maxzoom: 17 })
  const layers: LayerSpecification[] = [
    { id: 'differences-line', type: 'line', ...of, filter: ['==', ['geometry-type'], 'LineString'], paint: { 'line-color': INK, 'line-width': 2.5 } },
    // A circle on each of its ends, so that a short way is seen from afar.
    { id: 'differences-ends', type: 'circle', ...of, filter: ['==', ['geometry-type'], 'LineString'], paint: { 'circle-radius': 4, 'circle-color': '#ffffff', 'circle-stroke-color': INK, 'circle-stroke-width': 1.5 } },
    { id: 'differences-dot', type: 'circle', ...of, filter: ['==', ['geometry-type'], 'Point'], paint: { 'circle-radius': 7, 'circle-color': '#ffffff', 'circle-stroke-color': INK, 'circle-stroke-width': 1.5 } },
    { id: 'differences-sign', type: 'symbol', ...of, filter: ['==', ['geometry-type'], 'Point'], layout: {
      'text-field': ['match', ['get', 'kind'], 'added', SIGN.added, 'changed', SIGN.changed, 'removed', SIGN.removed, ''],
      'text-font': FONT, 'text-size': 11, 'text-allow-overlap': true,
    }, paint: { 'text-color': INK } },
  ]
  for (const layer of layers) map.addLayer(layer)
  map.on('click', ['differences-line', 'differences-ends', 'differences-dot'], (event) => {
    const number: unknown = event.features?.[0]?.properties.number
    if (typeof number === 'number') picked(number)
  })
}

/** Draws one kind, or all for ''. */
export function showKind(plain: PlainMap, kind: Kind | ''): void {
  for (const id of LAYERS) {
    const shape: FilterSpecification = ['==', ['geometry-type'], id === 'differences-line' || id === 'differences-ends' ? 'LineString' : 'Point']
    plain.map.setFilter(id, kind ? ['all', shape, ['==', ['get', 'kind'], kind]] : shape)
  }
}
