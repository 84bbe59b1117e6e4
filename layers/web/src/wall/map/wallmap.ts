/** The map as an object with a few verbs: show this filter, these people, this number. Knows MapLibre; knows no widgets. */
import {
  AJAXError,
  Map as MapLibreMap,
  MercatorCoordinate,
  ScaleControl,
  setWorkerUrl,
  type GeoJSONSource,
  type LayerSpecification,
  type MapGeoJSONFeature,
  type PaddingOptions,
  type StyleSpecification,
  type VectorTileSource,
} from 'maplibre-gl'
import 'maplibre-gl/dist/maplibre-gl.css'
// The bundler cannot see the worker behind the library's own address: name it.
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?url'

import { markOf } from '../../shared/lights'
import { connected } from '../../shared/live'
import type { CaseItem, HeatCell, Position, Town } from '../../shared/types'
import type { LayerName, Selection } from '../state'
import { CASE_LAYERS, CASE_SOURCES, caseTiles, clusterText, componentTiles, cellColour, here, heatIntensity, heatTiles, opacityOf, PARTS_OF, UNKNOWN, wallStyle, withGround, type StyleOptions } from './style'
import { roomiest, type Rect } from './room'
import { addSymbols } from './symbols'

setWorkerUrl(workerUrl)

/** Sources of what moves all day, and of what changes when somebody publishes it. */
const LIVE = [...Object.keys(CASE_SOURCES), 'wall-heat']
const PUBLISHED = ['wall-unit-grids', 'wall-duty-grids', 'wall-components']
const PULSE_MS = 2000
/** A tile that failed is asked for again after so long, and after twice as long each time it fails anew. */
const AGAIN_MS = 10_000
const AGAIN_MOST_MS = 300_000
/** More than this many new cases at once is no news but a flood: they are drawn without pulsing. */
const PULSES = 40
const CLICKABLE = ['panoramas', 'inspectors', 'drill-points', ...CASE_LAYERS, 'component-points', 'unit-grid-areas', 'village-areas', 'heat-cells']

type Point = [number, number]
type TileAddress = { z: number; x: number; y: number }
/** The library's event of something that failed; it names a tile where it was one. */
type Failure = { error: Error; sourceId?: string; tile?: { tileID: { canonical: TileAddress } } }
const point = (at: Point, properties: Record<string, unknown>): GeoJSON.Feature => ({
  type: 'Feature',
  geometry: { type: 'Point', coordinates: at },
  properties,
})
const collection = (features: GeoJSON.Feature[]): GeoJSON.FeatureCollection => ({ type: 'FeatureCollection', features })

const personPoint = (item: Position) => point([item.lon, item.lat], { id: item.inspector_id, name: item.name, state: item.state })

/** How much larger than a desk's screen everything is drawn: the page's type size says it. */
export const magnification = (): number => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16

type Box = [number, number, number, number]
/** Between what is brought into view and what lies over the map or the map's edge. */
const EDGE = 20
/** What lies over so much of the ground in both directions lies all over it. */
const MOST = 0.75
/** Two paddings closer than this are one: panels are laid out in fractions of a pixel. */
const SAME = 3
/** Marks the map's own moves: what else moves it is somebody's wish to look elsewhere. */
const OWN = { fitting: true }

/** What was clicked: something with a detail of its own, or a village to go down into. */
export type Picked = Selection | { type: 'village'; code: string }
export type Pick = (what: Picked | null, at: Point) => void

export class WallMap {
  readonly map: MapLibreMap
  /** Done when sources and layers can be spoken to; tiles may still be on their way. */
  readonly ready: Promise<void>
  private home: Box
  /** What lies over the map, in the map's pixels. */
  private readonly over: () => Rect[]
  /** What was brought into view last and how, for as long as nobody moves the map. */
  private shown: { box: Box; padding: PaddingOptions } | null = null
  private covered: ReadonlyMap<string, number | null> | null = null
  private readonly people = new Map<string, Position>()
  private fresh: { id: string; at: Point; since: number }[] = []
  private beating = false
  private crowded = 0
  private readonly failed = new Map<string, { source: string; tile: TileAddress }>()
  private again: ReturnType<typeof setTimeout> | undefined
  private pause = AGAIN_MS
  /** While a tool has the pointer a click on the map picks nothing. */
  held = false
  /** A shape is begun and not finished: Escape is for it. */
  drawing = false
  private inCells = false

