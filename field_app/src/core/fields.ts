/** What the fields of a step hold on the phone, and as the server takes them. Pure. */
import type { ActionField, CaseAction } from './types'

export type Values = Record<string, string | string[]>

/** What a thumb can fill in; the rest belongs to the desk. */
const HERE = new Set(['text', 'photo', 'department', 'departments', 'choice', 'number', 'date', 'closing_condition'])
/** Dates are the town's wall clock, wherever the phone thinks it is. */
const ZONE = ':00+08:00'

export const isHere = (field: ActionField): boolean => HERE.has(field.type)

/** Whether the step asks for something the phone has no field for. */
export const needsDesk = (action: CaseAction): boolean => action.fields.some((field) => field.required && !isHere(field))

const filled = (value: string | string[] | undefined): boolean => (Array.isArray(value) ? value.length > 0 : !!value?.trim())

/** The required fields still empty; photos are counted apart. */
export const gaps = (action: CaseAction, values: Values, photos: boolean): ActionField[] =>
  action.fields.filter((field) => field.required && (field.type === 'photo' ? !photos : !filled(values[field.name])))

/** The values as the server takes them: empty ones left out. */
export function payloadOf(action: CaseAction, values: Values): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  for (const field of action.fields) {
    const value = values[field.name]
    if (field.type === 'photo' || !isHere(field) || !filled(value)) continue
    if (Array.isArray(value)) found[field.name] = value
    else if (field.type === 'number') found[field.name] = Number(value)
    else if (field.type === 'date') found[field.name] = value!.trim() + ZONE
    else found[field.name] = value!.trim()
  }
  return found
}
