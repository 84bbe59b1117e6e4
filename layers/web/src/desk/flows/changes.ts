/** What differs between two drawings of a workflow, part by part. Pure. */
import { STAY, tidy, type ActionBody, type FlowBody, type StateBody } from './model'

export type Change = 'added' | 'changed' | 'removed'

export interface Difference {
  part: 'flow' | 'start' | 'state' | 'action'
  code: string
  change: Change
  /** Which entries differ; empty for what was added or removed. */
  keys: string[]
}

/** One text for equal values, whatever the order of their keys. */
function form(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(form).join()}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? ''
  const entries = Object.entries(value).filter(([, v]) => v !== undefined)
  return `{${entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => `${JSON.stringify(k)}:${form(v)}`)}}`
}

/** Lists whose order says nothing. */
const SETS = new Set(['from', 'roles', 'marks', 'clears', 'counts', 'owners'])

function plain(part: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(tidy(part)).map(([key, value]) => [key, SETS.has(key) && Array.isArray(value) ? [...value].sort() : value]),
  )
}

function keysOf(before: object, after: object): string[] {
  const [a, b] = [plain(before), plain(after)]
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => form(a[key]) !== form(b[key]))
}

/** An action that stays in its only state and one that names it as target are the same. */
function alike(action: ActionBody): ActionBody {
  return action.from.length === 1 && action.from[0] === action.to ? { ...action, to: STAY } : action
}

function compare<T extends object>(part: 'state' | 'action', before: Map<string, T>, after: Map<string, T>): Difference[] {
  const found: Difference[] = []
  for (const [code, now] of after) {
    const then = before.get(code)
    const keys = then ? keysOf(then, now) : []
    if (!then) found.push({ part, code, change: 'added', keys: [] })
    else if (keys.length) found.push({ part, code, change: 'changed', keys })
  }
  for (const code of before.keys()) if (!after.has(code)) found.push({ part, code, change: 'removed', keys: [] })
  return found
}

export function differences(before: FlowBody, after: FlowBody): Difference[] {
  const states = (body: FlowBody) => new Map<string, StateBody>(Object.entries(body.states))
  const actions = (body: FlowBody) => new Map(body.actions.map((a) => [a.code, alike(a)]))
  const flow = keysOf({ ...before, states: 0, actions: 0, start: 0 }, { ...after, states: 0, actions: 0, start: 0 })
  const start = keysOf(before.start, after.start)
  return [
    ...(flow.length ? [{ part: 'flow', code: after.code, change: 'changed', keys: flow } as const] : []),
    ...(start.length ? [{ part: 'start', code: after.start.code, change: 'changed', keys: start } as const] : []),
    ...compare('state', states(before), states(after)),
    ...compare('action', actions(before), actions(after)),
  ]
}

/** For a drawing: `state:code` and `action:code` to what became of it. */
export const marksOf = (found: readonly Difference[]): Map<string, Change> => new Map(found.map((d) => [`${d.part}:${d.code}`, d.change]))
