/** A workflow as it is drawn: the body as in data/workflows, and every way to change it. Pure; keeps no state. */
import type { Two } from '../../shared/types'

export interface Timer {
  limit?: string
  field?: string
  action: string
}

export interface StateBody {
  name: Two
  stage: string
  status?: string
  limit?: string
  limit_minutes?: number
  owners?: string[]
  timer?: Timer
}

export interface FieldBody {
  name: string
  type: string
  required?: boolean
  label: Two
  choices?: string[] | Record<string, Two>
  keep?: boolean
  within_days?: number
}

export interface Opens {
  kind: string
  for: string
  note?: string
  limit?: string
}

export interface Closes {
  kind: string
  of?: string
  state?: string
}

export interface ActionBody {
  code: string
  name: Two
  effect: Two
  from: string[]
  to: string
  roles: string[]
  fields?: FieldBody[]
  guard?: string
  guard_words?: Two
  clock?: string
  marks?: string[]
  clears?: string[]
  counts?: string[]
  assign?: string
  opens?: Opens[]
  closes?: Closes[]
  primary?: boolean
  hidden?: boolean
  bulk?: boolean
}

export type StartBody = Omit<ActionBody, 'from'>

export interface FlowBody {
  kind: string
  code: string
  name: Two
  valid_from?: string
  offline_minutes?: number
  states: Record<string, StateBody>
  start: StartBody
  actions: ActionBody[]
}

export interface Fault {
  rule: string
  level: 'error' | 'warning'
  part: 'flow' | 'state' | 'start' | 'action'
  code: string
  index: number | null
  key: string
  words: Two
}

/** What is chosen on the drawing. An action is named by its place in the list: two may have the same code for a while. */
export type Choice = { part: 'flow' } | { part: 'start' } | { part: 'state'; code: string } | { part: 'action'; index: number }

export const STAY = '='
export const STAGES = ['report', 'acceptance', 'filing', 'dispatch', 'handling', 'feedback', 'check', 'closing'] as const

export const isEnd = (state: StateBody): boolean => (state.status ?? 'open') !== 'open'

/** Where an action leads from `source`. */
export const targetOf = (action: Pick<ActionBody, 'to'>, source: string): string => (action.to === STAY ? source : action.to)

/** A copy that shares nothing. */
export const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

/** `base`, or `base_2`, `base_3`… until nobody has it. */
export function freeCode(base: string, taken: readonly string[]): string {
  let code = base
  for (let n = 2; taken.includes(code); n += 1) code = `${base}_${n}`
  return code
}

export function addState(body: FlowBody, stage: string, name: Two): { body: FlowBody; code: string } {
  const next = copy(body)
  const code = freeCode('state', Object.keys(next.states))
  next.states[code] = { name, stage }
  return { body: next, code }
}

/** A new action that leads from one state to another; its reader fills in the rest. */
export function addAction(body: FlowBody, from: string, to: string, name: Two, effect: Two): { body: FlowBody; index: number } {
  const next = copy(body)
  const code = freeCode('action', next.actions.map((a) => a.code))
  const roles = next.states[from]?.owners ?? next.actions.find((a) => a.from.includes(from) && a.primary)?.roles ?? []
  next.actions.push({ code, name, effect, from: [from], to, roles: [...roles], fields: [] })
  return { body: next, index: next.actions.length - 1 }
}

/**
 * A state put into an arrow: what led to its target leads to the new state now, and a new action leads on from there.
 * Everything else of the action stays.
 */
export function insertState(body: FlowBody, index: number, name: Two, onward: Two, effect: Two): { body: FlowBody; code: string } {
  const next = copy(body)
  const action = next.actions[index]
  if (!action || action.to === STAY) return { body: next, code: '' }
  const target = action.to
  const stage = next.states[target] && !isEnd(next.states[target]) ? next.states[target].stage : (next.states[action.from[0] ?? '']?.stage ?? 'handling')
  const code = freeCode('state', Object.keys(next.states))
  next.states[code] = { name, stage }
  action.to = code
  next.actions.push({
    code: freeCode('action', next.actions.map((a) => a.code)),
    name: onward,
    effect,
    from: [code],
    to: target,
    roles: [],
    primary: true,
    fields: [],
  })
  return { body: next, code }
}

/** Without the state; actions that lead there or only from there go with it. */
export function removeState(body: FlowBody, code: string): FlowBody {
  const next = copy(body)
  delete next.states[code]
  next.actions = next.actions
    .map((a) => ({ ...a, from: a.from.filter((source) => source !== code) }))
    .filter((a) => a.from.length > 0 && a.to !== code)
  return next
}

export function removeAction(body: FlowBody, index: number): FlowBody {
  const next = copy(body)
  next.actions.splice(index, 1)
  return next
}

/** A copy beside the original, with a code of its own; nothing leads to a copied state yet. */
export function duplicateState(body: FlowBody, code: string): { body: FlowBody; code: string } {
  const next = copy(body)
  const fresh = freeCode(`${code}_2`, Object.keys(next.states))
  next.states[fresh] = copy(next.states[code]!)
  return { body: next, code: fresh }
}

export function duplicateAction(body: FlowBody, index: number): { body: FlowBody; index: number } {
  const next = copy(body)
  const original = next.actions[index]!
  next.actions.splice(index + 1, 0, { ...copy(original), code: freeCode(`${original.code}_2`, next.actions.map((a) => a.code)) })
  return { body: next, index: index + 1 }
}

