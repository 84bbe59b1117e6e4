/** Who is signed in on this phone. What they have not sent belongs to them and survives every session. */
import { shallowRef } from 'vue'

import { ask } from './http'
import { judge, unreachable, type Outcome } from './outbox'
import { deviceId, forget, forgetAll, keep, kept } from './store'
import type { Me, Session } from './types'

export const session = shallowRef<Session | null>(null)

const KEY = 'session'

export async function loadSession(): Promise<void> {
  session.value = (await kept<Session>(KEY)) ?? null
}

async function set(next: Session | null): Promise<void> {
  await (next ? keep(KEY, next) : forget(KEY))
  session.value = next
}

/** The prefix of everything kept for one person, apart from what they have yet to send. */
export const ownPrefix = (owner: string): string => `own:${owner}:`

/** Sign in; resolves to null, or to why not. */
export async function signIn(username: string, password: string): Promise<Exclude<Outcome, { kind: 'acked' }> | null> {
  const answer = await ask('/api/login', { method: 'POST', json: { username, password, device: await deviceId() } })
  if (!answer) return unreachable as Exclude<Outcome, { kind: 'acked' }>
  const outcome = judge(answer, (body) => {
    const me = body.me as Me | undefined
    return typeof body.token === 'string' && me?.username === username ? { token: body.token, me } : null
  })
  if (outcome.kind !== 'ok') return outcome as Exclude<Outcome, { kind: 'acked' }>
  if (session.value && session.value.me.id !== outcome.value.me.id) await forgetAll(ownPrefix(session.value.me.id))
  await set({ ...outcome.value, expired: false })
  return null
}

/** The server no longer knows this token. The person stays on the screen; nothing is cleared. */
export async function expire(token: string): Promise<void> {
  const held = session.value
  if (held && held.token === token && !held.expired) await set({ ...held, expired: true })
}

/** Leave: the session and what was read go, what is unsent stays. */
export async function signOut(): Promise<void> {
  const held = session.value
  if (!held) return
  void ask('/api/logout', { method: 'POST', token: held.token })
  await forgetAll(ownPrefix(held.me.id))
  await set(null)
}

export const may = (permission: string): boolean => session.value?.me.permissions.includes(permission) ?? false
