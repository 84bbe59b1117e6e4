/** The words of what a workflow may name. */
import { pick, word } from '../../shared/i18n'
import type { Grammar } from './api'
import { isEnd, STAGES, type ActionBody, type FlowBody } from './model'
import { t } from '../../shared/i18n'

export interface Option {
  value: string
  label: string
  note?: string
}

const options = (family: string, codes: readonly string[]): Option[] => codes.map((value) => ({ value, label: word(family, value) }))

export const stages = (): Option[] => options('stage', STAGES)
export const statuses = (): Option[] => options('status', ['open', 'closed', 'void'])
export const marks = (grammar: Grammar): Option[] => options('mark', grammar.marks)
export const counters = (grammar: Grammar): Option[] => options('counter', grammar.counters)
export const clocks = (grammar: Grammar): Option[] => options('clock', grammar.clock_effects)
export const fieldTypes = (grammar: Grammar): Option[] => options('field', grammar.field_types)
export const tasks = (grammar: Grammar): Option[] => options('task', grammar.tasks)
export const assignments = (grammar: Grammar): Option[] => options('assign', grammar.assignments.filter(Boolean))

/** Roles in the order of the work; who is nobody is said. */
export function roles(grammar: Grammar): Option[] {
  const staffed = new Set([...grammar.staffed, 'public', 'platform', 'system'])
  return options('role', grammar.roles)
    .map((one) => (staffed.has(one.value) ? one : { ...one, note: t('flow.nobody') }))
    .sort((a, b) => ORDER.indexOf(a.value) - ORDER.indexOf(b.value))
}
const ORDER = ['inspector', 'acceptor', 'shift_leader', 'dispatcher', 'handler', 'department_manager', 'leader', 'evaluator', 'census_clerk', 'public', 'platform', 'system']

export const stateOptions = (body: FlowBody): Option[] =>
  Object.entries(body.states)
    .map(([value, state]) => ({ value, label: pick(state.name) || value, rank: isEnd(state) ? 99 : STAGES.indexOf(state.stage as (typeof STAGES)[number]) }))
    .sort((a, b) => a.rank - b.rank)

export const stateName = (body: FlowBody, code: string): string => pick(body.states[code]?.name) || code
export const actionName = (action: Pick<ActionBody, 'name' | 'code'> | undefined): string => (action ? pick(action.name) || action.code : '')
