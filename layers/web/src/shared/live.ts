/** The live stream: what arrives, whether it is connected, and what was missed. Knows no widgets. */
import { ref, watch, type Ref } from 'vue'

import { api, query } from './api'
import type { CaseItem, Position } from './types'

export type CaseNews = CaseItem & { action: string; actor: string; matches: boolean }

export const connected = ref(false)
export const heardAt = ref<string | null>(null)
/** Raised whenever cases changed on the server: what was read of them is to be read again. */
export const version = ref(0)

/** How soon after a change what was read is read again, and how long after that at the earliest once more. */
const SOON_MS = 150
let restMs = 2500
/** Positions come every few seconds: a stream that brought some and then nothing for this long is a dead wire. */
const SILENCE_MS = 20_000
const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000]

let due: ReturnType<typeof setTimeout> | undefined
let readAt = -Infinity

/** A page that is looked at from afar and never typed into may read again sooner. */
export function readEvery(ms: number): void {
  restMs = ms
}

/** Notes that cases changed; many changes in a row become few readings. */
export function changed(): void {
  due ??= setTimeout(() => {
    due = undefined
    readAt = performance.now()
    version.value += 1
  }, Math.max(SOON_MS, readAt + restMs - performance.now()))
}

export interface Listener {
  case?: (news: CaseNews) => void
  /** A case left what this caller may see. */
  gone?: (id: string) => void
  positions?: (items: Position[]) => void
}

/**
 * Listens until the returned function is called, and says of each change whether it belongs to the filter. The browser
 * reconnects by itself and names the last event it has; when the server has closed the stream for good (refused) or the
 * filter is another one, a new stream is opened that names it too, and everything is read again. `filterQuery` is the
 * filter as the server reads it.
 */
export function listen(filterQuery: Readonly<Ref<string>>, to: Listener = {}): () => void {
  let failures = 0
  let stream: EventSource
  let again: ReturnType<typeof setTimeout> | undefined
  let silence: ReturnType<typeof setTimeout> | undefined
  let last = ''

  const open = (missed: boolean) => {
    clearTimeout(again)
    clearTimeout(silence)
    stream = new EventSource(`/api/stream${query(filterQuery.value, last && `last_event_id=${encodeURIComponent(last)}`)}`)
    stream.onopen = () => {
      connected.value = true
      failures = 0
      if (missed) changed()
      // Opened once more it was broken off between: what failed meanwhile is read again.
      missed = true
    }
    stream.onerror = () => {
      connected.value = false
      if (stream.readyState !== EventSource.CLOSED) return
      const pause = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]
      // An expired session sends to the login page from here: the stream itself does not say why it was refused.
      void api.me().catch(() => null)
      again = setTimeout(open, pause, true)
    }
    const on = <T>(name: string, take: (data: T) => void) =>
      stream.addEventListener(name, (event) => {
        const { data, lastEventId } = event as MessageEvent<string>
        heardAt.value = new Date().toISOString()
        if (lastEventId) last = lastEventId
        take(JSON.parse(data) as T)
      })
    on<CaseNews>('case', (news) => {
      changed()
      to.case?.(news)
    })
    on<{ items: Position[] }>('positions', (data) => {
      to.positions?.(data.items)
      clearTimeout(silence)
      silence = setTimeout(() => {
        connected.value = false
        renew()
      }, SILENCE_MS)
    })
    on('reset', changed)
    on<{ id: string }>('gone', ({ id }) => {
      changed()
      to.gone?.(id)
    })
    on('hello', () => undefined)
  }
  const renew = () => {
    stream.close()
    open(true)
  }
  open(false)
  const stop = watch(filterQuery, renew)
  return () => {
    stop()
    clearTimeout(again)
    clearTimeout(silence)
    stream.close()
    connected.value = false
  }
}
