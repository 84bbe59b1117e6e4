/** What the command centre's pages ask of the server, and what it answers. */
import { get, request, send } from '../../shared/api'
import type { CaseItem, CasePage, Named, Two } from '../../shared/types'

export interface Shift {
  staff: string
  name: string
  username: string
  department: string
  active: boolean
  role: string
  starts_at: string
  ends_at: string
  duty_grid: Named | null
  note: string
}

export interface Planned extends Shift {
  /** Duty grids that have somebody while it lasts. */
  grids: string[]
}

export interface Day {
  day: string
  kind: 'workday' | 'weekend' | 'holiday' | 'makeup'
  name: string
  known: boolean
}

export interface Gap {
  role: string
  name: Two
  period: string
  duty_grid: Named | null
  once: boolean
  starts_at: string
  ends_at: string
  missing: number
}

interface Span {
  role: string
  starts_at: string
  ends_at: string
}

export interface Warned {
  kind: 'overlap' | 'rest'
  staff: string
  first: Span
  second: Span
  rest_minutes: number
}

export interface Post {
  role: string
  name?: Two
  count: number
  from: string
  hours: number
  days?: 'every' | 'working' | 'free'
  per?: '' | 'duty_grid'
  spell?: 'whole' | 'once'
}

export interface Period {
  id: string
  name: string
  starts_on: string
  ends_on: string
  posts: Post[]
  note: string
  made_by: string
}

export interface Stretch {
  shifts: Planned[]
  days: Day[]
  gaps: Gap[]
  warnings: Warned[]
  periods: Period[]
}

export interface Crew {
  staff: { id: string; name: string; username: string; department: string; roles: string[]; duty_grids: string[] }[]
  turns: { code: string; name: Two; from: string; hours: number }[]
  roles: string[]
  duty_grids: Named[]
}

export interface Key {
  staff: string
  starts_at: string
}

export interface Wish extends Key {
  role: string
  ends_at: string
  duty_grid: string
  note: string
}

/** What a server's refusal of one row says. */
interface Refusal {
  code: string
  title: string
  title_en: string
}

export interface Standing extends Shift {
  seen_at?: string | null
  lon?: number | null
  lat?: number | null
  online?: boolean
}

export interface Counted {
  code: string
  n: number
  filter: Record<string, string>
}

export interface NamedCase {
  id: string
  number: string
  category: string
  address: string
  state_name: Two
  light: string
  due_at: string | null
  remaining: Two | null
  village: Named | null
  department: Named | null
  why: string[]
  note?: string
}

export interface Content {
  shift: Span | null
  figures: Counted[]
  items: NamedCase[]
  equipment: { name: string; sound: boolean; note: string }[]
  remarks: string
}

export interface Handover {
  id: string
  role: string
  given_by: string
  given_id: string
  given_at: string
  content: Content
  digest: string
  signed_by: string | null
  signed_at: string | null
  remark: string
  seal: string | null
  intact?: boolean
}

export interface Entry {
  id: string
  kind: string
  text: string
  happened_at: string
  recorded_at: string
  actor: string
  case: { id: string; number: string } | null
  photo: string | null
  follows: string | null
}

export type Figures = Record<string, number>

export interface ReportLine {
  key: string
  name: string
  values: Figures
  before: Figures
}

export interface ReportHead {
  id: string
  period: string
  since: string
  until: string
  digest: string
  made_by: string
  made_at: string
}

export interface Report {
  period: string
  since: string
  until: string
  before_since: string
  before_until: string
  totals: Figures
  before: Figures
  by: Record<'channel' | 'village' | 'department' | 'category', ReportLine[]>
  days: { day: string; reported: number; closed: number }[]
  notable: Record<string, CaseItem[]>
  kept?: ReportHead
}

export interface BoardList {
  filter: Record<string, string>
  n: number
  by: Record<'department' | 'village' | 'stage', Record<string, number>>
}

export interface Board {
  at: string
  lists: Record<string, BoardList>
  longest: CaseItem[]
  unanswered: {
    counts: Record<'urge' | 'supervise', number>
    oldest: { kind: 'urge' | 'supervise'; note: string; opened_at: string; due_at: string | null; case_id: string; number: string; department_name: string | null }[]
  }
  ranking: {
    since: string
    until: string
    rows: { code: string; name: string; handled: number; on_time: number; overdue: number; rate: number | null }[]
  }
  names: Record<'department' | 'village', Record<string, string>>
  centre?: { unsigned: Handover[]; gaps: Gap[]; on_duty: Record<string, number> }
}

