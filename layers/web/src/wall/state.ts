/** What the wall shows, as one state that is also its address: any filter, number, case or scene can be sent on. */
import { computed, reactive, ref, watch } from 'vue'

import { fromQuery, tidy, toQuery, type CaseFilter } from '../shared/filter'
import { day } from '../shared/time'

export const MEASURES = ['reported', 'filed', 'dispatched', 'handled', 'on_time', 'closed', 'closed_on_time', 'rework', 'overdue'] as const
export const DIMENSIONS = ['village', 'department', 'unit_grid', 'day'] as const
export const PERIODS = [7, 14, 30] as const
export const LAYERS = ['cases', 'heat', 'inspectors', 'choropleth', 'villages', 'unitGrids', 'dutyGrids', 'components'] as const

export type Measure = (typeof MEASURES)[number]
export type Dimension = (typeof DIMENSIONS)[number]
export type LayerName = (typeof LAYERS)[number]
export interface Selection {
  type: 'case' | 'component' | 'grid' | 'inspector'
  code: string
}

/** One number of the statistics: a measure on some days, of everything or of one key of a dimension. */
export interface Drill {
  measure: Measure
  since: string
  until: string
  by: '' | 'village' | 'department' | 'unit_grid'
  key: string
}

const SELECTABLE: readonly string[] = ['case', 'component', 'grid', 'inspector'] satisfies Selection['type'][]
const DEFAULT_LAYERS: readonly LayerName[] = ['cases', 'inspectors', 'choropleth', 'villages', 'unitGrids']
/** What a bare `/wall` shows: what is going on now. */
const DEFAULT_FILTER: CaseFilter = { status: ['open'] }

export const filter = ref<CaseFilter>({})
export const selection = ref<Selection | null>(null)
/** The number whose cases are listed instead of the filter's. */
export const drill = ref<Drill | null>(null)
export const statistic = reactive<{ measure: Measure; by: Dimension; days: number }>({ measure: 'reported', by: 'village', days: 7 })
export const layers = reactive<Record<LayerName, { on: boolean; opacity: number }>>(
  Object.fromEntries(LAYERS.map((name) => [name, { on: DEFAULT_LAYERS.includes(name), opacity: 1 }])) as Record<
    LayerName,
    { on: boolean; opacity: number }
  >,
)
/** Component categories drawn, as filter prefixes; none means every category. */
export const componentCategories = ref<string[]>([])

export const filterQuery = computed(() => toQuery(filter.value))

/** The town's calendar day; a wall hangs through midnight. */
const today = ref(day(new Date()))

/** First and last day of the statistics period. */
export const period = computed(() => ({
  since: day(new Date(`${today.value}T12:00:00+08:00`), statistic.days - 1),
  until: today.value,
}))

/** What the filter says that statistics can be narrowed by. */
export const narrowing = computed(() => {
  const { village, department } = filter.value
  return { ...(village && { village: village.join() }), ...(department && { department: department.join() }) }
})

/** The query of the list behind the number that was opened. */
export const drillQuery = computed(() => {
  const d = drill.value
  if (!d) return ''
  const own = d.by ? { [d.by === 'unit_grid' ? 'grid' : d.by]: d.key } : {}
  return new URLSearchParams({ ...narrowing.value, ...own, day_since: d.since, day_until: d.until }).toString()
})

/** A number in one word of the address. */
export const drillText = (d: Drill): string => [d.measure, d.since, d.until, d.by, d.key].join('~')

/** Reads such a word; null for anything else. */
export function drillFrom(text: string | null): Drill | null {
  const [measure, since = '', until = '', by = '', key = ''] = (text ?? '').split('~')
  const found = MEASURES.find((one) => one === measure)
  return found && since && until ? { measure: found, since, until, by: known(['', 'village', 'department', 'unit_grid'], by, ''), key } : null
}

export function setFilter(next: CaseFilter): void {
  filter.value = tidy(next)
  drill.value = null
}

function known<T extends string>(all: readonly T[], text: string | null, otherwise: T): T {
  return all.find((one) => one === text) ?? otherwise
}

function read(): void {
  const search = new URLSearchParams(location.search)
  search.delete('lang')
  filter.value = search.size ? fromQuery(search) : DEFAULT_FILTER
  const [type = '', ...rest] = (search.get('open') ?? '').split(':')
  selection.value = SELECTABLE.includes(type) ? { type: type as Selection['type'], code: rest.join(':') } : null
  statistic.measure = known(MEASURES, search.get('measure'), 'reported')
  statistic.by = known(DIMENSIONS, search.get('by'), 'village')
  statistic.days = PERIODS.find((n) => String(n) === search.get('days')) ?? 7
  drill.value = drillFrom(search.get('number'))
  const shown = search.get('layers')?.split(',') ?? DEFAULT_LAYERS
  for (const name of LAYERS) layers[name].on = (shown as string[]).includes(name)
  componentCategories.value = search.get('components')?.split(',').filter(Boolean) ?? []
}

/** The page's address for the present state, without the map's place. */
function address(): string {
  const parts = [filterQuery.value || 'status=all']
  if (selection.value) parts.push(`open=${selection.value.type}:${encodeURIComponent(selection.value.code)}`)
  if (statistic.measure !== 'reported') parts.push(`measure=${statistic.measure}`)
  if (statistic.by !== 'village') parts.push(`by=${statistic.by}`)
  if (statistic.days !== 7) parts.push(`days=${statistic.days}`)
  if (drill.value) parts.push(`number=${encodeURIComponent(drillText(drill.value))}`)
  const shown = LAYERS.filter((name) => layers[name].on)
  if (shown.join() !== LAYERS.filter((name) => DEFAULT_LAYERS.includes(name)).join()) parts.push(`layers=${shown.join()}`)
  if (componentCategories.value.length) parts.push(`components=${componentCategories.value.map(encodeURIComponent).join()}`)
  return `?${parts.join('&')}`
}

/** Binds the state to the address bar; going back restores what was shown before. */
export function bindAddress(): void {
  read()
  history.replaceState(history.state, '', address() + location.hash)
  watch(
    [filterQuery, selection, drill, statistic, layers, componentCategories],
    () => {
      const next = address()
      if (next !== location.search) history.pushState(null, '', next + location.hash)
    },
    { deep: true },
  )
  addEventListener('popstate', read)
  setInterval(() => (today.value = day(new Date())), 30_000)
}
