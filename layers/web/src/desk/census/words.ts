/** The names behind what a component's fields hold. */
import { word } from '../../shared/i18n'
import { departments, nameOf } from '../../shared/names'

/** The name of a value, '' where it has none but itself. */
export function nameIn(field: string, value: unknown): string {
  const code = String(value)
  if (field === 'village_code') return nameOf('village', code) === code ? '' : nameOf('village', code)
  if (field === 'state') return word('componentState', code)
  if (field === 'accuracy_class') return word('census.accuracy', code)
  if (typeof value === 'boolean') return word('fact', code)
  return field.endsWith('_unit') ? (departments.value.find((one) => one.code === code)?.name ?? '') : ''
}

/** A value in words: its name, else itself, a dash where there is none. */
export const saidIn = (field: string, value: unknown): string =>
  value === null || value === undefined || value === '' ? '—' : nameIn(field, value) || (typeof value === 'object' ? JSON.stringify(value) : String(value))