  constructor(
    container: HTMLElement,
    base: Parameters<typeof wallStyle>[0],
    home: Box,
    town: Town,
    options: StyleOptions,
    picked: Pick,
    over: () => Rect[],
  ) {
    this.home = home
    this.over = over
    const [w, s, e, n] = town.bbox
    // Stitched screens are five times as wide as high: the whole town must still fit into their height.
    const [dx, dy] = [(e - w) * 4, (n - s) * 1.2]
    this.map = new MapLibreMap({
      container,
      style: wallStyle(base, options),
      pixelRatio: devicePixelRatio * magnification(),
      bounds: home,
      fitBoundsOptions: { padding: EDGE },
      // The page resizes it, and then looks at the same place again.
      trackResize: false,
      maxBounds: [w - dx, s - dy, e + dx, n + dy],
      hash: 'map',
      maxZoom: 19.5,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      attributionControl: false,
      // The canvas is a landmark beside the box it lies in: two of one name would be one too many.
      locale: { 'Map.Title': options.chinese ? '地图画面' : 'Map canvas' },
      canvasContextAttributes: { antialias: true },
      fadeDuration: 150,
    })
    this.map.touchZoomRotate.disableRotation()
    this.map.keyboard.disableRotation()
    this.map.addControl(new ScaleControl({ maxWidth: 120 }), 'bottom-left')
    addSymbols(this.map)
    this.ready = new Promise((done) => this.map.once('style.load', () => done()))
    this.map.on('idle', () => {
      this.balanceHeat()
      if (!this.failed.size) this.pause = AGAIN_MS
    })
    this.map.on('error', (event) => this.fail(event as unknown as Failure))
    this.map.on('movestart', (event) => {
      if (!('fitting' in event)) this.shown = null
    })
    this.map.on('click', (event) => {
      const feature = this.map.queryRenderedFeatures(event.point, { layers: CLICKABLE })[0]
      this.click(feature, event.lngLat.toArray() as Point, picked)
    })
    for (const layer of CLICKABLE.filter((name) => !name.endsWith('-areas') && name !== 'heat-cells')) {
      this.map.on('mouseenter', layer, () => (this.map.getCanvas().style.cursor = 'pointer'))
      this.map.on('mouseleave', layer, () => (this.map.getCanvas().style.cursor = ''))
    }
  }

  private fail({ error, sourceId: source, tile }: Failure): void {
    // What could not be fetched the browser's console says by itself.
    if (!(error instanceof AJAXError)) console.error(error)
    if (!source || !tile) return
    const { z, x, y } = tile.tileID.canonical
    this.failed.set([source, z, x, y].join('/'), { source, tile: { z, x, y } })
    this.again ??= setTimeout(() => {
      this.again = undefined
      // Not connected: everything is refreshed as soon as the service is there again.
      if (!connected.value) return
      this.pause = Math.min(this.pause * 2, AGAIN_MOST_MS)
      this.askAgain()
    }, this.pause)
  }

  /** Asks for the tiles that failed. Where all of a source is asked for, this comes first: alone the library would wait for
   * ever for a tile that failed after it had been there. */
  private askAgain(): void {
    for (const { source, tile } of this.failed.values()) if (this.map.getSource(source)) this.map.refreshTiles(source, [tile])
    this.failed.clear()
  }

  private click(feature: MapGeoJSONFeature | undefined, at: Point, picked: Pick): void {
    if (this.held || feature?.layer.id === 'panoramas') return
    if (!feature) return picked(null, at)
    const { properties } = feature
    switch (feature.layer.id) {
      case 'case-clusters-far':
      case 'case-clusters-near': {
        const centre = feature.geometry.type === 'Point' ? (feature.geometry.coordinates as Point) : at
        this.map.easeTo({ center: centre, zoom: Math.min(this.map.getZoom() + 2, 18), duration: 500 })
        return
      }
      case 'component-points':
        return picked({ type: 'component', code: String(properties.code) }, at)
      case 'unit-grid-areas':
        return picked({ type: 'grid', code: String(properties.code) }, at)
      case 'village-areas':
        return picked({ type: 'village', code: String(properties.code) }, at)
      case 'heat-cells':
        return this.goTo(at, this.map.getZoom() + 1.5)
      case 'inspectors':
        return picked({ type: 'inspector', code: String(properties.id) }, at)
      default:
        return picked({ type: 'case', code: String(properties.id) }, at)
    }
  }

