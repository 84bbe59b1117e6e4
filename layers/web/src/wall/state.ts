/** What the wall shows, as one state that is also its address: any filter, number, case or scene can be sent on. */
import { computed, reactive, ref, watch, type WritableComputedRef } from 'vue'

import { fromQuery, MANY, ONE, tidy, toQuery, type CaseFilter } from '../shared/filter'
import { day } from '../shared/time'
import { PRESETS, sceneFrom, sceneText, type Scene } from './scenes'

export const MEASURES = ['reported', 'filed', 'dispatched', 'handled', 'on_time', 'closed', 'closed_on_time', 'rework', 'overdue'] as const
export const DIMENSIONS = ['village', 'department', 'unit_grid', 'day'] as const
export const PERIODS = [7, 14, 30] as const
export const LAYERS = ['cases', 'heat', 'inspectors', 'choropleth', 'villages', 'unitGrids', 'dutyGrids', 'components', 'panoramas'] as const

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

export const scene = ref<Scene>({ code: 'overview', of: '' })
export const filter = ref<CaseFilter>({})
export const selection = ref<Selection | null>(null)
/** The number whose cases are listed instead of the filter's. */
export const drill = ref<Drill | null>(null)
export const statistic = reactive<{ measure: Measure; by: Dimension; days: number }>({ measure: 'reported', by: 'village', days: 7 })
export const layers = reactive<Record<LayerName, { on: boolean; opacity: number }>>(
  Object.fromEntries(LAYERS.map((name) => [name, { on: PRESETS.overview.layers.includes(name), opacity: 1 }])) as Record<
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

const joined = (keys: readonly ('village' | 'department' | 'grid')[]): Record<string, string> =>
  Object.fromEntries(keys.flatMap((key) => (filter.value[key] ? [[key, filter.value[key].join()]] : [])))

/** What the filter says that statistics, and what it says that key figures can be narrowed by. */
export const narrowing = computed(() => joined(['village', 'department', 'grid']))
export const figuresOf = computed(() => new URLSearchParams(joined(['village', 'department'])).toString())

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

/** Begins a scene: its filter and layers take the place of what was shown. */
export function enter(next: Scene): void {
  const { filter: begin, layers: shown, by } = PRESETS[next.code]
  scene.value = next
  setFilter(begin(next.of))
  selection.value = null
  statistic.by = by
  for (const name of LAYERS) layers[name].on = shown.includes(name)
}

/** Parameters of the address that are not read here: kept as they are, whoever they belong to. */
const others = reactive<Record<string, string>>({})
const OTHERS_MOST = 40

/** A parameter of the address that belongs to one part of the wall; empty is left out. */
export function addressed(name: string): WritableComputedRef<string> {
  return computed({
    get: () => others[name] ?? '',
    set: (value) => {
      if (value) others[name] = value
      else delete others[name]
    },
  })
}

/** The map tool that is open. */
export const tool = addressed('tool')

function known<T extends string>(all: readonly T[], text: string | null, otherwise: T): T {
  return all.find((one) => one === text) ?? otherwise
}

const FILTER_KEYS: readonly string[] = [...MANY, ...ONE]
const OWN_KEYS: readonly string[] = [...FILTER_KEYS, 'scene', 'open', 'measure', 'by', 'days', 'number', 'layers', 'components', 'lang']

function read(): void {
  const search = new URLSearchParams(location.search)
  const asked = sceneFrom(search.get('scene'))
  if (sceneText(asked) !== sceneText(scene.value)) scene.value = asked
  const preset = PRESETS[scene.value.code]
  filter.value = FILTER_KEYS.some((key) => search.has(key)) ? fromQuery(search) : tidy(preset.filter(scene.value.of))
  const [type = '', ...rest] = (search.get('open') ?? '').split(':')
  selection.value = SELECTABLE.includes(type) ? { type: type as Selection['type'], code: rest.join(':') } : null
  statistic.measure = known(MEASURES, search.get('measure'), 'reported')
  statistic.by = known(DIMENSIONS, search.get('by'), preset.by)
  statistic.days = PERIODS.find((n) => String(n) === search.get('days')) ?? 7
  drill.value = drillFrom(search.get('number'))
  const shown = search.get('layers')?.split(',') ?? preset.layers
  for (const name of LAYERS) layers[name].on = (shown as string[]).includes(name)
  componentCategories.value = search.get('components')?.split(',').filter(Boolean) ?? []
  const left = [...search].filter(([key, value]) => !OWN_KEYS.includes(key) && value).slice(0, OTHERS_MOST)
  for (const key of Object.keys(others)) if (!left.some(([one]) => one === key)) delete others[key]
  Object.assign(others, Object.fromEntries(left))
}

/** The page's address for the present state, without the map's place. */
export function address(): string {
  const preset = PRESETS[scene.value.code]
  const parts: string[] = []
  if (scene.value.code !== 'overview') parts.push(`scene=${sceneText(scene.value)}`)
  if (filterQuery.value !== toQuery(preset.filter(scene.value.of)) || !parts.length) parts.push(filterQuery.value || 'status=all')
  if (selection.value) parts.push(`open=${selection.value.type}:${encodeURIComponent(selection.value.code)}`)
  if (statistic.measure !== 'reported') parts.push(`measure=${statistic.measure}`)
  if (statistic.by !== preset.by) parts.push(`by=${statistic.by}`)
  if (statistic.days !== 7) parts.push(`days=${statistic.days}`)
  if (drill.value) parts.push(`number=${encodeURIComponent(drillText(drill.value))}`)
  const shown = LAYERS.filter((name) => layers[name].on)
  if (shown.join() !== LAYERS.filter((name) => preset.layers.includes(name)).join()) parts.push(`layers=${shown.join()}`)
  if (componentCategories.value.length) parts.push(`components=${componentCategories.value.map(encodeURIComponent).join()}`)
  for (const [key, value] of Object.entries(others)) parts.push(`${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
  return `?${parts.join('&')}`
}

/** What a slider moves (`clock` is the replay's): its way is one step of the history, not a hundred. */
const SLIDING = ['since', 'until', 'clock']
const still = (search: string): string => {
  const rest = new URLSearchParams(search)
  for (const key of SLIDING) rest.delete(key)
  return rest.toString()
}

/** Where the map is, as `zoom/lat/lon`; the map writes it, and goes where `flight` says. */
export const place = ref('')
export const flight = ref('')

/** Shows what an address says, as if it had been opened, but for what belongs to this screen: its rotation. */
export function show(address: string): void {
  const [search = '', hash = ''] = address.split('#')
  const asked = new URLSearchParams(search)
  for (const key of ['rotate', 'stops']) {
    if (others[key]) asked.set(key, others[key])
    else asked.delete(key)
  }
  history.replaceState(null, '', `?${asked}${location.hash}`)
  read()
  if (hash.startsWith('map=')) flight.value = hash.slice(4)
  // A scene alone is a scene from its beginning, also where it is the one that is shown.
  else if (/^\?scene=[^&]*$/.test(search)) scene.value = { ...scene.value }
}

/** Binds the state to the address bar; going back restores what was shown before. */
export function bindAddress(): void {
  let sliding = false
  read()
  history.replaceState(history.state, '', address() + location.hash)
  watch(
    [scene, filterQuery, selection, drill, statistic, layers, componentCategories, others],
    () => {
      const next = address()
      if (next === location.search) return
      const slides = still(next) === still(location.search)
      if ((slides && sliding) || others.rotate) history.replaceState(null, '', next + location.hash)
      else history.pushState(null, '', next + location.hash)
      sliding = slides
    },
    { deep: true },
  )
  addEventListener('popstate', read)
  setInterval(() => (today.value = day(new Date())), 30_000)
}
