/** What the pages of workflows ask the server. Versions, drafts and publishing are those of all definitions. */
import { get, send } from '../../shared/api'
import type { Two } from '../../shared/types'
import type { Fault, FlowBody } from './model'

export interface Version {
  version: number
  state: 'in_force' | 'announced' | 'past' | 'withdrawn'
  valid_from: string
  valid_to: string | null
  published_by: string
  published_at: string
  note: string
}

export interface DraftInfo {
  revision: number
  base_version: number
  by: string
  updated_at: string
}

export interface Definition {
  kind: string
  code: string
  name: Two | string
  newest: Version
  in_force: Version | null
  announced: Version | null
  draft: DraftInfo | null
  may_write: boolean
}

export interface Grammar {
  roles: string[]
  marks: string[]
  counters: string[]
  clock_effects: string[]
  field_types: string[]
  facts: string[]
  tasks: string[]
  assignments: string[]
  staffed: string[]
}

export interface Running {
  running: { workflow: string; version: number; cases: number }[]
  drafts: { code: string; name: Two | string; by: string; updated_at: string }[]
}

export interface Deviation {
  kind: string
  action: string
  state: string
  cases: number
}

export interface Trial {
  summary: {
    since: string
    cases: number
    same: number
    deviating: number
    unseen: number
    late: number
    cut: boolean
    deviations: Deviation[]
    states: { state: string; stays: number; median_hours: number; p90_hours: number; late: number; limited: boolean; in_draft: boolean }[]
  }
  total: number
  items: {
    id: string
    number: string
    description: string
    reported_at: string
    seq: number
    action: string
    state: string
    kind: string
    detail: Record<string, unknown>
  }[]
}

export interface NamedVersion {
  workflow: string
  version: number
}

export interface Plan {
  states: { code: string; name: Two; cases: number; to: string | null; problem: unknown }[]
  choices: { code: string; name: Two }[]
  cases: number
  movable: number
  refused: number
}

export interface Move {
  id: string
  source: string
  source_version: number
  target: string
  target_version: number
  states: Record<string, string>
  reason: string
  state: 'running' | 'stopped' | 'done'
  started_by: string
  started_at: string
  ended_at: string | null
  counts: { waiting: number; moved: number; refused: number }
}

export interface MovedCase {
  id: string
  number: string
  description: string
  outcome: 'waiting' | 'moved' | 'refused'
  from_state: string | null
  to_state: string | null
  problem: { title: string; title_en: string; code: string } | null
  at: string | null
}

export interface BindingRow {
  kind?: string
  category?: string
  area?: string
  channel?: string
  self_handled?: boolean
  workflow: string
}

export interface BindingBody {
  kind: string
  code: string
  name: Two
  bindings: BindingRow[]
}

export interface Audit {
  faults: { where: string; why: string }[]
  /** Rows by their place in the list: where both fit, `winner` holds, because of the field `by`. */
  overlaps: { winner: number; loser: number; by: 'self_handled' | 'kind' | 'category' | 'area' | 'channel' }[]
  /** Kinds of cases for which a row is missing somewhere, and what they run by then. */
  unbound: { kind: string; workflow: string }[]
}

const code = encodeURIComponent
const of = (flow: string) => `/api/definitions/workflow/${code(flow)}`

export const flowApi = {
  overview: () => get<{ items: Definition[] }>('/api/definitions'),
  versions: (flow: string) => get<{ items: Version[] }>(`${of(flow)}/versions`).then((found) => found.items),
  body: (flow: string, which: string | number) => get<{ body: FlowBody; version: number }>(`${of(flow)}/versions/${which}`),
  draft: (flow: string) => get<DraftInfo & { body: FlowBody }>(`${of(flow)}/draft`),
  saveDraft: (flow: string, body: FlowBody, revision: number, base?: number) =>
    send<DraftInfo>('PUT', `${of(flow)}/draft`, { body, revision, ...(base !== undefined && { base_version: base }) }),
  dropDraft: (flow: string, revision: number) => send<void>('DELETE', `${of(flow)}/draft?revision=${revision}`),
  publish: (flow: string, revision: number, validFrom: string | null, note: string) =>
    send<Version & { stored: boolean }>('POST', `${of(flow)}/versions`, { revision, note, valid_from: validFrom }),

  grammar: () => get<Grammar>('/api/workflow-grammar'),
  running: () => get<Running>('/api/workflow-running'),
  check: (body: FlowBody) =>
    send<{ faults: Fault[] }>('POST', '/api/workflow-check', { body }).then((found) => found.faults),
  read: (text: string) => send<{ body: FlowBody; faults: Fault[] }>('POST', '/api/workflow-read', { text }),
  write: (body: FlowBody) => send<{ text: string }>('POST', '/api/workflow-write', { body }).then((found) => found.text),
  simulate: (body: FlowBody, days: number, like: string, kind: string, offset: number, limit: number) =>
    send<Trial>('POST', '/api/workflow-simulate', { body, days, like, kind, offset, limit }),

  plan: (source: NamedVersion, target: NamedVersion, states: Record<string, string> | null) =>
    send<Plan>('POST', '/api/workflow-moves/plan', { source, target, states }),
  startMove: (source: NamedVersion, target: NamedVersion, states: Record<string, string>, reason: string) =>
    send<{ id: string }>('POST', '/api/workflow-moves', { source, target, states, reason }),
  moves: () => get<{ items: Move[] }>('/api/workflow-moves').then((found) => found.items),
  move: (id: string) => get<Move>(`/api/workflow-moves/${id}`),
  movedCases: (id: string, outcome: string, offset: number, limit: number) =>
    get<{ items: MovedCase[]; total: number; unseen: number }>(
      `/api/workflow-moves/${id}/cases?outcome=${outcome}&offset=${offset}&limit=${limit}`,
    ),
  haltMove: (id: string, stopped: boolean) => send<Move>('POST', `/api/workflow-moves/${id}/halt`, { stopped }),
}

const bound = (list: string) => `/api/definitions/binding/${code(list)}`

export const bindingApi = {
  body: (list: string) => get<{ body: BindingBody }>(`${bound(list)}/versions/in_force`),
  draft: (list: string) => get<DraftInfo & { body: BindingBody }>(`${bound(list)}/draft`),
  saveDraft: (list: string, body: BindingBody, revision: number) => send<DraftInfo>('PUT', `${bound(list)}/draft`, { body, revision }),
  dropDraft: (list: string, revision: number) => send<void>('DELETE', `${bound(list)}/draft?revision=${revision}`),
  publish: (list: string, revision: number, note: string) => send<Version>('POST', `${bound(list)}/versions`, { revision, note }),
  audit: (body: BindingBody) => send<Audit>('POST', '/api/workflow-bindings/audit', { body }),
}
