/** What the server sends, as the pages read it: field names equal the HTTP contract. Knows no behaviour. */

export interface Two {
  zh: string
  en: string
}

export interface Named {
  code: string
  name: string
}

export interface Me {
  id: string
  username: string
  name: string
  department: Named | null
  roles: { role: string; scope: string; scope_code: string }[]
  permissions: string[]
}

export interface Town {
  code: string
  name: string
  synthetic: boolean
  bbox: [number, number, number, number]
  center: [number, number]
  catalogue: string
}

export type Light = 'green' | 'yellow' | 'red' | 'none'

export interface CaseItem {
  id: string
  number: string
  kind: string
  channel: string
  category: { catalogue: string; kind: string; code: string; name: string; group_code: string; group_name: string }
  description: string
  address: string
  lon: number
  lat: number
  village: Named | null
  unit_grid_code: string
  duty_grid_code: string
  area_class: string
  department: Named | null
  state: string
  state_name: Two
  stage: string
  status: string
  severity: number
  /** The worse of the two below: what the mark shows. */
  light: Light
  handling_light: Light
  stage_light: Light
  component_code: string | null
  reported_at: string
  due_at: string | null
  closed_at: string | null
  remaining: Two | null
  rework_count: number
  seq: number
}

export interface CaseEvent {
  seq: number
  action: string
  action_name: Two
  from_state: string | null
  to_state: string
  actor: string
  role: string
  happened_at: string
  recorded_at: string
  payload: Record<string, unknown>
  hash: string
}

export interface Attachment {
  sha256: string
  purpose: string
  mime: string
  url: string
}

export interface CaseDetail extends CaseItem {
  query_code: string | null
  routing: { rule_id: string | null; trace: string[] } | null
  clock: Record<string, unknown> | null
  events: CaseEvent[]
  attachments: Attachment[]
  reporter: unknown
  closing_conditions: { code: string; text: string; closing: string }[]
}

export interface CasePage {
  items: CaseItem[]
  next: string | null
}

export interface CaseCount {
  total: number
  facets: Record<string, Record<string, number>>
}

export interface Catalogue {
  code: string
  name: string | Two
  groups: { kind: string; code: string; name: string; categories: Named[] }[]
}

export interface Figure {
  code: string
  value: number | null
  yesterday: number | null
  filter: Record<string, string>
}

export interface Statistics {
  by: string
  since: string
  until: string
  rows: { key: string; name: string; values: Record<string, number> }[]
  totals: Record<string, number>
}

export interface Position {
  inspector_id: string
  name: string
  lon: number
  lat: number
  at: string
  accuracy_m: number | null
  duty_grid_code: string | null
  state: 'moving' | 'still' | 'silent'
}

/** A whole h3 cell: its cases and its corners, lon and lat. */
export interface HeatCell {
  cell: string
  n: number
  ring: [number, number][]
}

export interface Place {
  kind: 'poi' | 'address' | 'town' | 'division' | 'component' | 'case' | 'grid'
  name: string
  address: string
  lon: number
  lat: number
  code?: string
  /** West, south, east, north of the town or a village. */
  bbox?: [number, number, number, number] | null
}

/** A component or a unit grid: shown as the list of facts the server sends. */
export type Facts = Record<string, unknown>

export interface ProblemBody {
  type: string
  status: number
  code: string
  title: string
  title_en: string
  detail: unknown
}
