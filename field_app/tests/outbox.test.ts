import { describe, expect, it } from 'vitest'

import { blank } from '../src/core/draft'
import {
  after,
  editable,
  judge,
  nextLook,
  queued,
  receiptOf,
  recovered,
  retried,
  started,
  stepReceiptOf,
  stops,
  unparked,
  unreachable,
  unsent,
} from '../src/core/outbox'
import type { Item, Me, State } from '../src/core/types'

const ME: Me = { id: 'p1', username: 'inspector001', name: '张三', department: null, roles: [], permissions: [] }
const HASH = 'ab'.repeat(32)
const ID = '01890000-0000-7000-8000-000000000001'
const NOW = 1_800_000_000_000

const item = (state: State = 'queued'): Item => ({
  ...blank('report', ID, { token: 't', me: ME, expired: false }, 'd', NOW, '1'),
  seq: 4,
  saved_at: NOW,
  state,
})
const receipt = { id: ID, number: 'RH20261120-000001', query_code: 'ABCDEFGH', seq: 1, hash: HASH }
const named = (body: Record<string, unknown>) => receiptOf(item(), body, NOW)
const problem = (status: number, code: string) => ({ status, code, title: '不行', title_en: 'No', detail: {} })

describe('what an answer means', () => {
  it('is a success only when our server names this very report', () => {
    expect(judge({ status: 201, json: true, body: receipt }, named)).toMatchObject({ kind: 'ok' })
    expect(judge({ status: 200, json: true, body: receipt }, named)).toMatchObject({ kind: 'ok' })
    const strangers = [
      { status: 200, json: false, body: null },
      { status: 200, json: true, body: null },
      { status: 200, json: true, body: [] },
      { status: 200, json: true, body: { ...receipt, id: 'another' } },
      { status: 201, json: true, body: { ...receipt, hash: 'short' } },
      { status: 201, json: true, body: { ...receipt, number: '' } },
      { status: 204, json: false, body: null },
      { status: 302, json: false, body: null },
    ]
    for (const answer of strangers) expect(judge(answer, named)).toMatchObject({ kind: 'later', why: 'portal' })
  })

  it('believes a refusal only when it is one of ours', () => {
    expect(judge({ status: 422, json: true, body: problem(422, 'outside_town') }, named)).toMatchObject({
      kind: 'refused',
      problem: { code: 'outside_town', title: '不行' },
    })
    expect(judge({ status: 401, json: true, body: problem(401, 'not_authenticated') }, named)).toEqual({ kind: 'login' })
    for (const status of [400, 401, 403, 404, 407, 409, 422]) {
      expect(judge({ status, json: false, body: null }, named)).toMatchObject({ kind: 'later', why: 'portal' })
    }
  })

  it('tries again after a fault of the server, and when asked to wait', () => {
    expect(judge({ status: 500, json: false, body: null }, named)).toMatchObject({ kind: 'later', why: 'server' })
    expect(judge({ status: 503, json: true, body: problem(503, 'unavailable') }, named)).toMatchObject({
      problem: { code: 'unavailable' },
    })
    const busy = { ...problem(429, 'too_many_requests'), detail: { retry_after_s: 40 } }
    expect(judge({ status: 429, json: true, body: busy }, named)).toMatchObject({ why: 'busy', after_ms: 40_000 })
  })

  it('finds a step of ours in the story of a case, and not one of somebody else', () => {
    const sent = { ...item(), kind: 'action' as const, body: { action: 'handle', seq: 5, happened_at: '2026-11-20T02:00:00.123Z' } }
    const event = { seq: 6, action: 'handle', happened_at: '2026-11-20T10:00:00.123000+08:00', hash: HASH }
    const story = (events: unknown[]) => ({ id: ID, number: 'RH1', events })
    expect(stepReceiptOf(sent, story([{ seq: 1 }, event]), NOW)).toMatchObject({ seq: 6, number: 'RH1' })
    expect(stepReceiptOf(sent, story([{ ...event, seq: 7 }]), NOW)).toBeNull()
    expect(stepReceiptOf(sent, story([{ ...event, action: 'decline' }]), NOW)).toBeNull()
    expect(stepReceiptOf(sent, story([{ ...event, happened_at: '2026-11-20T02:00:00.124Z' }]), NOW)).toBeNull()
    expect(stepReceiptOf(sent, { id: 'another', number: 'RH1', events: [event] }, NOW)).toBeNull()
  })
})

describe('what becomes of an item', () => {
  it('gets its number once', () => {
    expect(queued({ ...item('draft'), seq: null }, 9, NOW)).toMatchObject({ state: 'queued', seq: 9, saved_at: NOW })
    expect(queued({ ...item('draft'), seq: 4 }, 9, NOW)).toMatchObject({ seq: 4 })
  })

  it('waits longer after each failure, and never less than asked', () => {
    const once = after(started(item()), unreachable as never, NOW, 0.5)
    expect(once).toMatchObject({ state: 'queued', tries: 1, next_at: NOW + 1_000 })
    expect(after(started(once), unreachable as never, NOW, 0.5).next_at).toBe(NOW + 2_000)
    const asked = { ...(unreachable as Extract<typeof unreachable, { kind: 'later' }>), after_ms: 40_000 }
    expect(after(started(item()), asked, NOW, 0.5).next_at).toBe(NOW + 40_000)
  })

  it('is parked, not lost, by a lapsed sign-in and by a refusal', () => {
    expect(after(started(item()), { kind: 'login' }, NOW).state).toBe('login-needed')
    expect(unparked(item('login-needed')).state).toBe('queued')
    const refused = after(started(item()), { kind: 'refused', problem: problem(409, 'id_conflict') }, NOW)
    expect(refused).toMatchObject({ state: 'needs-help', problem: { code: 'id_conflict' } })
    expect(unparked(refused)).toBe(refused)
    expect(editable(refused)).toBe(false)
    expect(editable({ ...refused, problem: problem(422, 'outside_town') })).toBe(true)
    expect(retried(refused)).toMatchObject({ state: 'queued', next_at: 0 })
  })

  it('begins again when its page died while sending', () => {
    expect(recovered(started(item()))).toMatchObject({ state: 'queued', next_at: 0 })
    const parked = item('needs-help')
    expect(recovered(parked)).toBe(parked)
  })
})

it('stops where the next one would fail alike', () => {
  expect(stops(unreachable)).toBe(true)
  expect(stops({ kind: 'login' })).toBe(true)
  expect(stops(judge({ status: 500, json: false, body: null }, named) as never)).toBe(false)
  expect(stops({ kind: 'refused', problem: problem(422, 'x') })).toBe(false)
})

it('counts what the server has not named and knows when to look again', () => {
  const states: State[] = ['draft', 'queued', 'sending', 'login-needed', 'needs-help']
  const all = states.map((state) => ({ ...item(state), next_at: 7 }))
  expect(unsent(all)).toBe(4)
  expect(nextLook(all)).toBe(7)
  expect(nextLook([item('needs-help')])).toBeNull()
})
