/** The town's areas on the desk's map: one level at a time to choose from, the chosen one filled. Knows MapLibre. */
import type { FilterSpecification, LayerSpecification } from 'maplibre-gl'

import type { PlainMap } from '../parts/plainmap'

export const LEVELS = ['village', 'duty', 'grid'] as const
export type Level = (typeof LEVELS)[number]

const INK = '#16324f'
const SOURCE: Record<Level, { layer: string; minzoom: number }> = {
  village: { layer: 'divisions', minzoom: 0 },
  duty: { layer: 'duty_grids', minzoom: 9 },
  grid: { layer: 'unit_grids', minzoom: 11 },
}
const NONE: FilterSpecification = ['==', ['get', 'code'], '']
const ids = (level: Level) => ({ fill: `area-${level}-fill`, line: `area-${level}-line`, chosen: `area-${level}-chosen`, edge: `area-${level}-edge` })

function layersOf(level: Level): LayerSpecification[] {
  const { layer } = SOURCE[level]
  const of = { source: `area-${level}`, 'source-layer': layer } as const
  const only: { filter?: FilterSpecification } = level === 'village' ? { filter: ['==', ['get', 'level'], 'village'] } : {}
  const id = ids(level)
  return [
    // Drawn to be pressed: an area is where its inside is.
    { id: id.fill, type: 'fill', ...of, ...only, paint: { 'fill-color': INK, 'fill-opacity': 0.02 } },
    { id: id.line, type: 'line', ...of, ...only, paint: { 'line-color': INK, 'line-opacity': 0.5, 'line-width': level === 'grid' ? 0.6 : 1 } },
    { id: id.chosen, type: 'fill', ...of, filter: NONE, paint: { 'fill-color': INK, 'fill-opacity': 0.28 } },
    { id: id.edge, type: 'line', ...of, filter: NONE, paint: { 'line-color': INK, 'line-width': 2.5 } },
  ]
}

export function addAreas(plain: PlainMap, picked: (area: string) => void): void {
  const { map } = plain
  for (const level of LEVELS) {
    const { layer, minzoom } = SOURCE[level]
    map.addSource(`area-${level}`, { type: 'vector', tiles: [`${location.origin}/tiles/${layer}/{z}/{x}/{y}.mvt`], minzoom, maxzoom: 16 })
    for (const one of layersOf(level)) map.addLayer({ ...one, layout: { visibility: 'none' } } as LayerSpecification)
    map.on('mouseenter', ids(level).fill, () => (map.getCanvas().style.cursor = 'pointer'))
    map.on('mouseleave', ids(level).fill, () => (map.getCanvas().style.cursor = ''))
    map.on('click', ids(level).fill, (event) => {
      const code: unknown = event.features?.[0]?.properties.code
      if (code) picked(`${level}:${String(code)}`)
    })
  }
}

/** Outlines of one level, the chosen area filled whatever level it is of. */
export function showAreas(plain: PlainMap, level: Level, chosen: string): void {
  const [of = '', code = ''] = chosen.split(':')
  for (const each of LEVELS) {
    const id = ids(each)
    const picking = each === level
    const fits = each === of || (of === 'class' && each === 'grid')
    for (const layer of [id.fill, id.line]) plain.map.setLayoutProperty(layer, 'visibility', picking ? 'visible' : 'none')
    for (const layer of [id.chosen, id.edge]) {
      plain.map.setFilter(layer, fits ? ['==', ['get', of === 'class' ? 'area_class' : 'code'], code] : NONE)
      plain.map.setLayoutProperty(layer, 'visibility', fits ? 'visible' : 'none')
    }
    // The edges of thousands of grids of a class would hide the town.
    if (of === 'class') plain.map.setLayoutProperty(id.edge, 'visibility', 'none')
  }
}
