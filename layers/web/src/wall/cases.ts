/** The list beside the map: the pages read so far of the filter's cases, or of the cases behind one number. */
import { ref, shallowRef, watch } from 'vue'

import { api, isAbort } from '../shared/api'
import { toQuery, without } from '../shared/filter'
import { version, type CaseNews } from '../shared/live'
import type { CaseItem, Statistics } from '../shared/types'
import { hear } from './news'
import { drill, drillQuery, filter, filterQuery, narrowing, type Drill } from './state'
import { ranking } from './statistics'

const PAGE = 50
/** A number's cases are drawn one by one: they are read in larger pages, as far as a map can still show them. */
const DRILL_PAGE = 200
const DRILL_MOST = 1000

export const items = shallowRef<CaseItem[]>([])
export const next = ref<string | null>(null)
/** How many the list holds in all, or the opened number itself; null before the first answer. */
export const total = ref<number | null>(null)
export const lights = ref<Record<string, number>>({})
export const loading = ref(true)
export const problem = shallowRef<unknown>(null)

let running = new AbortController()

const page = (cursor: string, signal: AbortSignal) =>
  drill.value
    ? api.statisticCases(drill.value.measure, drillQuery.value, cursor, DRILL_PAGE, signal)
    : api.cases(filterQuery.value, cursor, PAGE, signal)

/** The number itself, as the statistics have it. */
async function numberOf(d: Drill, signal: AbortSignal): Promise<number> {
  const wanted = { measures: d.measure, by: d.by || 'day', since: d.since, until: d.until, ...narrowing.value }
  const found: Statistics = await api.statistics(new URLSearchParams(wanted).toString(), signal)
  const values = d.by ? found.rows.find((row) => row.key === d.key)?.values : found.totals
  return values?.[d.measure] ?? 0
}

/** Reads the first page and the counts anew; what is shown stays until they are there. */
export async function load(): Promise<void> {
  running.abort()
  running = new AbortController()
  const { signal } = running
  loading.value = true
  readAt = performance.now()
  try {
    const [first] = await Promise.all([page('', signal), recount(signal)])
    items.value = first.items
    next.value = first.next
    problem.value = null
    loading.value = false
  } catch (error) {
    if (isAbort(error)) return
    problem.value = error
    loading.value = false
  }
  while (drill.value && next.value && items.value.length < DRILL_MOST && !problem.value && !signal.aborted) await loadMore()
}

async function recount(signal: AbortSignal): Promise<void> {
  const [counted, lit] = await Promise.all([
    drill.value ? numberOf(drill.value, signal) : api.count(filterQuery.value, [], signal).then((c) => c.total),
    api.count(toQuery(without(filter.value, 'light', 'overdue')), ['light'], signal),
  ])
  total.value = counted
  lights.value = lit.facets.light ?? {}
}

/** News goes into the list as it comes; the whole is read again at most this often, and not while somebody turns pages. */
const REREAD_MS = 8000
let readAt = 0
export const paging = ref(false)

/** Newest report first: the list's own order. */
const before = (a: CaseItem, b: CaseItem) => a.reported_at > b.reported_at || (a.reported_at === b.reported_at && a.id > b.id)

function take(news: CaseNews): void {
  if (drill.value) return
  const rest = items.value.filter((item) => item.id !== news.id)
  if (news.matches) {
    const at = rest.findIndex((item) => before(news, item))
    if (at >= 0 || !next.value) rest.splice(at < 0 ? rest.length : at, 0, news)
  }
  items.value = rest
}

let reading: Promise<void> | null = null

/** Reads the next page, once, however often it is asked for meanwhile. */
export function loadMore(): Promise<void> {
  if (!next.value || (loading.value && !reading)) return Promise.resolve()
  reading ??= readMore(next.value, running.signal).finally(() => (reading = null))
  return reading
}

async function readMore(cursor: string, signal: AbortSignal): Promise<void> {
  loading.value = true
  try {
    const more = await page(cursor, signal)
    items.value = [...items.value, ...more.items]
    next.value = more.next
    loading.value = false
  } catch (error) {
    if (isAbort(error)) return
    problem.value = error
    loading.value = false
  }
}

/** Keeps the list equal to what the state asks for; a number's cases move when the number does, which is seldom. */
export function follow(): void {
  watch([filterQuery, drill], load, { immediate: true })
  hear({ case: take, gone: (id) => (items.value = items.value.filter((item) => item.id !== id)) })
  watch(version, () => {
    if (drill.value) return
    if (problem.value || (performance.now() - readAt > REREAD_MS && !paging.value)) void load()
    else void recount(running.signal).catch(() => null)
  })
  watch(ranking, (_, before) => {
    if (drill.value && before) void load()
  })
}
