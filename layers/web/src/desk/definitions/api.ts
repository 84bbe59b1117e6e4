/** What the server says of definitions, and how it is asked. */
import { get, query, request, send } from '../../shared/api'
import type { Named, Two } from '../../shared/types'

export interface Version {
  version: number
  digest: string
  valid_from: string
  valid_to: string | null
  published_by: string
  published_at: string
  note: string
  state: 'in_force' | 'announced' | 'past' | 'withdrawn'
}

export interface DraftMark {
  revision: number
  base_version: number
  by: string
  updated_at: string
}

export interface Overview {
  kind: string
  code: string
  name: Two | string
  newest: Version
  in_force: Version | null
  announced: Version | null
  draft: DraftMark | null
  may_write: boolean
}

export interface Fault {
  where: string
  why: string
}

export interface Checked {
  faults: Fault[]
  warnings: Fault[]
}

export type Body = Record<string, unknown>

export interface Draft extends DraftMark, Checked {
  body: Body
}

export interface Change {
  path: string[]
  kind: 'added' | 'removed' | 'changed' | 'moved'
  before: unknown
  after: unknown
}

export interface Refusal {
  sheet: string
  row: number
  column: string
  value: string
  code: string
  why: Two
}

export interface DutyImport {
  landed: number
  refused: Refusal[]
  draft: DraftMark
  faults: Fault[]
}

export interface StandardImport {
  landed: { sheet: string; row: number; category: string; condition: string; inherited: string[] }[]
  refused: Refusal[]
  kept: string[]
  draft: DraftMark
  faults: Fault[]
}

/** A rule as the duty list's body holds it; `*` and absent mean the same. */
export interface Rule {
  id: string
  category: string
  area?: string
  component_unit?: string
  channel?: string
  department: string
  co_departments?: string[]
  workflow?: string
  note?: string
}

interface Example {
  grid: string
  village: string
  lon: number
  lat: number
}

export interface Audit {
  gaps: { category: string; name: string; grids: number; example: Example; with_component: boolean }[]
  overlaps: { winner: string; loser: string; departments: [string, string]; example: Example }[]
  idle: string[]
  counts: { gaps: number; overlaps: number; idle: number }
  grids: number
}

export interface ReplayCase {
  id: string
  number: string
  reported_at: string
  category: { kind: string; code: string; name: string }
  village: string
  description: string
  status: string
  department: Named | null
  before: { department: Named | null; rule_id: string }
  after: { department: Named | null; rule_id: string }
}

export interface Replay {
  days: number
  cases: number
  complete: boolean
  moved: number
  unowned_before: number
  unowned_after: number
  rule_changed: number
  helpers_changed: number
  pairs: { from: Named | null; to: Named | null; cases: number }[]
  items: ReplayCase[]
  next: string | null
}

export interface Condition {
  code: string
  text: string
  closing: string
  limits: Record<'A' | 'B' | 'C', string>
  severity: number
}

export interface StandardCategory extends Named {
  off: string | null
  units: { handling_unit?: string; competent_unit?: string } | null
  conditions: Condition[]
}

export interface Standard {
  code: string
  version?: number
  groups: { kind: string; code: string; name: string; categories: StandardCategory[] }[]
}

export interface Areas {
  villages: Named[]
  duty_grids: (Named & { village: string })[]
}

/** What is published: a body made from a version, or the draft as it was seen. */
export type Publication = ({ body: Body; base: number } | { revision: number }) & { valid_from?: string; note: string }

const at = (kind: string, code: string) => `/api/definitions/${encodeURIComponent(kind)}/${encodeURIComponent(code)}`
function upload<T>(path: string, file: File, revision: number): Promise<T> {
  const form = new FormData()
  form.set('file', file)
  form.set('revision', String(revision))
  return request<T>(path, { method: 'POST', body: form })
}

export const definitionsApi = {
  overview: () => get<{ items: Overview[] }>('/api/definitions').then((told) => told.items),
  versions: (kind: string, code: string) => get<{ items: Version[] }>(`${at(kind, code)}/versions`).then((told) => told.items),
  body: (kind: string, code: string, which: string) => get<{ version: number; body: Body }>(`${at(kind, code)}/versions/${which}`),
  diff: (kind: string, code: string, before: string, after: string) =>
    get<{ changes: Change[] }>(`${at(kind, code)}/diff?before=${before}&after=${after}`).then((told) => told.changes),
  check: (kind: string, code: string, body: Body) => send<Checked>('POST', `${at(kind, code)}/check`, { body }),
  draft: (kind: string, code: string) => get<Draft>(`${at(kind, code)}/draft`),
  save: (kind: string, code: string, body: Body, revision: number, base?: number) =>
    send<DraftMark & Checked>('PUT', `${at(kind, code)}/draft`, { body, revision, base_version: base ?? null }),
  discard: (kind: string, code: string, revision: number) => send<void>('DELETE', `${at(kind, code)}/draft?revision=${revision}`),
  publish: (kind: string, code: string, what: Publication) => send<Version & { stored: boolean }>('POST', `${at(kind, code)}/versions`, what),
  rollback: (kind: string, code: string, version: number, base: number, note: string) =>
    send<Version>('POST', `${at(kind, code)}/rollback`, { version, base, note }),
  switchCategory: (category: string, off: boolean, reason: string) =>
    send<Version>('PUT', `/api/categories/${encodeURIComponent(category)}/status`, { off, reason }),
  areas: () => get<Areas>('/api/areas'),
  area: (area: string) => get<{ name: string; bbox: [number, number, number, number] }>(`/api/areas/${encodeURIComponent(area)}`),
  importDuties: (file: File, revision: number) => upload<DutyImport>('/api/duty-list/import', file, revision),
  audit: (which: string, signal?: AbortSignal) => get<Audit>(`/api/duty-list/audit?which=${which}`, signal),
  replay: (days: number, which: string, pair: { from: string; to: string } | null, cursor: string, signal?: AbortSignal) =>
    get<Replay>(
      `/api/duty-list/replay${query(
        `which=${which}&days=${days}`,
        pair ? `from=${encodeURIComponent(pair.from)}&to=${encodeURIComponent(pair.to)}` : '',
        cursor && `cursor=${encodeURIComponent(cursor)}`,
      )}`,
      signal,
    ),
  standard: (which: string) => get<Standard>(`/api/filing-standard?which=${which}`),
  importStandard: (file: File, revision: number) => upload<StandardImport>('/api/filing-standard/import', file, revision),
}
