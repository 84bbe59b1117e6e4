/** Records where a person goes while the app is open, and brings it to the server in batches. */
import { ref } from 'vue'

import { wait } from './backoff'
import { ask, offset } from './http'
import { judge } from './outbox'
import { askOnce, watchPlace } from './place'
import { expire, session } from './session'
import * as store from './store'
import type { Place, Problem, Session } from './types'

/** One position at most this often; one batch at most this often. */
const FIX_MS = 5_000
const BATCH_MS = 15_000
const BATCH = 500
/** Without news for so long the position is asked for. */
const STILL_MS = 25_000
const LOCK = 'wangge-phone-track'

export const waiting = ref(0)
export const sentToday = ref(0)
export const trackProblem = ref<Problem | null>(null)
/** This tab records; another tab of the phone leaves it to this one. */
export const recording = ref(false)

interface Day {
  day: string
  count: number
}

const dayOf = (moment: number) => new Intl.DateTimeFormat('en-CA', { timeZone: 'Asia/Shanghai' }).format(moment)
const dayKey = (owner: string) => `sent-positions:${owner}`

export async function loadCounts(owner: string): Promise<void> {
  const day = await store.kept<Day>(dayKey(owner))
  sentToday.value = day?.day === dayOf(Date.now()) ? day.count : 0
  waiting.value = await store.countFixes(owner)
}

/** The largest acknowledged number of a batch; null when the answer does not name one. */
export function ackedIn(body: Record<string, unknown>, seqs: readonly number[]): number | null {
  const acked = body.acked_seq
  return typeof acked === 'number' && Number.isInteger(acked) && acked <= Math.max(...seqs) ? acked : null
}

/**
 * The first of them, as far as they were dated by one reckoning. What it says at the moment of sending tells the server
 * how far off it was: a phone that learned the time meanwhile must not vouch for fixes it dated before.
 */
export const ofOneClock = <T extends { clock_ms?: number }>(fixes: readonly T[]): T[] => {
  const other = fixes.findIndex((fix) => fix.clock_ms !== fixes[0]?.clock_ms)
  return other < 0 ? [...fixes] : fixes.slice(0, other)
}

/** Send one batch; resolves to true when more may follow at once. */
export async function sendBatch(held: Session, device: string): Promise<boolean> {
  const owner = held.me.id
  const unsent = await store.waitingFixes(owner, BATCH)
  if (!unsent.length) return false
  const batch = ofOneClock(unsent)
  const fixes = batch.map(({ seq, at, lon, lat, accuracy_m }) => ({ seq, at, lon, lat, accuracy_m }))
  const sent_at = new Date(Date.now() + (batch[0]!.clock_ms ?? offset.value)).toISOString()
  const answer = await ask('/api/positions', { method: 'POST', token: held.token, json: { device, crs: 'EPSG:4326', sent_at, fixes } })
  const outcome = answer && judge(answer, (body) => ackedIn(body, fixes.map((fix) => fix.seq)))
  if (!outcome || outcome.kind !== 'ok') {
    if (outcome?.kind === 'login') await expire(held.token)
    trackProblem.value = outcome?.kind === 'refused' ? outcome.problem : null
    return false
  }
  trackProblem.value = null
  const done = fixes.filter((fix) => fix.seq <= outcome.value).length
  await store.ackFixes(owner, outcome.value)
  const today = dayOf(Date.now())
  const before = await store.kept<Day>(dayKey(owner))
  await store.keep(dayKey(owner), { day: today, count: (before?.day === today ? before.count : 0) + done })
  await loadCounts(owner)
  return done > 0 && (batch.length === BATCH || batch.length < unsent.length)
}

/** Record and send until the returned function is called; one tab of a phone at a time. */
export function track(held: Session): () => void {
  const stop = new AbortController()
  const owner = held.me.id
  const run = () =>
    new Promise<void>((over) => {
      recording.value = true
      let last = 0
      let failures = 0
      let timer = 0
      const release = watchPlace((place: Place) => {
        if (Date.now() - last < FIX_MS) return
        last = Date.now()
        const { at, lon, lat, accuracy_m } = place
        store.keepFix({ owner, at, lon, lat, accuracy_m, clock_ms: offset.value }).then(
          () => void (waiting.value += 1),
          () => undefined, // a full phone keeps reports first; the gap in the numbers shows on the server
        )
      })
      const beat = async () => {
        if (Date.now() - last > STILL_MS) askOnce()
        const current = session.value
        let failed = false
        if (current?.me.id === owner && !current.expired && waiting.value > 0) {
          const device = await store.deviceId()
          const before = waiting.value
          while (await sendBatch(current, device)) if (stop.signal.aborted) break
          failed = waiting.value >= before
        }
        failures = failed ? failures + 1 : 0
        if (!stop.signal.aborted) timer = window.setTimeout(beat, failed ? Math.max(BATCH_MS, wait(failures)) : BATCH_MS)
      }
      timer = window.setTimeout(beat, 2_000)
      stop.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        release()
        recording.value = false
        over()
      })
    })
  void loadCounts(owner).then(() => {
    if (stop.signal.aborted) return
    if (!navigator.locks) void run()
    else void navigator.locks.request(LOCK, { signal: stop.signal }, run).catch(() => undefined)
  })
  return () => stop.abort()
}
