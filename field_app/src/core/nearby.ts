/** The components around a place: the server's list, or what the phone last fetched when there is no server. */
import { ref, shallowRef, watch, type Ref } from 'vue'

import { api, ApiError } from './api'
import { boxAround, metres, nearest } from './near'
import * as store from './store'
import type { Located, NearComponent, Place, Problem } from './types'

interface Pack {
  lon: number
  lat: number
  at: number
  components: NearComponent[]
}

const KEY = 'near-pack'
const PACK_M = 600
/** The list is asked for anew after moving so far. */
const MOVED_M = 8

async function fetchPack(lon: number, lat: number): Promise<void> {
  const all = await api.components(boxAround(lon, lat, PACK_M))
  const components = all.map(({ code, name, catalogue, category_code, lon, lat }) => ({
    ...{ code, name, catalogue, category_code, lon, lat },
    distance_m: 0,
  }))
  const pack: Pack = { lon, lat, at: Date.now(), components }
  await store.keep(KEY, pack)
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
      if (!pack || metres(at.lon, at.lat, pack.lon, pack.lat) > PACK_M / 4) await fetchPack(at.lon, at.lat).catch(() => undefined)
    } catch (error) {
      if (last !== at) return
      located.value = null
      // Outside the town is an answer; no answer at all is what the kept list is for.
      problem.value = error instanceof ApiError && error.problem.status === 422 ? error.problem : null
      components.value = pack && !problem.value ? nearest(pack.components, at.lon, at.lat) : []
      listedAt.value = pack?.at ?? 0
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
