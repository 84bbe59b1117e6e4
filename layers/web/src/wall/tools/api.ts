/** What the map's tools ask of the server. */
import { get, request, send } from '../../shared/api'
import type { CaseItem, Two } from '../../shared/types'

export type Point = [number, number]

export interface Basemap {
  code: string
  name: Two
  picture: 'map' | 'imagery'
  attribution: Two
  zooms: [number, number]
  /** Null: the town's own vector map. */
  tiles: string | null
  lacks: 'host' | 'token' | null
}

export interface Measured {
  legs: number[]
  length_m: number
  plane_length_m: number
  bearing: number | null
  area_m2: number | null
  plane_area_m2: number | null
  crossing: boolean
}

export type SketchShape = 'point' | 'line' | 'polygon' | 'circle' | 'text' | 'arrow'
export interface SketchFeature {
  type: 'Feature'
  properties: { shape: SketchShape; label: string; colour: string; width: number; radius_m?: number }
  geometry: GeoJSON.Point | GeoJSON.LineString | GeoJSON.Polygon
}
export interface Sketch {
  id: string
  name: string
  shared: boolean
  own: boolean
  owner: string
  version: number
  changed_at: string
  size?: number
  features?: { features: SketchFeature[] }
}

export interface Panorama {
  id: string
  name: string
  note: string
  lon: number
  lat: number
  heading: number
  synthetic: boolean
  taken_at: string | null
  picture: string
}

export interface Found {
  divisions: { code: string; name: string; level: string }[]
  unit_grids: { code: string; area_class: string; land_use: string }[]
  duty_grids: { code: string; name: string }[]
  components: { code: string; name: string; lon: number; lat: number; distance_m: number }[]
  cases: CaseItem[]
  places: { kind: string; name: string; address: string; lon: number; lat: number; distance_m: number }[]
  panoramas: { id: string; name: string; lon: number; lat: number; distance_m: number }[]
}

export interface Selectable {
  code: string
  name: Two
  geometry: string
  properties: { name: string; type: string; label: Two }[]
  groups: string[]
  download: boolean
}
export interface SelectionPage {
  items: { type: 'Feature'; id: string; geometry: GeoJSON.Geometry; properties: Record<string, unknown> }[]
  next: string | null
  area: GeoJSON.Geometry | null
}
export interface SelectionFigures {
  total: number
  selection: { area_m2?: number; perimeter_m?: number } | null
  groups: Record<string, { value: unknown; name: Two | string | null; count: number }[]>
  measures: Record<string, number>
}

export const mapApi = {
  basemaps: () => get<{ items: Basemap[] }>('/api/basemaps').then((found) => found.items),
  measure: (points: readonly Point[], closed: boolean, signal?: AbortSignal) =>
    request<Measured>('/api/measure', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ points, closed }), signal }),
  sketches: () => get<{ items: Sketch[] }>('/api/sketches').then((found) => found.items),
  sketch: (id: string) => get<Sketch>(`/api/sketches/${id}`),
  keepSketch: (id: string, body: unknown) => send<{ version: number }>('PUT', `/api/sketches/${id}`, body),
  changeSketch: (id: string, body: unknown) => send<{ version: number }>('POST', `/api/sketches/${id}/versions`, body),
  forgetSketch: (id: string) => send<void>('DELETE', `/api/sketches/${id}`),
  restoreSketch: (id: string) => send<void>('POST', `/api/sketches/${id}/restore`, {}),
  panoramas: () => get<{ items: Panorama[] }>('/api/panoramas').then((found) => found.items),
  keepPanorama: (id: string, body: unknown) => send<Panorama>('PUT', `/api/panoramas/${id}`, body),
  changePanorama: (id: string, body: unknown) => send<Panorama>('PATCH', `/api/panoramas/${id}`, body),
  forgetPanorama: (id: string) => send<void>('DELETE', `/api/panoramas/${id}`),
  restorePanorama: (id: string) => send<void>('POST', `/api/panoramas/${id}/restore`, {}),
  identify: ([lon, lat]: Point, radius: number, filter: string, signal?: AbortSignal) =>
    get<Found>(`/api/identify?${[filter, `lon=${lon}`, `lat=${lat}`, `radius=${radius.toFixed(1)}`].filter(Boolean).join('&')}`, signal),
  selectable: () => get<{ items: Selectable[] }>('/api/selection/layers').then((found) => found.items),
  select: (body: unknown) => send<SelectionPage>('POST', '/api/selection', body),
  figures: (body: unknown) => send<SelectionFigures>('POST', '/api/selection/statistics', body),
  preference: <T>(name: string) => get<{ value: T | null }>(`/api/preferences/${name}`).then((found) => found.value),
  keepPreference: (name: string, value: unknown) => send<void>('PUT', `/api/preferences/${name}`, { value }),
}
