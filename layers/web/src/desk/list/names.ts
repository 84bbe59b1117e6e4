/** The names that the list shows codes under: states and kinds come with the to-do, people and campaigns with the list. */
import { shallowRef } from 'vue'

import { pick, word } from '../../shared/i18n'
import type { FilterKey } from '../../shared/filter'
import { choices, nameOf, type Choice } from '../../shared/names'
import { listApi, type Choices } from './api'
import { todo } from './todo'

const CODED: readonly FilterKey[] = ['kind', 'grid', 'duty_grid', 'component']

const known = shallowRef<Choices>({ tags: [], assignees: [] })
/** Without them codes stand for names, and the menus are empty until the next time. */
export async function readChoices(): Promise<void> {
  known.value = (await listApi.choices().catch(() => null)) ?? known.value
}

/** What may be chosen for a parameter; codes without a list of their own are those that cases have (`counts`). */
export function choicesOf(key: FilterKey, counts: Record<string, number> | null): Choice[] {
  if (key === 'state') return Object.entries(todo.value?.states ?? {}).map(([value, name]) => ({ value, label: pick(name) }))
  if (key === 'tag') return known.value.tags.map(({ code, name }) => ({ value: code, label: pick(name) }))
  if (key === 'assignee') return known.value.assignees.map(({ id, name, department }) => ({ value: id, label: name, ...(department && { group: department }) }))
  if (CODED.includes(key)) return Object.keys(counts ?? {}).filter(Boolean).sort().map((value) => ({ value, label: key === 'kind' ? word('kind', value) : value }))
  return choices(key)
}

export function valueName(key: FilterKey, value: string): string {
  if (key === 'state') return pick(todo.value?.states[value]) || value
  if (key === 'tag' || key === 'assignee') return choicesOf(key, null).find((choice) => choice.value === value)?.label ?? value
  return key === 'kind' ? word('kind', value) : nameOf(key, value)
}
