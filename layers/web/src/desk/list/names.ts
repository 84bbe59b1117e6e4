/** The names that the list shows codes under: states and kinds come with the to-do, the rest is read for every page. */
import { word } from '../../shared/i18n'
import type { FilterKey } from '../../shared/filter'
import { choices, nameOf, type Choice } from '../../shared/names'
import { pick } from '../../shared/i18n'
import { todo } from './todo'

const CODED: readonly FilterKey[] = ['kind', 'grid', 'duty_grid', 'component']

/** What may be chosen for a parameter; codes without a list of their own are those that cases have (`counts`). */
export function choicesOf(key: FilterKey, counts: Record<string, number> | null): Choice[] {
  if (key === 'state') return Object.entries(todo.value?.states ?? {}).map(([value, name]) => ({ value, label: pick(name) }))
  if (CODED.includes(key)) return Object.keys(counts ?? {}).filter(Boolean).sort().map((value) => ({ value, label: key === 'kind' ? word('kind', value) : value }))
  return choices(key)
}

export function valueName(key: FilterKey, value: string): string {
  if (key === 'state') return pick(todo.value?.states[value]) || value
  return key === 'kind' ? word('kind', value) : nameOf(key, value)
}
