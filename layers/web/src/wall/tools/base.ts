/** Which ground lies under the map: the town's own, or the pictures of another basemap. */
import type { SymbolLayerSpecification } from 'maplibre-gl'
import { computed, shallowRef } from 'vue'

import { addressed } from '../state'
import type { WallMap } from '../map/wallmap'
import { mapApi, type Basemap } from './api'

export const basemaps = shallowRef<Basemap[]>([])
/** The chosen basemap's code; empty for the town's own. */
export const base = addressed('base')
export const chosen = computed(() => basemaps.value.find((one) => one.code === base.value && one.tiles && !one.lacks) ?? null)

export async function readBasemaps(): Promise<void> {
  basemaps.value = await mapApi.basemaps().catch(() => [])
}

const GROUND = 'tool-ground'
/** Names of the ground stand out over pictures from above in this; what each was written in comes back with its own ground. */
const OVER_IMAGERY = '#e6ecf2'
const ink = new Map<string, NonNullable<SymbolLayerSpecification['paint']>['text-color']>()

/** Lays the pictures under everything of ours; over imagery the ground's names stay, over a map it has its own. */
export function layGround({ map }: WallMap, one: Basemap | null): void {
  const { layers } = map.getStyle()
  for (const layer of layers) {
    if (!('source' in layer) || layer.source !== 'basemap') continue
    const imagery = one?.picture === 'imagery'
    const shown = !one || (imagery && layer.type === 'symbol')
    map.setLayoutProperty(layer.id, 'visibility', shown ? 'visible' : 'none')
    if (layer.type !== 'symbol') continue
    if (!ink.has(layer.id)) ink.set(layer.id, layer.paint?.['text-color'])
    map.setPaintProperty(layer.id, 'text-color', imagery ? OVER_IMAGERY : ink.get(layer.id))
  }
  if (map.getLayer(GROUND)) map.removeLayer(GROUND)
  if (map.getSource(GROUND)) map.removeSource(GROUND)
  if (!one?.tiles) return
  map.addSource(GROUND, { type: 'raster', tiles: [location.origin + one.tiles], tileSize: 256, minzoom: one.zooms[0], maxzoom: one.zooms[1] })
  const first = layers.find((layer) => layer.type !== 'background')?.id
  // A bright picture would drown what the wall is for.
  map.addLayer({ id: GROUND, type: 'raster', source: GROUND, paint: { 'raster-brightness-max': one.picture === 'map' ? 0.7 : 0.8, 'raster-saturation': -0.15 } }, first)
}
