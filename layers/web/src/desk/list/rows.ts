/** The cases of the list as far as they are read: page by page, kept fresh while others work. Knows no widgets. */
import { ref, shallowRef, type Ref } from 'vue'

import { api, isAbort } from '../../shared/api'
import { toQuery } from '../../shared/filter'
import type { CaseItem, CasePage } from '../../shared/types'
import { listApi } from './api'
import type { Scene } from './address'

const PAGE = 100
/** The server's largest page: so many rows are read anew at once when something changed. */
const FRESH = 200

export interface Source {
  page: (scene: Scene, cursor: string, limit: number, signal: AbortSignal) => Promise<CasePage>
  /** How many there are in all, without a scan; null where nobody knows. */
  total: (scene: Scene, signal: AbortSignal) => Promise<number | null>
}

export const server: Source = {
  page: ({ filter, order, task }, cursor, limit, signal) =>
    task ? listApi.taskPage(task, toQuery(filter), order, cursor, limit, signal) : listApi.page(toQuery(filter), order, cursor, limit, signal),
  total: ({ filter, task }, signal) => (task ? Promise.resolve(null) : api.count(toQuery(filter), [], signal).then((found) => found.total)),
}

export interface Rows {
  items: Ref<readonly CaseItem[]>
  total: Ref<number | null>
  /** Whether there are more to read. */
  more: Ref<boolean>
  /** Nothing of this scene has been shown yet. */
  first: Ref<boolean>
  loading: Ref<boolean>
  problem: Ref<unknown>
  /** Something changed beyond what is read anew by itself. */
  outdated: Ref<boolean>
  show: (scene: Scene) => Promise<void>
  readMore: () => Promise<void>
  /** Reads anew what is shown, without taking it away meanwhile. */
  refresh: (whole?: boolean) => Promise<void>
}

export function useRows(source: Source = server): Rows {
  const items = shallowRef<readonly CaseItem[]>([])
  const total = ref<number | null>(null)
  const more = ref(false)
  const first = ref(true)
  const loading = ref(false)
  const problem = shallowRef<unknown>(null)
  const outdated = ref(false)
  let scene: Scene | null = null
  let next: string | null = null
  let running = new AbortController()
  let reading: Promise<void> | null = null

  async function attempt(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = running
    loading.value = true
    try {
      await work(signal)
      if (!signal.aborted) problem.value = null
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) problem.value = error
    }
    if (!signal.aborted) loading.value = false
  }
  function restart(): void {
    running.abort()
    running = new AbortController()
    reading = null
  }

  async function readFirst(limit: number): Promise<void> {
    restart()
    const wanted = scene
    if (!wanted) return
    await attempt(async (signal) => {
      const [page, count] = await Promise.all([source.page(wanted, '', limit, signal), source.total(wanted, signal)])
      if (signal.aborted) return
      items.value = page.items
      next = page.next
      more.value = next !== null
      total.value = count
      first.value = false
      outdated.value = false
    })
  }

  return {
    items, total, more, first, loading, problem, outdated,
    show(wanted) {
      scene = wanted
      items.value = []
      total.value = null
      more.value = false
      first.value = true
      return readFirst(PAGE)
    },
    readMore() {
      if (next === null || !scene || (loading.value && !reading)) return reading ?? Promise.resolve()
      const [wanted, cursor] = [scene, next]
      reading ??= attempt(async (signal) => {
        const page = await source.page(wanted, cursor, PAGE, signal)
        if (signal.aborted) return
        // A case may have moved down the order between two pages: it is shown once.
        const known = new Set(items.value.map((item) => item.id))
        items.value = [...items.value, ...page.items.filter((item) => !known.has(item.id))]
        next = page.next
        more.value = next !== null
      }).finally(() => (reading = null))
      return reading
    },
    async refresh(whole = false) {
      if (!scene || first.value) return
      if (items.value.length <= FRESH || whole) return readFirst(Math.min(FRESH, Math.max(PAGE, items.value.length)))
      outdated.value = true
      const wanted = scene
      const { signal } = running
      total.value = await source.total(wanted, signal).catch(() => total.value)
    },
  }
}
