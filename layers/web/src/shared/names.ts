/** The names behind codes: villages, departments, categories of the town. Read once. */
import { computed, ref, shallowRef } from 'vue'

import { api } from './api'
import { t, word } from './i18n'
import type { FilterKey } from './filter'
import type { Catalogue, Me, Named, Town } from './types'

export const town = shallowRef<Town | null>(null)
export const me = shallowRef<Me | null>(null)
export const divisions = shallowRef<GeoJSON.FeatureCollection | null>(null)
export const departments = shallowRef<Named[]>([])
export const catalogue = shallowRef<Catalogue | null>(null)
export const namesProblem = ref<unknown>(null)

/** Whether the one who is signed in may do this; what they may not is not shown. */
export const may = (permission: string): boolean => me.value?.permissions.includes(permission) ?? false

export interface Choice {
  value: string
  label: string
  /** Heading the choice stands under. */
  group?: string
}

const villages = computed<Named[]>(() =>
  (divisions.value?.features ?? []).map(({ properties }) => ({ code: String(properties?.code), name: String(properties?.name) })),
)

/** Categories as filter prefixes: each group first, then its categories. */
export const categories = computed<Choice[]>(() =>
  (catalogue.value?.groups ?? []).flatMap((group) => {
    const heading = `${word('category', group.kind)} · ${group.name}`
    return [
      { value: `${group.kind}:${group.code}`, label: `${t('app.all')} ${group.name}`, group: heading },
      ...group.categories.map((c) => ({ value: `${group.kind}:${c.code}`, label: c.name, group: heading })),
    ]
  }),
)

const CODES: Partial<Record<FilterKey, readonly string[]>> = {
  status: ['open', 'closed', 'void'],
  light: ['red', 'yellow', 'green', 'none'],
  stage: ['report', 'acceptance', 'filing', 'dispatch', 'handling', 'feedback', 'check', 'closing'],
  channel: ['patrol', 'public', 'hotline', 'video', 'superior', 'sensor', 'leader'],
  severity: ['3', '2', '1'],
  handling_light: ['red', 'yellow', 'green', 'none'],
  stage_light: ['red', 'yellow', 'green', 'none'],
  overdue: ['true', 'false'],
  supervised: ['true', 'false'],
  urged: ['true', 'false'],
  awaits: ['acceptor', 'shift_leader', 'dispatcher', 'handler', 'department_manager', 'inspector', 'leader', 'evaluator', 'census_clerk', 'public'],
}
/** The family of words that a parameter's codes are looked up in, where it is not called like the parameter. */
const WORDS: Partial<Record<FilterKey, string>> = {
  overdue: 'filter.overdue',
  supervised: 'filter.supervised',
  urged: 'filter.urged',
  awaits: 'role',
}

/** What may be chosen for a filter parameter, named. */
export function choices(key: FilterKey): Choice[] {
  if (key === 'village') return villages.value.map((v) => ({ value: v.code, label: v.name }))
  if (key === 'department') return departments.value.map((d) => ({ value: d.code, label: d.name }))
  if (key === 'category') return categories.value
  return (CODES[key] ?? []).map((value) => ({ value, label: word(WORDS[key] ?? key, value) }))
}

/** The name of one filter value, the value itself where it has no name. */
export function nameOf(key: FilterKey, value: string): string {
  if (key === 'bbox') return t('filter.bbox')
  return choices(key).find((choice) => choice.value === value)?.label ?? value
}

let running: Promise<void> | undefined

/** Reads the names, once however often it is asked for meanwhile; a failure stays shown until they are there. */
export function readNames(): Promise<void> {
  running ??= read().finally(() => (running = undefined))
  return running
}

async function read(): Promise<void> {
  try {
    const self = api.me()
    // Who may not see the ground (an auditor, say) does without its names; the page stands.
    const ofGround = async <T>(ask: () => Promise<T>, without: T) => ((await self).permissions.includes('map.view') ? ask() : without)
    ;[town.value, me.value, divisions.value, departments.value, catalogue.value] = await Promise.all([
      api.town(),
      self,
      ofGround(() => api.divisions(), null),
      ofGround(() => api.departments(), []),
      api.catalogue(),
    ])
    namesProblem.value = null
  } catch (error) {
    namesProblem.value = error
  }
}
