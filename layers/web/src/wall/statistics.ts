/** The numbers of the statistics panel and of the map's areas: read together, so that they agree. */
import { reactive, ref, shallowRef, watch } from 'vue'

import { api, isAbort } from '../shared/api'
import type { Statistics } from '../shared/types'
import { useRereading } from './rest'
import { narrowing, period, statistic, type Dimension } from './state'

export const ranking = shallowRef<Statistics | null>(null)
export const trend = shallowRef<Statistics | null>(null)
export const problem = shallowRef<unknown>(null)
export const loading = ref(true)

/** Share of the largest number by area code, and that number. */
export const shares = reactive<{ villages: Map<string, number>; unitGrids: Map<string, number>; villageTop: number; unitGridTop: number }>({
  villages: new Map(),
  unitGrids: new Map(),
  villageTop: 0,
  unitGridTop: 0,
})

/** Numbers of a period move slowly: they are read again at most this often while cases change. */
const REST_MS = 10_000

let running = new AbortController()

function relative(rows: Statistics['rows'], measure: string): [Map<string, number>, number] {
  const top = rows.reduce((most, row) => Math.max(most, row.values[measure] ?? 0), 0)
  return [new Map(top ? rows.map((row) => [row.key, (row.values[measure] ?? 0) / top]) : []), top]
}

export async function load(): Promise<void> {
  running.abort()
  running = new AbortController()
  const { signal } = running
  const { measure, by } = statistic
  const read = (dimension: Dimension) =>
    // What is closed stands beside every measure's days: whether it keeps up is what one wants to know.
    api.statistics(new URLSearchParams({ measures: dimension === 'day' ? `${measure},closed` : measure, by: dimension, ...period.value, ...narrowing.value }).toString(), signal)
  loading.value = true
  try {
    const [days, villages, grids] = await Promise.all([read('day'), read('village'), read('unit_grid')])
    ranking.value = by === 'day' ? days : by === 'village' ? villages : by === 'unit_grid' ? grids : await read(by)
    trend.value = days
    ;[shares.villages, shares.villageTop] = relative(villages.rows, measure)
    ;[shares.unitGrids, shares.unitGridTop] = relative(grids.rows, measure)
    problem.value = null
    loading.value = false
  } catch (error) {
    if (isAbort(error)) return
    problem.value = error
    loading.value = false
  }
}

/** Keeps the numbers equal to what is asked, and near to what is happening. */
export function follow(): void {
  watch(() => JSON.stringify([statistic, period.value, narrowing.value]), load, { immediate: true })
  useRereading(load, REST_MS)
}
