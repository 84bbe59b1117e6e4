/** MapLibre as the phone uses it: a light basemap, my position, cases as marks. Loaded only when a map is shown. */
import { Map as MapLibre, setWorkerUrl, type GeoJSONSource, type StyleSpecification } from 'maplibre-gl'
// The bundler cannot see the worker behind the library's own address: name it.
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?url'
import 'maplibre-gl/dist/maplibre-gl.css'

import { ask } from '../core/http'
import { session } from '../core/session'
import * as store from '../core/store'
import type { CaseItem, Place, Town } from '../core/types'

setWorkerUrl(workerUrl)

const EMPTY = { type: 'FeatureCollection' as const, features: [] }
const bare = (): StyleSpecification => ({
  version: 8,
  sources: {},
  layers: [{ id: 'ground', type: 'background', paint: { 'background-color': '#eef0ec' } }],
})

/** The server's light style, or the kept one; an empty ground when there is neither. */
async function style(): Promise<StyleSpecification> {
  const answer = await ask('/style.json?theme=light', { token: session.value?.token, timeout: 6_000 })
  if (answer?.status === 200 && answer.json) {
    void store.keep('map-style', answer.body).catch(() => undefined)
    return answer.body as StyleSpecification
  }
  return (await store.kept<StyleSpecification>('map-style')) ?? bare()
}

export async function makeMap(container: HTMLElement, center: [number, number], zoom: number): Promise<MapLibre> {
  const map = new MapLibre({
    container,
    style: await style(),
    center,
    zoom,
    attributionControl: { compact: true },
    dragRotate: false,
    pitchWithRotate: false,
    // Tiles are asked for in the person's name, like everything else.
    transformRequest: (url) =>
      url.startsWith(location.origin) && session.value
        ? { url, headers: { Authorization: `Bearer ${session.value.token}` } }
        : { url },
  })
  map.touchZoomRotate.disableRotation()
  return map
}

/** Where a map begins: the asked place, here, or the middle of the town. */
export async function begin(place: Place | null): Promise<{ center: [number, number]; zoom: number }> {
  if (place) return { center: [place.lon, place.lat], zoom: 17 }
  const town = await store.kept<{ value: Town }>('town')
  return { center: town?.value.center ?? [116.4, 39.9], zoom: 13 }
}

export function addMarks(map: MapLibre): void {
  map.addSource('cases', { type: 'geojson', data: EMPTY })
  map.addSource('me', { type: 'geojson', data: EMPTY })
  map.addLayer({
    id: 'cases',
    type: 'circle',
    source: 'cases',
    paint: {
      'circle-radius': 11,
      'circle-stroke-width': 3,
      'circle-stroke-color': '#ffffff',
      'circle-color': ['match', ['get', 'light'], 'red', '#a3001a', 'yellow', '#c98a00', 'green', '#0a5530', '#0a478c'],
    },
  })
  map.addLayer({
    id: 'me-halo',
    type: 'circle',
    source: 'me',
    paint: { 'circle-radius': 18, 'circle-color': '#10151a', 'circle-opacity': 0.18 },
  })
  map.addLayer({
    id: 'me',
    type: 'circle',
    source: 'me',
    paint: { 'circle-radius': 8, 'circle-color': '#10151a', 'circle-stroke-width': 3, 'circle-stroke-color': '#ffffff' },
  })
}

export function showMe(map: MapLibre, place: Place | null): void {
  map.getSource<GeoJSONSource>('me')?.setData(
    place
      ? { type: 'Feature', geometry: { type: 'Point', coordinates: [place.lon, place.lat] }, properties: {} }
      : EMPTY,
  )
}

export function showCases(map: MapLibre, cases: readonly CaseItem[]): void {
  map.getSource<GeoJSONSource>('cases')?.setData({
    type: 'FeatureCollection',
    features: cases.map((each) => ({
      type: 'Feature',
      geometry: { type: 'Point', coordinates: [each.lon, each.lat] },
      properties: { id: each.id, light: each.light },
    })),
  })
}
