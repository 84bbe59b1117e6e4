/** What the page of a case reads, beside shared/types.ts: field names equal the HTTP contract. */
import type { CaseDetail, CaseEvent, Named, Two } from '../../shared/types'

export type FieldType =
  | 'text' | 'photo' | 'department' | 'departments' | 'choice' | 'number' | 'date' | 'staff' | 'case'
  | 'closing_condition' | 'tags' | 'scores'

export interface Field {
  name: string
  type: FieldType
  required: boolean
  label: Two
  choices?: string[]
  choice_names?: Record<string, Two>
  /** How many days ahead a date may lie. */
  within_days?: number
}

export interface Action {
  action: string
  name: Two
  effect: Two
  primary: boolean
  to_state: string
  /** Kinds of tasks it is the answer to; empty where it moves the case on. */
  answers: string[]
  fields: Field[]
  /** Why the action is refused now, whatever is filled in; null where it is not. */
  blocked?: Two | null
}

export interface Task {
  id: string
  kind: string
  kind_name: Two
  state: 'open' | 'done' | 'cancelled'
  department: Named | null
  assignee: { id: string; name: string } | null
  note: string
  opened_at: string
  due_at: string | null
  closed_at: string | null
  result: Record<string, unknown>
  mine: boolean
  /** Codes of the actions by which I can end it now. */
  actions: string[]
}

export interface Link {
  kind: 'merged_into' | 'merged_from' | 'parent' | 'child'
  id: string
  number: string
  state_name: Two
  department: Named | null
}

export interface CaseFile extends CaseDetail {
  actions: Action[]
  /** Codes: who helps by the duty list or was asked to. */
  co_departments: string[]
  tasks: Task[]
  links: Link[]
  codes: { channel: string; code: string }[]
  facts: Record<string, unknown>
  closing_conditions: { code: string; text: string; closing: string }[]
  timer: { at: string; action: string; name: Two } | null
  assignee: { id: string; name: string } | null
  tags: string[]
  tag_names: Two[]
  stage_due_at: string | null
  urge_count: number
  return_count: number
  supervised: boolean
  exempted: boolean
  simulated: boolean
}

/** How a span of time was taken by the clock. */
export type How = 'counting' | 'resting' | 'paused'

export interface Line {
  limit: Two
  kind: string
  started_at: string
  yellow_at: string | null
  due_at: string | null
  goes_on_due_at: string | null
  stopped_at: string | null
  until: string
  cut: boolean
  spans: { from: string; to: string; how: How }[]
  /** How often the limit was granted once more, and when it would have ended without. */
  extensions: number
  first_due_at: string | null
}

export interface Stage {
  state: string
  from: string
  to: string | null
  due_at: string | null
  late: boolean
}

/** The clock, the stages and the names a case's story is told in. */
export interface Course {
  seq: number
  now: string
  line: Line | null
  /** Whether the flow has a handling limit at all; where it has none, only its stages are timed. */
  clocked: boolean
  stages: Stage[]
  states: Record<string, Two>
  fields: Record<string, Record<string, { type: FieldType; label: Two; choices?: Record<string, Two> }>>
  names: Record<string, string>
}

export interface Proof {
  events: number
  intact: boolean
  broken_at: number | null
  head: string
  sealed_until: string | null
}

/** Somebody who could go, the best first, with the reasons. */
export interface Candidate {
  id: string
  name: string
  reasons: Two[]
}

export type Event = CaseEvent
