/** The desk's map as an object with a few verbs. Knows MapLibre; knows no widgets. */
import {
  LngLatBounds,
  Map as MapLibreMap,
  ScaleControl,
  setWorkerUrl,
  type GeoJSONSource,
  type LayerSpecification,
  type StyleSpecification,
  type VectorTileSource,
} from 'maplibre-gl'
import 'maplibre-gl/dist/maplibre-gl.css'
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?url'

import { t } from '../../shared/i18n'
import type { Town } from '../../shared/types'
import { CASE_LAYERS, CASE_SOURCES, CASE_TILE_ZOOM, caseLayers, caseTiles, clusterText, NEAR_ZOOM } from '../../wall/map/style'
import { addSymbols } from '../../wall/map/symbols'
import type { MapPoint } from './DeskMap.vue'

setWorkerUrl(workerUrl)

export type LonLat = [number, number]

const INK = '#16324f'
const GROUND = '#f4f5f3'
const FONT = ['Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', 'sans-serif']
const POINTS = 'desk-points'
const GROUPS = CASE_LAYERS.filter((id) => id.startsWith('case-clusters'))

const collection = (features: GeoJSON.Feature[]): GeoJSON.FeatureCollection => ({ type: 'FeatureCollection', features })
const none = collection([])
const point = (at: LonLat, properties: Record<string, unknown>): GeoJSON.Feature => ({
  type: 'Feature',
  geometry: { type: 'Point', coordinates: at },
  properties,
})

