/** The components around a place: the server's list, or what the phone last fetched when there is no server. */
import { ref, shallowRef, watch, type Ref } from 'vue'

import { api, ApiError } from './api'
import { boxAround, metres, nearest } from './near'
import * as store from './store'
import type { Located, NearComponent, Place, Problem } from './types'

interface Pack {
  /** Where lists were fetched around, newest last. */
  centres: { lon: number; lat: number }[]
  at: number
  components: NearComponent[]
}

const KEY = 'near-pack'
/** Side of the square a list is fetched for, and how near its middle one must be for it to hold. */
const SQUARE_M = 400
const HOLDS_M = 120
/** The oldest squares go first when the list is longer than this. */
const LONGEST = 12_000
/** The server's list is asked for anew after moving so far. */
const MOVED_M = 8

const holds = (pack: Pack | undefined, lon: number, lat: number): boolean =>
  pack?.centres.some((centre) => metres(lon, lat, centre.lon, centre.lat) < HOLDS_M) ?? false

/** Add the square around a place to what is kept for use without a network. */
async function fetchSquare(lon: number, lat: number): Promise<void> {
  const found = await api.components(boxAround(lon, lat, SQUARE_M))
  const pack = await store.kept<Pack>(KEY)
  const all = new Map(pack?.components.map((each) => [each.code, each]))
  for (const { code, name, catalogue, category_code, lon, lat } of found) {
    all.delete(code) // what was fetched last stands last
    all.set(code, { code, name, catalogue, category_code, lon, lat, distance_m: 0 })
  }
  const components = [...all.values()].slice(-LONGEST)
  const dropped = components.length < all.size
  const centres = [...(dropped ? [] : (pack?.centres ?? [])), { lon, lat }]
  await store.keep(KEY, { centres, at: Date.now(), components } satisfies Pack)
}

export function useNearby(place: Ref<Place | null>) {
  const located = shallowRef<Located | null>(null)
  const components = shallowRef<NearComponent[]>([])
  /** When the offline list was fetched; null while the list is the server's. */
  const listedAt = ref<number | null>(null)
  const looked = ref(false)
  const problem = shallowRef<Problem | null>(null)
  let last: Place | null = null

  async function look(at: Place): Promise<void> {
    last = at
    const pack = await store.kept<Pack>(KEY)
    if (!looked.value && pack) {
      components.value = nearest(pack.components, at.lon, at.lat)
      listedAt.value = pack.at
    }
    try {
      const found = await api.locate(at.lon, at.lat, at.crs)
      if (last !== at) return
      located.value = found
      components.value = found.components
      listedAt.value = null
      problem.value = null
      looked.value = true
      if (!holds(pack, at.lon, at.lat)) await fetchSquare(at.lon, at.lat).catch(() => undefined)
    } catch (error) {
      if (last !== at) return
      located.value = null
      // Outside the town is an answer; no answer at all is what the kept list is for.
      problem.value = error instanceof ApiError && error.problem.status === 422 ? error.problem : null
      components.value = pack && !problem.value ? nearest(pack.components, at.lon, at.lat) : []
      listedAt.value = problem.value ? null : (pack?.at ?? 0)
      looked.value = true
    }
  }

  watch(
    place,
    (at) => {
      if (at && (!last || metres(at.lon, at.lat, last.lon, last.lat) > MOVED_M)) void look(at)
    },
    { immediate: true },
  )
  return { located, components, listedAt, looked, problem }
}
