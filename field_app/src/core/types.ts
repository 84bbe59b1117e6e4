/** What the server sends and what the phone keeps. Server field names equal the HTTP contract. Knows no behaviour. */

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

export interface Catalogue {
  code: string
  name: Two
  groups: { kind: 'component' | 'event'; code: string; name: string; categories: Named[] }[]
}

export interface NearComponent {
  code: string
  name: string
  catalogue: string
  category_code: string
  lon: number
  lat: number
  distance_m: number
}

export interface Located {
  village: Named
  unit_grid_code: string
  duty_grid_code: string
  area_class: string
  components: NearComponent[]
}

export interface CaseItem {
  id: string
  number: string
  category: { catalogue: string; kind: string; code: string; name: string; group_code: string; group_name: string }
  description: string
  address: string
  lon: number
  lat: number
  village: Named | null
  unit_grid_code: string
  department: Named | null
  state: string
  state_name: Two
  stage: string
  status: string
  light: 'green' | 'yellow' | 'red' | 'none'
  component_code: string | null
  reported_at: string
  due_at: string | null
  remaining: Two | null
  rework_count: number
  seq: number
}

export interface ActionField {
  name: string
  type: 'text' | 'photo' | 'department' | 'departments' | 'choice' | 'number' | 'date' | 'closing_condition' | 'staff' | 'case' | 'tags' | 'scores'
  required: boolean
  label: Two
  choices?: string[]
  choice_names?: Record<string, Two>
}

export interface CaseAction {
  action: string
  name: Two
  primary: boolean
  to_state: string
  effect: Two
  fields: ActionField[]
  /** Why it is refused now, whatever is filled in. */
  blocked?: Two | null
}

export interface CaseTask {
  id: string
  kind: string
  kind_name: Two
  state: 'open' | 'done' | 'cancelled'
  department: Named | null
  assignee: { id: string; name: string } | null
  note: string
  due_at: string | null
  mine: boolean
}

export interface CaseEvent {
  seq: number
  action: string
  action_name: Two
  actor: string
  role: string
  happened_at: string
  recorded_at: string
  payload: Record<string, unknown>
  hash: string
}

export interface CaseDetail extends CaseItem {
  events: CaseEvent[]
  actions: CaseAction[]
  attachments: { sha256: string; purpose: string; mime: string; seq: number; url: string }[]
  reporter: string
  // A case kept by an older app lacks these.
  tasks?: CaseTask[]
  facts?: Record<string, unknown>
  closing_conditions?: { code: string; text: string; closing: string }[]
}

export interface Workflow {
  code: string
  actions: { code: string; name: Two; from: string[]; to: string; roles: string[] }[]
}

/** A refusal by the server, or our own code for what the phone found wrong. */
export interface Problem {
  status: number
  code: string
  title: string
  title_en: string
  detail?: Record<string, unknown>
}

export interface Place {
  lon: number
  lat: number
  crs: string
  accuracy_m: number | null
  at: string
  by: 'gps' | 'map' | 'component'
}

/** A photo as sent; the bytes lie in the store `media` under the same digest. */
export interface Photo {
  sha256: string
  original_sha256: string
  bytes: number
  width: number
  height: number
  taken_at: string
}

export interface Media {
  sha256: string
  mime: string
  content: ArrayBuffer
}

/** What a report's page holds while it is written. */
export interface ReportForm {
  component: NearComponent | null
  category: { kind: 'component' | 'event'; code: string; name: string } | null
  place: Place | null
  fix: Place | null
  description: string
}

export type State = 'draft' | 'queued' | 'sending' | 'login-needed' | 'needs-help'

/** One thing to be sent: a report, or a step of a case. It belongs to its owner, whoever is signed in. */
export interface Item {
  id: string
  kind: 'report' | 'action'
  owner: string
  owner_name: string
  device: string
  /** Number on this device, given when it is saved; the draft has none. */
  seq: number | null
  case_id: string
  title: string
  body: Record<string, unknown>
  form: ReportForm | null
  photos: Photo[]
  state: State
  tries: number
  next_at: number
  problem: Problem | null
  created_at: number
  saved_at: number | null
  version: string
}

/** What stays when the server has named a thing, or the person has withdrawn it. Kept for thirty days. */
export interface Receipt {
  id: string
  kind: 'report' | 'action'
  owner: string
  title: string
  number: string
  query_code: string
  hash: string
  seq: number
  photos: string[]
  device_seq: number | null
  saved_at: number
  acked_at: number
  withdrawn: Item | null
}

export interface KeptFix {
  owner: string
  seq: number
  at: string
  lon: number
  lat: number
  accuracy_m: number | null
  /** What was added to the phone's own clock to date it. */
  clock_ms?: number
}

export interface Session {
  token: string
  me: Me
  expired: boolean
}