  private geo(name: string): GeoJSONSource | undefined {
    return this.map.getSource<GeoJSONSource>(`wall-${name}`)
  }

  private vector(name: string): VectorTileSource | undefined {
    return this.map.getSource<VectorTileSource>(name)
  }

  /** Draws the cases of another filter. */
  showCases(query: string): void {
    for (const [name, cells] of Object.entries(CASE_SOURCES)) this.vector(name)?.setTiles(caseTiles(query, cells))
    this.vector('wall-heat')?.setTiles(heatTiles(query))
    this.askAgain()
  }

  /** Puts the ground under what is drawn, where it came later. */
  lay(ground: StyleSpecification): void {
    this.map.setStyle(ground, { transformStyle: (now) => withGround(ground, now!) })
  }

  /** Asks for the same tiles anew; the old ones stay until the new ones are there. */
  refresh(sources: readonly string[] = LIVE): void {
    this.askAgain()
    for (const name of sources) if (this.map.getSource(name)) this.map.refreshTiles(name)
  }

  /** The same of what is published: grids and components. */
  refreshPublished(): void {
    this.refresh(PUBLISHED)
  }

  /** Draws exactly these cases instead of the filter's, or the filter's again for null. */
  showOnly(cases: readonly CaseItem[] | null, visible: boolean): void {
    this.geo('drill')?.setData(
      collection((cases ?? []).map((item) => point([item.lon, item.lat], { id: item.id, mark: markOf(item) }))),
    )
    for (const id of CASE_LAYERS)
      this.map.setLayoutProperty(id, 'visibility', cases || !visible ? 'none' : 'visible')
  }

  /** Brings these cases into view when none of them is. */
  lookAt(cases: readonly CaseItem[]): void {
    const bounds = this.map.getBounds()
    if (!cases.length || cases.some((item) => bounds.contains([item.lon, item.lat]))) return
    this.fitPlaces(cases.map((item) => [item.lon, item.lat]))
  }

  /** Brings all these places into view; where they lie all over the ground, that whole. */
  fitPlaces(places: readonly Point[]): void {
    if (!places.length) return
    const around = (xs: number[], ys: number[]): Box => [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]
    const box = around(places.map(([x]) => x), places.map(([, y]) => y))
    const [w, s, e, n] = this.home
    const allOver = box[2] - box[0] > (e - w) * MOST && box[3] - box[1] > (n - s) * MOST
    this.fit(allOver ? around([w, e, box[0], box[2]], [s, n, box[1], box[3]]) : box)
  }

  /** Of the two ways to draw heat, one. */
  private isDrawn(id: string): boolean {
    return id === 'heat' ? !this.inCells : id !== 'heat-cells' || this.inCells
  }

  showLayer(name: LayerName, on: boolean, opacity: number): void {
    for (const id of PARTS_OF[name]) {
      const layer = this.map.getLayer(id)
      if (!layer) continue
      this.map.setLayoutProperty(id, 'visibility', on && this.isDrawn(id) ? 'visible' : 'none')
      for (const [property, value] of opacityOf({ id, type: layer.type } as LayerSpecification, opacity))
        this.map.setPaintProperty(id, property as 'fill-opacity', value as number)
    }
  }

  /** Draws heat by whole cells instead of as a kernel density; null for the density again. */
  showCells(cells: readonly HeatCell[] | null, visible: boolean): void {
    this.inCells = cells !== null
    const features = (cells ?? []).map(({ cell, n, ring }): GeoJSON.Feature => ({ type: 'Feature', properties: { cell, n }, geometry: { type: 'Polygon', coordinates: [[...ring, ring[0]!]] } }))
    this.geo('cells')?.setData(collection(features))
    this.map.setPaintProperty('heat-cells', 'fill-color', cellColour((cells ?? []).reduce((most, one) => Math.max(most, one.n), 1)))
    for (const id of PARTS_OF.heat) this.map.setLayoutProperty(id, 'visibility', visible && this.isDrawn(id) ? 'visible' : 'none')
  }