export interface Load {
  code: string
  name: string
  village: string
  inspectors: string[]
  unit_grids: number
  area_km2: number
  components: number
  open: number
  month: number
  open_per_inspector: number | null
  month_per_inspector: number | null
  walk_km: number
}

export interface Spread {
  gini: number | null
  max_over_mean: number | null
  least: number
  most: number
  mean: number
}

export interface Device {
  id: string
  kind: string
  label: string
  key: string
  state: string
  holder: { id: string; name: string; username: string } | null
  note: string
  seen_at: string | null
  changed_at: string
}

export interface Holder {
  id: string
  name: string
  username: string
  department: string
}

const span = (since: string, until: string) => `since=${since}&until=${until}`

export const shiftApi = {
  stretch: (since: string, until: string, signal?: AbortSignal) => get<Stretch>(`/api/shifts?${span(since, until)}`, signal),
  mine: (since: string, until: string) => get<{ shifts: Shift[] }>(`/api/shifts/mine?${span(since, until)}`),
  crew: () => get<Crew>('/api/shifts/crew'),
  now: () => get<{ at: string; items: Standing[] }>('/api/shifts/now'),
  plan: (remove: Key[], add: Wish[]) => send<{ warnings: Warned[] }>('POST', '/api/shifts/plan', { remove, add }),
  swap: (one: Key, other: Key) => send<{ warnings: Warned[] }>('POST', '/api/shifts/swap', { one, other }),
  copy: (week: string, target: string, roles: string[]) =>
    send<{ added: number; skipped: (Shift & { problem: Refusal })[] }>('POST', '/api/shifts/copy', { week, target, roles }),
  take: (file: File) =>
    request<{ added: number; unchanged: number; refused: { row: number; cells: Record<string, string>; problem: Refusal }[] }>(
      '/api/shifts/import',
      { method: 'POST', body: file },
    ),
  exportOf: (since: string, until: string) => `/api/shifts/export?${span(since, until)}`,
  savePeriod: ({ id, name, starts_on, ends_on, posts, note }: Omit<Period, 'made_by'>) =>
    send('PUT', `/api/periods/${id}`, { name, starts_on, ends_on, posts, note }),
  dropPeriod: (id: string) => send('DELETE', `/api/periods/${id}`),

  draft: () => get<{ roles: string[]; equipment: Two[] } & Pick<Content, 'shift' | 'figures' | 'items'>>('/api/handovers/draft'),
  give: (body: { id: string; role: string; notes: Record<string, string>; equipment: Content['equipment']; remarks: string }) =>
    send<Handover>('POST', '/api/handovers', body),
  sign: (id: string, password: string, remark: string) => send<Handover>('POST', `/api/handovers/${id}/sign`, { password, remark }),
  handovers: (before: number | null) => get<{ items: Handover[]; next: number | null }>(`/api/handovers${before ? `?before=${before}` : ''}`),
  handover: (id: string) => get<Handover>(`/api/handovers/${encodeURIComponent(id)}`),

  entries: (search: string) => get<{ items: Entry[]; next: string | null }>(`/api/duty-log?${search}`),
  write: (body: Omit<Entry, 'recorded_at' | 'actor' | 'case'> & { case_id: string | null }) => send<Entry>('POST', '/api/duty-log', body),

  preview: (period: string, day: string, signal?: AbortSignal) => get<Report>(`/api/reports/preview?period=${period}&day=${day}`, signal),
  keepReport: (id: string, period: string, day: string) => send<{ id: string }>('POST', '/api/reports', { id, period, day }),
  reports: () => get<{ items: ReportHead[] }>('/api/reports').then((found) => found.items),
  report: (id: string) => get<Report>(`/api/reports/${encodeURIComponent(id)}`),
  behind: (measure: string, search: string, cursor: string) =>
    get<CasePage>(`/api/statistics/${measure}/cases?${search}&limit=50&cursor=${encodeURIComponent(cursor)}`),

  board: (signal?: AbortSignal) => get<Board>('/api/board', signal),
  balance: () => get<{ items: Load[]; spreads: Record<string, Spread> }>('/api/balance'),

  devices: () => get<{ items: Device[]; staff: Holder[] }>('/api/devices'),
  register: (body: Pick<Device, 'id' | 'kind' | 'label' | 'key' | 'note'>) => send('POST', '/api/devices', body),
  step: (id: string, step: string, more: { holder?: string; note?: string } = {}) =>
    send<{ tokens_ended: number }>('POST', `/api/devices/${id}/steps`, { step, ...more }),
}
