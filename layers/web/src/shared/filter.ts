/** The case filter: one object behind list, map, counts and address bar. Pure; knows no page. */
/** Parameters that take several values, joined by commas. */
export const MANY = [
  'status',
  'light',
  'stage',
  'state',
  'kind',
  'channel',
  'category',
  'village',
  'department',
  'grid',
  'duty_grid',
  'severity',
  'component',
  'awaits',
  'stage_light',
  'handling_light',
  'tag',
  'assignee',
  'parent',
  'bbox',
] as const
/** Parameters that take one value, commas and all. */
export const ONE = ['since', 'until', 'overdue', 'supervised', 'urged', 'q'] as const

export type FilterKey = (typeof MANY)[number] | (typeof ONE)[number]
export type CaseFilter = Partial<Record<FilterKey, string[]>>

const KEYS: readonly FilterKey[] = [...MANY, ...ONE]
const isMany = (key: FilterKey): boolean => (MANY as readonly string[]).includes(key)

/** Without empty entries and in one order, so that equal filters are equal objects and equal addresses. */
export function tidy(filter: CaseFilter): CaseFilter {
  const out: CaseFilter = {}
  for (const key of KEYS) {
    const values = [...new Set((filter[key] ?? []).map((value) => value.trim()).filter(Boolean))]
    if (key === 'bbox') {
      const sides = (filter.bbox ?? []).filter(Boolean)
      if (sides.length === 4) out.bbox = sides
    } else if (values.length) out[key] = isMany(key) ? values.sort() : values.slice(0, 1)
  }
  return out
}

/** Query string for the server, empty for no filter. */
export function toQuery(filter: CaseFilter): string {
  return Object.entries(tidy(filter))
    .map(([key, values]) => `${key}=${values.map(encodeURIComponent).join(',')}`)
    .join('&')
}

/** Reads a filter from a query; `status=all` says "no filter" out loud. */
export function fromQuery(search: URLSearchParams): CaseFilter {
  const filter: CaseFilter = {}
  for (const key of KEYS) {
    const text = search.get(key)
    if (text === null || (key === 'status' && text === 'all')) continue
    filter[key] = isMany(key) ? text.split(',') : [text]
  }
  return tidy(filter)
}

/** The filter without one of its parameters. */
export function without(filter: CaseFilter, ...keys: FilterKey[]): CaseFilter {
  const rest = { ...filter }
  for (const key of keys) delete rest[key]
  return rest
}
