/** One request and its answer, believed only as far as it can be. Knows the clock's offset; keeps no session. */
import { ref } from 'vue'

import type { Answer } from './outbox'
import { keep, kept } from './store'

export type Reach = 'unknown' | 'open' | 'unreachable' | 'portal'

/** What the last request met. The browser's own idea of being on line is not asked: it does not know. */
export const reach = ref<Reach>('unknown')
/** Server time minus this phone's, ms; the Date header is exact to a second. */
export const offset = ref(0)

const KEY = 'clock-offset'
/** Below this a difference may be the header's rounding and the way there. */
const NOISE_MS = 3_000

export const loadOffset = async (): Promise<void> => {
  offset.value = (await kept<number>(KEY)) ?? 0
}

/** The present moment by the server's clock, as well as the phone knows it. */
export const now = (): number => Date.now() + offset.value

function learn(date: string | null, sent: number, received: number): void {
  const server = date ? Date.parse(date) + 500 : Number.NaN
  if (Number.isNaN(server)) return
  const found = Math.round(server - (sent + received) / 2)
  const next = Math.abs(found) < NOISE_MS ? 0 : found
  if (Math.abs(next - offset.value) < NOISE_MS) return
  offset.value = next
  void keep(KEY, next)
}

export interface Ask {
  method?: string
  token?: string | null
  json?: unknown
  bytes?: ArrayBuffer
  mime?: string
  timeout?: number
}

/** The answer; null when nobody answered in time. Cookies stay out of it: a request speaks for one person's token. */
export async function ask(path: string, how: Ask = {}): Promise<Answer | null> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (how.token) headers.Authorization = `Bearer ${how.token}`
  if (how.json !== undefined) headers['Content-Type'] = 'application/json'
  if (how.bytes) headers['Content-Type'] = how.mime ?? 'application/octet-stream'
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(), how.timeout ?? 15_000)
  const sent = Date.now()
  try {
    const answer = await fetch(path, {
      method: how.method ?? 'GET',
      headers,
      body: how.bytes ?? (how.json === undefined ? undefined : JSON.stringify(how.json)),
      credentials: 'omit',
      cache: 'no-store',
      signal: limit.signal,
    })
    const text = await answer.text()
    const received = Date.now()
    let body: unknown = null
    let json = /[/+]json\b/.test(answer.headers.get('Content-Type') ?? '')
    try {
      if (json) body = JSON.parse(text)
    } catch {
      json = false
    }
    reach.value = json || answer.status === 204 ? 'open' : 'portal'
    if (json) learn(answer.headers.get('Date'), sent, received)
    return { status: answer.status, json, body }
  } catch {
    reach.value = 'unreachable'
    return null
  } finally {
    clearTimeout(timer)
  }
}
