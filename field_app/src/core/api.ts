/** What the pages read from the server, and what is kept of it for when there is none. */
import { ask } from './http'
import { judge, unreachable, type Outcome } from './outbox'
import { expire, ownPrefix, session } from './session'
import * as store from './store'
import type { CaseDetail, CaseItem, Catalogue, Located, Named, NearComponent, Problem, Town, Two, Workflow } from './types'

/** A refusal or a failure to reach the server; `problem.code` is what the help desk asks for. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.title_en}`)
  }
}

const problemOf = (outcome: Exclude<Outcome, { kind: 'acked' }>): Problem =>
  outcome.kind === 'login'
    ? { status: 401, code: 'not_authenticated', title: '登录已过期', title_en: 'Your sign-in has expired' }
    : outcome.problem

async function get<T>(path: string, timeout?: number): Promise<T> {
  const token = session.value?.token ?? null
  const answer = await ask(path, { token, timeout })
  const outcome = answer ? judge(answer, (body) => body as T) : unreachable
  if (outcome.kind === 'ok') return outcome.value
  if (outcome.kind === 'login' && token) await expire(token)
  throw new ApiError(problemOf(outcome as Exclude<Outcome, { kind: 'acked' }>))
}

const code = encodeURIComponent

export interface LooksAtMe {
  items: { at: string; actor: string; day: string; why: string; exact: boolean }[]
  reasons: (Two & { code: string })[]
}

export interface Read<T> {
  value: T
  /** When it came from the server, ms. */
  at: number
  fresh: boolean
}

/**
 * What is kept under `name`, told at once through `show`; then the server's, which is kept in its place. Rejects when
 * the server does not answer, after the kept one was shown.
 */
async function both<T>(name: string, load: () => Promise<T>, show: (read: Read<T>) => void): Promise<void> {
  const old = await store.kept<{ value: T; at: number }>(name)
  if (old) show({ ...old, fresh: false })
  const value = await load()
  const at = Date.now()
  show({ value, at, fresh: true })
  await store.keep(name, { value, at }).catch((error: unknown) => {
    if (!store.isFull(error)) throw error // without room the page still has what it shows
  })
}

const own = (name: string) => ownPrefix(session.value?.me.id ?? '') + name

export interface CasePage {
  items: CaseItem[]
  next: string | null
}

const caseList = (states: string, cursor: string, limit: number) =>
  get<CasePage>(
    `/api/cases?status=open&order=due&limit=${limit}${states && `&state=${code(states)}`}${cursor && `&cursor=${code(cursor)}`}`,
  )

export const api = {
  town: (show: (read: Read<Town>) => void) => both('town', () => get<Town>('/api/town'), show),
  catalogue: (show: (read: Read<Catalogue>) => void) => both('catalogue', () => get<Catalogue>('/api/catalogue'), show),
  workflow: (show: (read: Read<Workflow>) => void) =>
    both('workflow', () => get<Workflow>('/api/workflows/standard'), show),
  departments: (show: (read: Read<Named[]>) => void) =>
    both('departments', async () => (await get<{ items: Named[] }>('/api/departments')).items, show),
  cases: (states: string, show: (read: Read<CasePage>) => void) =>
    both(own(`cases:${states}`), () => caseList(states, '', 50), show),
  moreCases: (states: string, cursor: string) => caseList(states, cursor, 50),
  caseDetail: (id: string, show: (read: Read<CaseDetail>) => void) =>
    both(own(`case:${id}`), () => get<CaseDetail>(`/api/cases/${code(id)}`), show),
  locate: (lon: number, lat: number, crs: string) =>
    get<Located>(`/api/locate?lon=${lon}&lat=${lat}&crs=${code(crs)}`, 6_000),
  /** Who looked at my track, the newest first. */
  looksAtMe: () => get<LooksAtMe>('/api/tracks/mine/looks', 8_000),
  /** Every component in a box of degrees, page by page; a few thousand at most. */
  components: async (box: readonly number[]) => {
    const all: NearComponent[] = []
    for (let cursor: string | null = ''; cursor !== null && all.length < 5_000; ) {
      const after: string = cursor && `&cursor=${code(cursor)}`
      const page: { items: NearComponent[]; next: string | null } = await get(
        `/api/components?bbox=${box.map((x) => x.toFixed(6)).join(',')}&limit=500${after}`,
      )
      all.push(...page.items)
      cursor = page.next
    }
    return all
  },
}

/** A photo of a case as an address for an image; the caller revokes it. */
export async function photoAddress(url: string, token: string): Promise<string> {
  const answer = await fetch(url, { headers: { Authorization: `Bearer ${token}` }, credentials: 'omit' })
  if (!answer.ok) throw new Error(`photo: ${answer.status}`)
  return URL.createObjectURL(await answer.blob())
}
