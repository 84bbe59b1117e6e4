/** Distances and nearest components from what the phone holds. Pure. */
import type { NearComponent } from './types'

const EARTH_M = 6_371_008.8
const rad = (degrees: number) => (degrees * Math.PI) / 180

/** Great-circle metres between two points in degrees; good to half a percent, which is less than any fix. */
export function metres(lon1: number, lat1: number, lon2: number, lat2: number): number {
  const a = Math.sin(rad(lat2 - lat1) / 2) ** 2
  const b = Math.cos(rad(lat1)) * Math.cos(rad(lat2)) * Math.sin(rad(lon2 - lon1) / 2) ** 2
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(a + b)))
}

/** The nearest of `all` within `radius` metres, nearest first. */
export function nearest(all: readonly NearComponent[], lon: number, lat: number, radius = 50, limit = 8): NearComponent[] {
  return all
    .map((each) => ({ ...each, distance_m: Math.round(metres(lon, lat, each.lon, each.lat) * 10) / 10 }))
    .filter((each) => each.distance_m <= radius)
    .sort((a, b) => a.distance_m - b.distance_m || (a.code < b.code ? -1 : 1))
    .slice(0, limit)
}

/** The box of `side` metres around a point: west, south, east, north. */
export function boxAround(lon: number, lat: number, side: number): [number, number, number, number] {
  const dLat = side / 2 / 111_320
  const dLon = dLat / Math.cos(rad(lat))
  return [lon - dLon, lat - dLat, lon + dLon, lat + dLat]
}
