/** The live stream: what arrives, whether it is connected, and what was missed. Knows no widgets. */
import { ref, watch, type Ref } from 'vue'

import { api, query } from './api'
import type { CaseItem, Position } from './types'

export type CaseNews = CaseItem & { action: string; actor: string; matches: boolean }

export const connected = ref(false)
export const heardAt = ref<string | null>(null)
/** Raised whenever cases changed on the server: what was read of them is to be read again. */
export const version = ref(0)

/** Quiet time after a change before everything is read again, and the longest wait when changes never pause. */
const SETTLE_MS = 600
const LONGEST_MS = 2500
/** Positions come every few seconds: a stream that brought some and then nothing for this long is a dead wire. */
const SILENCE_MS = 20_000
const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000]

let settle: ReturnType<typeof setTimeout> | undefined
let firstChange = 0

/** Notes that cases changed; many changes in a row become one new reading. */
export function changed(): void {
  const now = performance.now()
  if (settle === undefined) firstChange = now
  clearTimeout(settle)
  const wait = Math.max(0, Math.min(SETTLE_MS, firstChange + LONGEST_MS - now))
  settle = setTimeout(() => {
    settle = undefined
    version.value += 1
  }, wait)
}

export interface Listener {
  case?: (news: CaseNews) => void
  positions?: (items: Position[]) => void
}

/**
 * Listens until the returned function is called, and says of each change whether it belongs to the filter. The browser reconnects by itself and
 * names the last event it has; when the server has closed the stream for good (restart, refused) or the filter is
 * another one, a new stream is opened and everything is read again. `filterQuery` is the filter as the server reads it.
 */
export function listen(filterQuery: Readonly<Ref<string>>, to: Listener = {}): () => void {
  let failures = 0
  let stream: EventSource
  let again: ReturnType<typeof setTimeout> | undefined
  let silence: ReturnType<typeof setTimeout> | undefined

  const open = (missed: boolean) => {
    clearTimeout(again)
    clearTimeout(silence)
    stream = new EventSource(`/api/stream${query(filterQuery.value)}`)
    stream.onopen = () => {
      connected.value = true
      failures = 0
      if (missed) changed()
      missed = false
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
        heardAt.value = new Date().toISOString()
        take(JSON.parse((event as MessageEvent<string>).data) as T)
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
    // A case left what this caller may see: the lists are read again without it.
    on('gone', changed)
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