/** The same flow with a state called otherwise, wherever it is named. */
export function renameState(body: FlowBody, old: string, fresh: string): FlowBody {
  const next = copy(body)
  const named = (code: string) => (code === old ? fresh : code)
  next.states = Object.fromEntries(Object.entries(next.states).map(([code, state]) => [named(code), state]))
  for (const action of next.actions) {
    action.from = action.from.map(named)
    action.to = named(action.to)
  }
  next.start.to = named(next.start.to)
  return next
}

/** The same flow with an action called otherwise, timers that take it too. */
export function renameAction(body: FlowBody, index: number, fresh: string): FlowBody {
  const next = copy(body)
  const action = next.actions[index]!
  for (const state of Object.values(next.states)) if (state.timer?.action === action.code) state.timer.action = fresh
  action.code = fresh
  return next
}

/** Entries that say nothing are left out: an empty list and no list are the same to the engine, but not to a comparison. */
export function tidy<T extends object>(part: T): T {
  const kept = Object.entries(part).filter(([, value]) => {
    if (value === undefined || value === null || value === false || value === '') return false
    return !(Array.isArray(value) && value.length === 0)
  })
  return Object.fromEntries(kept) as T
}

/** A body in its one form, as it is saved. */
export function tidyFlow(body: FlowBody): FlowBody {
  const next = copy(body)
  for (const [code, state] of Object.entries(next.states)) next.states[code] = tidy(state)
  next.actions = next.actions.map((a) => ({ ...tidy(a), from: a.from, roles: a.roles, ...(a.fields && { fields: a.fields.map(tidy) }) }))
  next.start = { ...tidy(next.start), roles: next.start.roles }
  return next
}

/** The smallest flow that runs: reported, handled with a clock, closed or void. */
export function emptyFlow(code: string, name: Two): FlowBody {
  const two = (zh: string, en: string): Two => ({ zh, en })
  const reason = (zh: string, en: string): FieldBody => ({ name: 'reason', type: 'text', required: true, label: two(zh, en) })
  return {
    kind: 'workflow',
    code,
    name,
    states: {
      reported: { name: two('待派遣', 'To be dispatched'), stage: 'dispatch', limit_minutes: 30 },
      handling: { name: two('处置中', 'In handling'), stage: 'handling' },
      handled: { name: two('待结案', 'To be closed'), stage: 'closing', limit_minutes: 60 },
      closed: { name: two('已结案', 'Closed'), stage: 'closing', status: 'closed' },
      voided: { name: two('已作废', 'Void'), stage: 'dispatch', status: 'void' },
    },
    start: {
      code: 'report',
      name: two('上报', 'Report'),
      effect: two('登记案件，等待派遣', 'Registers the case for dispatch'),
      to: 'reported',
      roles: ['inspector', 'acceptor', 'shift_leader', 'leader', 'public', 'platform'],
    },
    actions: [
      {
        code: 'dispatch',
        name: two('派遣', 'Dispatch'),
        effect: two('派往处置部门，开始计时', 'Goes to the department; the clock starts'),
        from: ['reported'],
        to: 'handling',
        roles: ['dispatcher'],
        marks: ['accepted_at', 'filed_at', 'dispatched_at'],
        clock: 'start',
        primary: true,
        fields: [{ name: 'department', type: 'department', label: two('处置部门', 'Department') }],
      },
      {
        code: 'handle',
        name: two('处置反馈', 'Report handled'),
        effect: two('停止计时，等待结案', 'Stops the clock; waits for closing'),
        from: ['handling'],
        to: 'handled',
        roles: ['handler', 'department_manager'],
        marks: ['handled_at'],
        clock: 'stop',
        primary: true,
        fields: [
          { name: 'result', type: 'text', required: true, label: two('处置结果', 'What was done') },
          { name: 'photos_after', type: 'photo', label: two('处置后照片', 'Photos after') },
        ],
      },
      {
        code: 'timeout',
        name: two('处置超时', 'Overdue'),
        effect: two('记录处置超时', 'Records that handling is overdue'),
        from: ['handling'],
        to: STAY,
        roles: ['system'],
        marks: ['overdue_at'],
        hidden: true,
      },
      {
        code: 'rework',
        name: two('返工', 'Rework'),
        effect: two('退回原部门继续处置', 'Back to the department'),
        from: ['handled'],
        to: 'handling',
        roles: ['dispatcher'],
        counts: ['rework_count'],
        clears: ['handled_at'],
        clock: 'resume',
        fields: [reason('返工原因', 'Reason')],
      },
      {
        code: 'close',
        name: two('结案', 'Close'),
        effect: two('案件结案归档', 'Closes and archives the case'),
        from: ['handled'],
        to: 'closed',
        roles: ['dispatcher'],
        marks: ['closed_at'],
        primary: true,
        fields: [{ name: 'closing_condition', type: 'closing_condition', required: true, label: two('结案条件', 'Closing condition') }],
      },
      {
        code: 'void',
        name: two('作废', 'Void'),
        effect: two('不符合立案条件，终止案件', 'Ends the case as not meeting the filing condition'),
        from: ['reported'],
        to: 'voided',
        roles: ['dispatcher'],
        marks: ['voided_at'],
        fields: [reason('作废原因', 'Reason')],
      },
    ],
  }
}
