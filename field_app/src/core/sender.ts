/** Carries the outbox to the server: one sender at a time on this phone, photos before the report that names them. */
import { patience } from './backoff'
import { ask, now as serverNow, reach } from './http'
import {
  after,
  judge,
  nextLook,
  receiptOf,
  recovered,
  started,
  stepReceiptOf,
  stops,
  unparked,
  unreachable,
  type Answer,
  type Outcome,
} from './outbox'
import * as store from './store'
import type { Item, Session } from './types'

export interface Sender {
  /** Send what is due; `all` also what still waits for its turn. */
  flush(all?: boolean): Promise<void>
}

export interface Parts {
  session(): Session | null
  expired(token: string): Promise<void>
  changed(): void
  later(at: number | null): void
}

const LOCK = 'wangge-phone-send'
const LEASE = 'send-lease'
const LEASE_MS = 120_000
/** Another tab is sending: look again after it may have finished. */
const BUSY_MS = 2_000

/** Run `work` if nobody else on this phone is sending; false when somebody is. */
async function alone(work: () => Promise<void>): Promise<boolean> {
  if (navigator.locks) {
    return navigator.locks.request(LOCK, { ifAvailable: true }, async (lock) => {
      if (lock) await work()
      return lock !== null
    })
  }
  // A page without TLS has no locks. The server's own check of the id is what keeps this correct; the lease saves work.
  if (((await store.kept<number>(LEASE)) ?? 0) > Date.now()) return false
  await store.keep(LEASE, Date.now() + LEASE_MS)
  try {
    await work()
  } finally {
    await store.forget(LEASE)
  }
  return true
}

async function sendPhotos(item: Item, token: string): Promise<Outcome | null> {
  for (const photo of item.photos) {
    const kept = await store.media(photo.sha256)
    if (!kept) {
      // Never send a report as if it had had no photo.
      const problem = { status: 0, code: 'photo_lost', title: '照片已不在手机里', title_en: 'The photo is no longer on this phone' }
      return { kind: 'refused', problem }
    }
    const answer = await ask(`/api/media/${photo.sha256}`, {
      method: 'PUT',
      token,
      bytes: kept.content,
      mime: kept.mime,
      timeout: patience(kept.content.byteLength),
    })
    if (!answer) return unreachable
    const outcome = judge(answer, (body) =>
      body.sha256 === photo.sha256 && body.bytes === kept.content.byteLength ? true : null,
    )
    if (outcome.kind !== 'ok') return outcome
  }
  return null
}

/** One try of one item. */
export async function tryOnce(item: Item, token: string): Promise<Outcome> {
  const failed = await sendPhotos(item, token)
  if (failed) return failed
  const address = item.kind === 'report' ? '/api/cases' : `/api/cases/${item.case_id}/actions`
  const answer = await ask(address, { method: 'POST', token, json: item.body, timeout: 20_000 })
  if (!answer) return unreachable
  const named = item.kind === 'report' ? receiptOf : stepReceiptOf
  const outcome = judge(answer, (body) => named(item, body, serverNow()))
  if (outcome.kind === 'ok') return { kind: 'acked', receipt: outcome.value }
  if (outcome.kind === 'refused' && item.kind === 'action' && outcome.problem.status === 409) {
    return (await alreadyDone(item, token)) ?? outcome
  }
  return outcome
}

/** A step whose answer was lost is refused when sent again: the case's story tells whether it was ours. */
async function alreadyDone(item: Item, token: string): Promise<Outcome | null> {
  const story: Answer | null = await ask(`/api/cases/${item.case_id}`, { token })
  if (!story) return unreachable
  const outcome = judge(story, (body) => (body.id === item.case_id ? { receipt: stepReceiptOf(item, body, serverNow()) } : null))
  if (outcome.kind === 'refused') return null
  if (outcome.kind !== 'ok') return outcome
  return outcome.value.receipt ? { kind: 'acked', receipt: outcome.value.receipt } : null
}

export function makeSender(parts: Parts): Sender {
  const mine = async (owner: string) => (await store.items()).filter((item) => item.owner === owner)

  async function park(owner: string): Promise<void> {
    for (const { id, state } of await mine(owner)) {
      if (state === 'queued' || state === 'sending') await store.change(id, (item) => after(item, { kind: 'login' }, Date.now()))
    }
  }

  async function run(all: boolean): Promise<void> {
    const held = parts.session()
    if (!held) return
    if (held.expired) return park(held.me.id)
    const { token } = held
    const tried = new Set<string>()
    for (const item of await mine(held.me.id)) {
      if (item.state === 'sending') await store.change(item.id, recovered)
      if (item.state === 'login-needed') await store.change(item.id, unparked)
    }
    for (;;) {
      const due = (await mine(held.me.id))
        .filter((item) => item.state === 'queued' && !tried.has(item.id) && (all || item.next_at <= Date.now()))
        .sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0))[0]
      // Somebody else may have signed in while the last one was under way: theirs is another queue.
      if (!due || parts.session()?.token !== token) return
      tried.add(due.id)
      const going = await store.change(due.id, started)
      parts.changed()
      if (!going) continue
      const outcome = await tryOnce(going, token)
      if (outcome.kind === 'acked') await store.settle(due.id, outcome.receipt)
      else await store.change(due.id, (item) => after(item, outcome, Date.now()))
      if (outcome.kind === 'later' && outcome.why === 'portal') reach.value = 'portal'
      if (outcome.kind === 'login') {
        await park(held.me.id)
        await parts.expired(token)
      }
      parts.changed()
      if (stops(outcome)) return
    }
  }

  return {
    async flush(all = false) {
      const owner = parts.session()?.me.id
      if (!owner) return
      const done = await alone(() => run(all))
      const waiting = nextLook(await mine(owner))
      parts.later(done ? waiting : Date.now() + BUSY_MS)
      parts.changed()
    },
  }
}
