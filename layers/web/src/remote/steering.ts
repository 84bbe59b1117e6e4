/** The address a wall is sent to, made from the one it shows. Pure: knows no page and no server. */
import { fromQuery, toQuery, type CaseFilter } from '../shared/filter'
import type { Place } from '../shared/types'
import { PRESETS, sceneFrom, sceneText, type Scene } from '../wall/scenes'

export interface Shown {
  scene: Scene
  filter: CaseFilter
  /** `zoom/lat/lon`, empty where it is not known. */
  place: string
}

/** Reads what a wall says it shows. */
export function shownOf(address: string): Shown {
  const [query = '', hash = ''] = address.split('#')
  const search = new URLSearchParams(query)
  const scene = sceneFrom(search.get('scene'))
  const filter = fromQuery(search)
  const said = Object.keys(filter).length > 0 || search.get('status') === 'all'
  return { scene, filter: said ? filter : PRESETS[scene.code].filter(scene.of), place: hash.startsWith('map=') ? hash.slice(4) : '' }
}

/** The beginning of a scene: its own filter, its own extent. */
export const sceneAddress = (scene: Scene): string => `?scene=${sceneText(scene)}`

/** The same scene under another filter. */
export const filterAddress = ({ scene }: Shown, filter: CaseFilter): string => `?scene=${sceneText(scene)}&${toQuery(filter) || 'status=all'}`

/** Everything as it is, the map elsewhere. */
export const placeAddress = (address: string, place: string): string => `${address.split('#')[0] || '?'}#map=${place}`

/** A place some steps to the east and north of another, a step being a third of a screen, and `closer` zooms nearer. */
export function moved(place: string, east: number, north: number, closer = 0): string {
  const [zoom = 12, lat = 0, lon = 0] = place.split('/').map(Number)
  const step = (360 / 2 ** zoom) * 0.7
  const next = [Math.min(19, Math.max(8, zoom + closer)), lat + north * step * 0.6 * Math.cos((lat * Math.PI) / 180), lon + east * step]
  return next.map((n, i) => n.toFixed(i ? 5 : 2)).join('/')
}

/** Where a map shows what was found: a point from near, a town or a village as a whole on a screen of 900 × 600. */
export function placeOf({ lon, lat, bbox }: Pick<Place, 'lon' | 'lat' | 'bbox'>): string {
  if (!bbox) return `16.5/${lat.toFixed(5)}/${lon.toFixed(5)}`
  const [west, south, east, north] = bbox
  const middle = (south + north) / 2
  const share = Math.min(900 / (east - west), (600 * Math.cos((middle * Math.PI) / 180)) / (north - south))
  return `${Math.log2((share * 360) / 512).toFixed(2)}/${middle.toFixed(5)}/${((west + east) / 2).toFixed(5)}`
}