  /** Measures heat by the crowded cells in view, so that it shows something at every zoom and size of town. */
  private balanceHeat(): void {
    if (this.map.getLayoutProperty('heat', 'visibility') === 'none') return
    const counts = this.map.querySourceFeatures('wall-heat', { sourceLayer: 'heat' }).map((cell) => Number(cell.properties.n))
    counts.sort((a, b) => a - b)
    const crowded = Math.max(2, counts[Math.floor(counts.length * 0.95)] ?? 0)
    if (crowded === this.crowded) return
    this.crowded = crowded
    this.map.setPaintProperty('heat', 'heatmap-intensity', heatIntensity(crowded))
  }

  showComponents(categories: readonly string[]): void {
    this.vector('wall-components')?.setTiles(componentTiles(categories))
    this.askAgain()
  }

  /** Which villages all is about: their border is drawn for eyes far away. */
  markVillages(codes: readonly string[]): void {
    this.map.setFilter('villages-here', here(codes))
  }

  speak(chinese: boolean): void {
    for (const id of CASE_LAYERS) if (id.startsWith('case-clusters')) this.map.setLayoutProperty(id, 'text-field', clusterText(chinese))
  }

  /** Colours areas by their share (0 to 1) of the largest number. */
  colour(areas: 'villages' | 'unit-grids', shares: ReadonlyMap<string, number>): void {
    const target = areas === 'villages' ? { source: 'wall-villages' } : { source: 'wall-unit-grids', sourceLayer: 'unit_grids' }
    this.map.removeFeatureState(target)
    for (const [id, value] of shares) this.map.setFeatureState({ ...target, id }, { value })
    if (areas === 'unit-grids') this.cover(this.covered)
  }

  /** Colours unit grids by the share that was seen, over the figures, and hatches where that is not known (null). */
  cover(shares: ReadonlyMap<string, number | null> | null): void {
    const target = { source: 'wall-unit-grids', sourceLayer: 'unit_grids' }
    for (const id of this.covered?.keys() ?? []) this.map.removeFeatureState({ ...target, id }, 'seen')
    this.covered = shares
    for (const [id, seen] of shares ?? []) this.map.setFeatureState({ ...target, id }, { seen: seen ?? UNKNOWN })
    for (const id of ['coverage-grids', 'coverage-unknown']) this.map.setLayoutProperty(id, 'visibility', shares ? 'visible' : 'none')
  }

  /** Draws everyone anew: the starting point of the moves that follow. */
  showPeople(items: readonly Position[]): void {
    this.people.clear()
    for (const item of items) this.people.set(item.inspector_id, item)
    this.geo('inspectors')?.setData(collection(items.map(personPoint)))
  }

  /** Everyone there is now, moved, added or taken away one by one: a position is a few bytes, not a new layer. */
  movePeople(items: readonly Position[]): void {
    const moved = items.filter((item) => this.people.has(item.inspector_id))
    const come = items.filter((item) => !this.people.has(item.inspector_id))
    const here = new Set(items.map((item) => item.inspector_id))
    const gone = [...this.people.keys()].filter((id) => !here.has(id))
    for (const id of gone) this.people.delete(id)
    for (const item of items) this.people.set(item.inspector_id, item)
    void this.geo('inspectors')?.updateData({
      remove: gone,
      add: come.map(personPoint),
      update: moved.map((item) => ({
        id: item.inspector_id,
        newGeometry: personPoint(item).geometry,
        addOrUpdateProperties: [{ key: 'state', value: item.state }],
      })),
    })
  }

  person(id: string): Position | undefined {
    return this.people.get(id)
  }

  choose(at: Point | null): void {
    this.geo('chosen')?.setData(collection(at ? [point(at, { id: 'chosen' })] : []))
  }

  /** Brings a place into view; goes no further out than it is. */
  goTo(at: Point, zoom = 16): void {
    this.map.easeTo({ center: at, zoom: Math.max(zoom, this.map.getZoom()), duration: 700 })
  }

  goHome(): void {
    this.fit(this.home)
  }

