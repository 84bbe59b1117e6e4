/**
 * The rules of the outbox, without any machinery: what an answer means and what becomes of the item.
 *
 * An item leaves only when the server has named it; a refusal parks it where a person sees it. Nothing here deletes.
 */
import { wait } from './backoff'
import type { Item, Problem, Receipt } from './types'

/** An answer as it came, before anybody believes it. */
export interface Answer {
  status: number
  json: boolean
  body: unknown
}

export type Outcome =
  | { kind: 'acked'; receipt: Receipt }
  | { kind: 'login' }
  | { kind: 'refused'; problem: Problem }
  | { kind: 'later'; why: 'unreachable' | 'portal' | 'busy' | 'server'; problem: Problem; after_ms: number }

const HEX64 = /^[0-9a-f]{64}$/
const RETRIED = new Set([408, 425, 429])

const facts = (body: unknown): Record<string, unknown> =>
  body !== null && typeof body === 'object' && !Array.isArray(body) ? (body as Record<string, unknown>) : {}

/** Nobody answered. */
export const unreachable: Outcome = {
  kind: 'later',
  why: 'unreachable',
  problem: { status: 0, code: 'unreachable', title: '连不上服务器', title_en: 'The server cannot be reached' },
  after_ms: 0,
}

const stranger = (status: number): Outcome => ({
  kind: 'later',
  why: 'portal',
  problem: {
    status,
    code: 'not_our_server',
    title: '回答的不是网格服务器，网络可能要先登录',
    title_en: 'Something else answered; the network may ask for a login first',
  },
  after_ms: 0,
})

/**
 * What an answer means. `named` reads the success out of a body, null when the body does not name what was sent:
 * a page of a captive portal, a proxy or half an answer must never pass for one.
 */
export function judge<T>(answer: Answer, named: (body: Record<string, unknown>) => T | null): Outcome | { kind: 'ok'; value: T } {
  const body = facts(answer.body)
  if (answer.status === 200 || answer.status === 201) {
    const value = answer.json ? named(body) : null
    return value === null ? stranger(answer.status) : { kind: 'ok', value }
  }
  const ours = answer.json && typeof body.code === 'string' && body.status === answer.status
  if (answer.status >= 500 || RETRIED.has(answer.status)) {
    const seconds = Number(facts(body.detail).retry_after_s ?? 0)
    return {
      kind: 'later',
      why: answer.status >= 500 ? 'server' : 'busy',
      problem: ours ? problemOf(body) : bare(answer.status),
      after_ms: Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) * 1000 : 0,
    }
  }
  if (!ours) return stranger(answer.status)
  return answer.status === 401 ? { kind: 'login' } : { kind: 'refused', problem: problemOf(body) }
}

const bare = (status: number): Problem => ({
  status,
  code: `http_${status}`,
  title: '服务器暂时出错',
  title_en: 'The server has a fault at the moment',
})

function problemOf(body: Record<string, unknown>): Problem {
  const code = String(body.code)
  return {
    status: Number(body.status),
    code,
    title: typeof body.title === 'string' ? body.title : code,
    title_en: typeof body.title_en === 'string' ? body.title_en : code,
    detail: facts(body.detail),
  }
}

/** The receipt in the answer to a report, null when it names another report or none. */
export function receiptOf(item: Item, body: Record<string, unknown>, now: number): Receipt | null {
  if (body.id !== item.case_id || typeof body.number !== 'string' || !body.number) return null
  if (typeof body.hash !== 'string' || !HEX64.test(body.hash) || typeof body.seq !== 'number') return null
  return signed(item, body.number, String(body.query_code ?? ''), body.hash, body.seq, now)
}

/** The receipt in a case's story: the event that is this step, null when it is not there. */
export function stepReceiptOf(item: Item, body: Record<string, unknown>, now: number): Receipt | null {
  if (body.id !== item.case_id || typeof body.number !== 'string' || !Array.isArray(body.events)) return null
  const sent = item.body as { action: string; seq: number; happened_at: string }
  const moment = Date.parse(sent.happened_at)
  const event = body.events
    .map(facts)
    .find((e) => e.seq === sent.seq + 1 && e.action === sent.action && Date.parse(String(e.happened_at)) === moment)
  if (!event || typeof event.hash !== 'string' || !HEX64.test(event.hash)) return null
  return signed(item, body.number, '', event.hash, sent.seq + 1, now)
}

function signed(item: Item, number: string, query_code: string, hash: string, seq: number, now: number): Receipt {
  return {
    id: item.id,
    kind: item.kind,
    owner: item.owner,
    title: item.title,
    number,
    query_code,
    hash,
    seq,
    photos: item.photos.map((photo) => photo.sha256),
    device_seq: item.seq,
    saved_at: item.saved_at ?? item.created_at,
    acked_at: now,
    withdrawn: null,
  }
}

/** A draft becomes something to send. */
export const queued = (item: Item, seq: number, now: number): Item => ({
  ...item,
  seq: item.seq ?? seq,
  state: 'queued',
  saved_at: item.saved_at ?? now,
  tries: 0,
  next_at: 0,
  problem: null,
})

/** A try begins. */
export const started = (item: Item): Item => ({ ...item, state: 'sending', tries: item.tries + 1 })

/** A try that was cut off by the death of its page begins again; only the holder of the sender's lock may say so. */
export const recovered = (item: Item): Item => (item.state === 'sending' ? { ...item, state: 'queued', next_at: 0 } : item)

/** What becomes of an item after a try that did not end in a receipt. */
export function after(item: Item, outcome: Exclude<Outcome, { kind: 'acked' }>, now: number, random = Math.random()): Item {
  switch (outcome.kind) {
    case 'login':
      return { ...item, state: 'login-needed', next_at: 0, problem: null }
    case 'refused':
      return { ...item, state: 'needs-help', next_at: 0, problem: outcome.problem }
    case 'later':
      return {
        ...item,
        state: 'queued',
        problem: outcome.problem,
        next_at: now + Math.max(outcome.after_ms, wait(item.tries, random)),
      }
  }
}

/** Its owner has signed in again. */
export const unparked = (item: Item): Item =>
  item.state === 'login-needed' ? { ...item, state: 'queued', next_at: 0, tries: 0 } : item

/** A person asks for another try, now. */
export const retried = (item: Item): Item =>
  item.state === 'needs-help' || item.state === 'queued' ? { ...item, state: 'queued', next_at: 0, tries: 0 } : item

/** Whether a refused report may be written anew under its id: not when that id already stands for something else. */
export const editable = (item: Item): boolean =>
  item.kind === 'report' && (item.state === 'draft' || (item.state === 'needs-help' && item.problem?.code !== 'id_conflict'))

/** Whether the next item would fail for the same reason. */
export const stops = (outcome: Outcome): boolean =>
  outcome.kind === 'login' || (outcome.kind === 'later' && (outcome.why === 'unreachable' || outcome.why === 'portal'))

/** How many things the server has not named yet. */
export const unsent = (items: readonly Item[]): number => items.filter((item) => item.state !== 'draft').length

/** When the sender should look again, null when nothing waits. */
export function nextLook(items: readonly Item[]): number | null {
  const moments = items.filter((item) => item.state === 'queued').map((item) => item.next_at)
  return moments.length ? Math.min(...moments) : null
}
