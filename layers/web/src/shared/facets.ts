/** How many cases each choice of a filter parameter would hold, everything else of the filter kept. */
import { api } from './api'
import { toQuery, without, type CaseFilter, type FilterKey } from './filter'
import { choices } from './names'

/** By value; null when it could not be read: menus then show no numbers. */
export async function facetCounts(filter: CaseFilter, key: FilterKey): Promise<Record<string, number> | null> {
  const answer = await api.count(toQuery(without(filter, key)), [key]).catch(() => null)
  const plain = answer?.facets[key]
  if (!plain || key !== 'category') return plain ?? null
  // A category's count is asked by code; a group holds what its codes hold.
  return Object.fromEntries(choices(key).map(({ value }) => [value, sum(plain, value)]))
}

const sum = (facets: Record<string, number>, prefix: string) =>
  Object.entries(facets).reduce((n, [code, more]) => (code.startsWith(prefix) ? n + more : n), 0)