  /** How far from the map's edges an extent is to stay, so that it is drawn as large as what lies over the map allows. */
  private padding([west, south, east, north]: Box): PaddingOptions {
    const { clientWidth: width, clientHeight: height } = this.map.getContainer()
    const [a, b] = [MercatorCoordinate.fromLngLat([west, north]), MercatorCoordinate.fromLngLat([east, south])]
    const { left, top, right, bottom } = roomiest(width, height, this.over(), (b.x - a.x) / (b.y - a.y) || 1)
    return { left: left + EDGE, top: top + EDGE, right: width - right + EDGE, bottom: height - bottom + EDGE }
  }

  /** While `work` runs, what was brought into view fills the largest frame in the map's middle that is `aspect` times as
   * wide as high, whole; where somebody looks elsewhere since, what is seen beside the panels. */
  async framed<T>(aspect: number, work: () => Promise<T>): Promise<T> {
    const { clientWidth: width, clientHeight: height } = this.map.getContainer()
    const [across, down] = [Math.min(width, height * aspect), Math.min(height, width / aspect)]
    const before = { center: this.map.getCenter(), zoom: this.map.getZoom() }
    if (this.shown) {
      const [beside, above] = [(width - across) / 2 + EDGE, (height - down) / 2 + EDGE]
      const padding = { left: beside, right: beside, top: above, bottom: above }
      this.map.fitBounds(this.shown.box, { padding, maxZoom: 17, duration: 0 }, OWN)
    } else {
      const { left, top, right, bottom } = roomiest(width, height, this.over(), aspect)
      const closer = Math.min(across / (right - left), down / (bottom - top))
      this.map.jumpTo({ center: this.map.unproject([(left + right) / 2, (top + bottom) / 2]), zoom: before.zoom + Math.log2(closer) }, OWN)
    }
    try {
      return await work()
    } finally {
      this.map.jumpTo(before, OWN)
    }
  }

  /** Brings an extent into view, beside what lies over the map. */
  fit(box: Box, duration = 900): void {
    const padding = this.padding(box)
    this.map.fitBounds(box, { padding, maxZoom: 17, duration }, OWN)
    this.shown = { box, padding }
  }

  /** What lies over the map changed: what was brought into view is so again, unless somebody looks elsewhere since. */
  settle(): void {
    if (!this.shown) return
    const { box, padding } = this.shown
    const now = this.padding(box)
    if ((['left', 'top', 'right', 'bottom'] as const).some((side) => Math.abs(now[side]! - padding[side]!) > SAME)) this.fit(box, 500)
  }

  /** Flies to `zoom/lat/lon`, the form of the map's address. */
  fly(place: string): void {
    const [zoom, lat, lon] = place.split('/').map(Number)
    if ([zoom, lat, lon].every(Number.isFinite)) this.map.flyTo({ center: [lon!, lat!], zoom: zoom!, duration: 1200 })
  }

  bounds(): [number, number, number, number] {
    const b = this.map.getBounds()
    return [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()]
  }

  /** A new case: a ring that widens for two seconds and is gone. Still at once for those who asked for less motion. */
  pulse(id: string, at: Point): void {
    if (matchMedia('(prefers-reduced-motion: reduce)').matches || this.fresh.length >= PULSES) return
    this.fresh.push({ id, at, since: performance.now() })
    if (this.beating) return
    this.beating = true
    requestAnimationFrame(this.beat)
  }

  private readonly beat = (now: number): void => {
    this.fresh = this.fresh.filter((one) => now - one.since < PULSE_MS)
    this.geo('fresh')?.setData(collection(this.fresh.map((one) => point(one.at, { id: one.id, age: Math.max(0, now - one.since) / PULSE_MS }))))
    this.beating = this.fresh.length > 0
    if (this.beating) requestAnimationFrame(this.beat)
  }

  /** Draws with this many dots a pixel. What was brought into view stays that, though the library says it moved. */
  sharpen(dots: number): void {
    const { shown } = this
    this.map.setPixelRatio(dots)
    this.shown = shown
  }

  /** After the screen changed: as sharp as it now is, and showing what it showed. */
  resize(): void {
    const { shown } = this
    this.map.setPixelRatio(devicePixelRatio * magnification())
    this.map.resize(OWN)
    if (shown) this.fit(shown.box, 0)
  }

  remove(): void {
    clearTimeout(this.again)
    this.map.remove()
  }
}
