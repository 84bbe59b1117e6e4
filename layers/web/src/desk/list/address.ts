/** What the list shows, as its address: filter, order, whose tasks, which case stands open, whether the map does. Pure. */
import type { LocationQuery, LocationQueryRaw } from 'vue-router'

import { fromQuery, tidy, type CaseFilter } from '../../shared/filter'

export type Order = 'due' | 'newest'

export interface Scene {
  filter: CaseFilter
  order: Order
  /** Only cases with an open task of this kind for me or my department. */
  task: string
  /** The case beside the list. */
  open: string
  map: boolean
}

const text = (value: LocationQuery[string] | undefined): string => (Array.isArray(value) ? (value[0] ?? '') : (value ?? ''))

/** Reads an address; one that says nothing at all is `null`: the page chooses where to begin. */
export function sceneOf(query: LocationQuery): Scene | null {
  const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, text(value)] as [string, string]))
  search.delete('lang')
  if (![...search.keys()].length) return null
  return {
    filter: fromQuery(search),
    order: search.get('order') === 'newest' ? 'newest' : 'due',
    task: search.get('task') ?? '',
    open: search.get('open') ?? '',
    map: search.get('map') === '1',
  }
}

/** The address of a scene; no filter says so out loud, so that it is not taken for an empty address. */
export function queryOf(scene: Scene): LocationQueryRaw {
  const filter = Object.entries(tidy(scene.filter)).map(([key, values]) => [key, values.join(',')])
  return {
    ...(filter.length ? Object.fromEntries(filter) : scene.task ? {} : { status: 'all' }),
    ...(scene.order === 'newest' && { order: 'newest' }),
    ...(scene.task && { task: scene.task }),
    ...(scene.map && { map: '1' }),
    ...(scene.open && { open: scene.open }),
  }
}

/** The scene that shows exactly what a queue, view or kept filter counts, the map left as it is. */
export const sceneFor = (filter: Record<string, string> | string, before: Pick<Scene, 'order' | 'map'>): Scene => ({
  filter: fromQuery(new URLSearchParams(filter)),
  order: before.order,
  task: '',
  open: '',
  map: before.map,
})

const same = (a: CaseFilter, b: CaseFilter) => JSON.stringify(tidy(a)) === JSON.stringify(tidy(b))

/** Whether the scene shows what this filter holds. */
export const shows = (scene: Scene, filter: Record<string, string> | string): boolean =>
  !scene.task && same(scene.filter, fromQuery(new URLSearchParams(filter)))