function layers(chinese: boolean): LayerSpecification[] {
  return [
    { id: 'desk-shape-fill', type: 'fill', source: 'desk-shapes', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': ['coalesce', ['get', 'colour'], INK], 'fill-opacity': 0.08 } },
    { id: 'desk-shape-line', type: 'line', source: 'desk-shapes', paint: { 'line-color': ['coalesce', ['get', 'colour'], INK], 'line-width': 1.5 } },
    { id: 'desk-area-fill', type: 'fill', source: 'desk-area', filter: ['==', ['geometry-type'], 'Polygon'], paint: { 'fill-color': INK, 'fill-opacity': 0.12 } },
    { id: 'desk-area-line', type: 'line', source: 'desk-area', paint: { 'line-color': INK, 'line-width': 2 } },
    { id: 'desk-area-corner', type: 'circle', source: 'desk-area', filter: ['==', ['geometry-type'], 'Point'], paint: { 'circle-radius': 4, 'circle-color': '#ffffff', 'circle-stroke-color': INK, 'circle-stroke-width': 2 } },
    ...caseLayers('far', chinese),
    ...caseLayers('near', chinese),
    { id: POINTS, type: 'symbol', source: 'desk-points', layout: {
      'icon-image': ['concat', 'mark-', ['coalesce', ['get', 'mark'], 'done']], 'icon-allow-overlap': true,
      'text-field': ['coalesce', ['get', 'label'], ''], 'text-font': FONT, 'text-size': 12, 'text-offset': [0, 1.1], 'text-anchor': 'top', 'text-optional': true,
    }, paint: { 'text-color': '#1c242c', 'text-halo-color': '#ffffff', 'text-halo-width': 1.5 } },
    { id: 'desk-chosen', type: 'circle', source: 'desk-chosen', paint: { 'circle-radius': 14, 'circle-color': 'rgba(0,0,0,0)', 'circle-stroke-color': INK, 'circle-stroke-width': 2.5 } },
    { id: 'desk-chosen-dot', type: 'circle', source: 'desk-chosen', paint: { 'circle-radius': 2.5, 'circle-color': INK } },
  ]
}

function style(base: StyleSpecification | null, chinese: boolean): StyleSpecification {
  const shapes = { type: 'geojson', data: none } as const
  return {
    version: 8,
    ...base,
    sources: {
      ...base?.sources,
      'desk-shapes': shapes,
      'desk-area': shapes,
      'desk-points': shapes,
      'desk-chosen': shapes,
      'wall-cases-far': { type: 'vector', tiles: caseTiles('', CASE_SOURCES['wall-cases-far']), maxzoom: NEAR_ZOOM },
      'wall-cases-near': { type: 'vector', tiles: caseTiles('', CASE_SOURCES['wall-cases-near']), maxzoom: CASE_TILE_ZOOM },
    },
    layers: [
      ...(base?.layers ?? [{ id: 'ground', type: 'background', paint: { 'background-color': GROUND } } as const]),
      // Hidden layers read no tiles: cases are asked for when a filter is given.
      ...layers(chinese).map((layer) =>
        'source' in layer && layer.source.startsWith('wall-cases') ? ({ ...layer, layout: { ...layer.layout, visibility: 'none' } } as LayerSpecification) : layer,
      ),
    ],
  }
}

export interface Hands {
  /** A click at a place, and the case or point there. */
  clicked: (at: LonLat, id: string | null) => void
  /** A double click while drawing. */
  finish: () => void
  /** The map came to rest here. */
  moved: (bbox: [number, number, number, number]) => void
}

export class PlainMap {
  readonly map: MapLibreMap
  /** Done when sources and layers can be spoken to; tiles may still be on their way. */
  readonly ready: Promise<void>
  private readonly home: [number, number, number, number]
  private mode: 'point' | 'area' | undefined

  constructor(container: HTMLElement, base: StyleSpecification | null, town: Town, chinese: boolean, hands: Hands) {
    this.home = town.bbox
    const [w, s, e, n] = town.bbox
    const [dx, dy] = [(e - w) * 0.6, (n - s) * 0.6]
    this.map = new MapLibreMap({
      container,
      style: style(base, chinese),
      bounds: town.bbox,
      fitBoundsOptions: { padding: 16 },
      maxBounds: [w - dx, s - dy, e + dx, n + dy],
      maxZoom: 19.5,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      attributionControl: false,
      locale: { 'Map.Title': t('map.canvas') },
      fadeDuration: 100,
    })
    this.map.touchZoomRotate.disableRotation()
    this.map.keyboard.disableRotation()
    this.map.addControl(new ScaleControl({ maxWidth: 90 }), 'bottom-left')
    addSymbols(this.map, 'light')
    this.ready = new Promise((done) => this.map.once('style.load', () => done()))
    const clickable = [POINTS, ...CASE_LAYERS]
    this.map.on('click', (event) => {
      const at = event.lngLat.toArray() as LonLat
      const feature = this.mode ? undefined : this.map.queryRenderedFeatures(event.point, { layers: clickable })[0]
      if (feature && GROUPS.some((id) => id === feature.layer.id)) return this.goTo(at, this.map.getZoom() + 2)
      hands.clicked(at, feature ? String(feature.properties.id) : null)
    })
    this.map.on('dblclick', (event) => {
      if (this.mode !== 'area') return
      event.preventDefault()
      hands.finish()
    })
    this.map.on('moveend', () => hands.moved(this.bounds()))
    for (const layer of clickable) {
      this.map.on('mouseenter', layer, () => this.point(!this.mode))
      this.map.on('mouseleave', layer, () => this.point(false))
    }
  }

  private point(over: boolean): void {
    this.map.getCanvas().style.cursor = this.mode ? 'crosshair' : over ? 'pointer' : ''
  }

  private set(name: string, data: GeoJSON.FeatureCollection): void {
    void this.map.getSource<GeoJSONSource>(name)?.setData(data)
  }

  picking(mode: 'point' | 'area' | undefined): void {
    this.mode = mode
    this.point(false)
  }

  showPoints(points: readonly MapPoint[]): void {
    this.set('desk-points', collection(points.map(({ lon, lat, ...rest }) => point([lon, lat], rest))))
  }

  /** Draws the cases of a filter, or none for null. */
  showCases(query: string | null): void {
    for (const [name, cells] of Object.entries(CASE_SOURCES))
      if (query !== null) this.map.getSource<VectorTileSource>(name)?.setTiles(caseTiles(query, cells))
    for (const id of CASE_LAYERS) this.map.setLayoutProperty(id, 'visibility', query === null ? 'none' : 'visible')
  }

  /** Asks for the same cases anew. */
  refresh(): void {
    if (this.map.getLayoutProperty(CASE_LAYERS[0], 'visibility') === 'none') return
    for (const name of Object.keys(CASE_SOURCES)) this.map.refreshTiles(name)
  }

  showShapes(shapes: GeoJSON.FeatureCollection | null): void {
    this.set('desk-shapes', shapes ?? none)
  }

  /** The corners of an area, closed or still being drawn. */
  showArea(corners: readonly LonLat[] | null, open: boolean): void {
    const ring = corners ?? []
    const features: GeoJSON.Feature[] = open ? ring.map((corner) => point([...corner], {})) : []
    if (ring.length > 2) features.push({ type: 'Feature', properties: {}, geometry: { type: 'Polygon', coordinates: [[...ring, ring[0]!]] } })
    else if (ring.length === 2) features.push({ type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: [...ring] } })
    this.set('desk-area', collection(features))
  }

  choose(at: LonLat | null): void {
    this.set('desk-chosen', collection(at ? [point(at, {})] : []))
  }

  speak(chinese: boolean): void {
    for (const id of GROUPS) this.map.setLayoutProperty(id, 'text-field', clusterText(chinese))
  }

  /** Brings a place into view; goes no further out than it is. */
  goTo(at: LonLat, zoom = 16): void {
    this.map.easeTo({ center: at, zoom: Math.min(Math.max(zoom, this.map.getZoom()), 19), duration: 400 })
  }

  /** The map around a place as a picture, once everything there is drawn. */
  picture(at: LonLat, zoom: number): Promise<string> {
    this.map.jumpTo({ center: at, zoom })
    return new Promise((done) =>
      this.map.once('idle', () => {
        // A canvas can be read only in the very frame that drew it.
        this.map.once('render', () => done(this.map.getCanvas().toDataURL()))
        this.map.triggerRepaint()
      }),
    )
  }

  /** Whether a place can be brought into view. */
  holds(at: LonLat): boolean {
    return this.map.getMaxBounds()?.contains(at) ?? true
  }

  fit(corners: readonly LonLat[]): void {
    const around = new LngLatBounds()
    for (const corner of corners) around.extend(corner)
    if (!around.isEmpty()) this.map.fitBounds(around, { padding: 32, maxZoom: 17, duration: 400 })
  }

  goHome(): void {
    this.map.fitBounds(this.home, { padding: 16, duration: 400 })
  }

  centre(): LonLat {
    return this.map.getCenter().toArray() as LonLat
  }

  bounds(): [number, number, number, number] {
    const b = this.map.getBounds()
    return [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()]
  }

  remove(): void {
    this.map.remove()
  }
}
