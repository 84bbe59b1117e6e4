/** Where this phone is. One watch for the whole app, running only while something needs it. */
import { computed, ref, shallowRef } from 'vue'

import { now } from './http'
import type { Place } from './types'

export type Fault = 'insecure' | 'denied' | 'unavailable' | 'timeout' | null

export const fix = shallowRef<Place | null>(null)
export const fault = ref<Fault>(null)
/** Coarser than this is the phone's "approximate location". */
export const COARSE_M = 1_000
/** A place older than this may no longer be where one stands. */
export const OLD_MS = 2 * 60_000

const tick = ref(Date.now())
setInterval(() => (tick.value = Date.now()), 5_000)

/** A fix that is young enough to stand for here. */
export const here = computed(() => {
  const at = fix.value
  return at && tick.value + 5_000 > 0 && now() - Date.parse(at.at) < OLD_MS ? at : null
})

let users = 0
let watch: number | null = null
const listeners = new Set<(place: Place) => void>()

const HOW = { enableHighAccuracy: true, maximumAge: 5_000, timeout: 30_000 }

function found({ coords }: GeolocationPosition): void {
  fault.value = null
  fix.value = {
    lon: Math.round(coords.longitude * 1e7) / 1e7,
    lat: Math.round(coords.latitude * 1e7) / 1e7,
    crs: 'EPSG:4326',
    accuracy_m: Math.round(coords.accuracy * 10) / 10,
    at: new Date(now()).toISOString(),
    by: 'gps',
  }
  for (const listener of listeners) listener(fix.value)
}

function failed({ code }: GeolocationPositionError): void {
  fault.value = code === 1 ? 'denied' : code === 3 ? 'timeout' : 'unavailable'
}

function begin(): void {
  if (!window.isSecureContext || !navigator.geolocation) fault.value = 'insecure'
  else watch = navigator.geolocation.watchPosition(found, failed, HOW)
}

/** Ask once more: a watch may say nothing while the phone lies still, and still is not silent. */
export function askOnce(): void {
  if (watch !== null) navigator.geolocation.getCurrentPosition(found, failed, HOW)
}

/** Ask for positions until the returned function is called. */
export function watchPlace(listener?: (place: Place) => void): () => void {
  if (listener) {
    listeners.add(listener)
    if (here.value) listener(here.value)
  }
  if (users++ === 0) begin()
  let over = false
  return () => {
    if (over) return
    over = true
    if (listener) listeners.delete(listener)
    if (--users === 0 && watch !== null) {
      navigator.geolocation.clearWatch(watch)
      watch = null
    }
  }
}

/** Try again after a refusal, as when the person has just changed the phone's settings. */
export function askAgain(): void {
  if (watch !== null) navigator.geolocation.clearWatch(watch)
  watch = null
  if (users > 0) begin()
}
