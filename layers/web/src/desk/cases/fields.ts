/** What an action's fields hold while they are filled in, and as the server takes them. Pure. */
import { pick } from '../../shared/i18n'
import type { Named, Two } from '../../shared/types'
import type { Draft } from './draft'
import type { Action, CaseFile, Field } from './types'

const LISTS = new Set(['departments', 'tags'])

/** What a field begins with: what the case already knows, so that nobody types it again. */
export function initial(field: Field, file: Pick<CaseFile, 'department' | 'assignee' | 'tags' | 'facts' | 'closing_conditions'>): unknown {
  switch (field.type) {
    case 'department':
      // Where one must be named, another one is meant.
      return field.required ? '' : (file.department?.code ?? '')
    case 'tags':
      return [...(file.tags ?? [])]
    case 'closing_condition': {
      // What who handled it said already; the step only confirms it.
      const said = file.facts[field.name]
      return file.closing_conditions.some((one) => one.code === said) ? said : ''
    }
    case 'departments':
      return []
    case 'scores':
      return {}
    default:
      return ''
  }
}

/** The tags to choose from: the campaigns, and whatever else the case bears, each by its name. */
export function tagOptions(file: Pick<CaseFile, 'tags' | 'tag_names'>, campaigns: readonly { code: string; name: Two }[]): { value: string; label: string }[] {
  const borne = file.tags.map((value, i) => ({ value, label: pick(file.tag_names[i]) || value }))
  const offered = campaigns.map(({ code, name }) => ({ value: code, label: pick(name) }))
  return [...offered, ...borne.filter((one) => !offered.some((other) => other.value === one.value))]
}

const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === 'string' && !value.trim()) || (Array.isArray(value) && !value.length) ||
  (typeof value === 'object' && !Array.isArray(value) && value !== null && !Object.keys(value).length)

/** The required fields that are still empty; of scores, those without one for each of the departments `scored`. */
export function gaps(action: Pick<Action, 'fields'>, draft: Draft, scored: readonly string[] = []): Field[] {
  const lacks = (field: Field): boolean => {
    const value = field.type === 'photo' ? draft.shots[field.name] : draft.values[field.name]
    return isEmpty(value) || (field.type === 'scores' && scored.some((code) => !(value as Record<string, number>)[code]))
  }
  return action.fields.filter((field) => field.required && lacks(field))
}

/** The departments that a whistle summoned. */
export const summonedOf = (file: Pick<CaseFile, 'tasks'>): Named[] => {
  const found = new Map(file.tasks.filter((task) => task.kind === 'summon' && task.department).map((task) => [task.department!.code, task.department!]))
  return [...found.values()]
}

/** Fields whose value cannot be sent as it is: a number that is none. */
export function faults(action: Pick<Action, 'fields'>, draft: Draft): Field[] {
  return action.fields.filter((field) => field.type === 'number' && !isEmpty(draft.values[field.name]) && !Number.isFinite(Number(draft.values[field.name])))
}

/** The payload as the server takes it: empty fields left out, numbers as numbers, photos as digests. */
export function payload(action: Pick<Action, 'fields'>, draft: Draft): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const field of action.fields) {
    const raw = field.type === 'photo' ? (draft.shots[field.name] ?? []).map((shot) => shot.sha256) : draft.values[field.name]
    if (isEmpty(raw)) continue
    if (field.type === 'number') found[field.name] = Number(raw)
    else if (typeof raw === 'string' && !LISTS.has(field.type)) found[field.name] = raw.trim()
    else found[field.name] = raw
  }
  return found
}
