/** What the list asks the server. */
import { get, query, send } from '../../shared/api'
import type { CasePage, ProblemBody, Two } from '../../shared/types'
import type { Action } from '../cases/types'

export interface Queue {
  role: string
  role_name: Two
  state: string
  name: Two
  stage: string
  count: number
  lights: Record<string, number>
  filter: Record<string, string>
}

export interface Todo {
  at: string
  queues: Queue[]
  tasks: { kind: string; name: Two; count: number; late: number; mine: number }[]
  views: { code: 'open' | 'soon' | 'late' | 'stage_late'; count: number; filter: Record<string, string> }[]
  /** The names of all states a case can be in. */
  states: Record<string, Two>
}

export interface SavedFilter {
  id: string
  name: string
  query: string
  columns: string[]
  shared: boolean
  own: boolean
  owner: string
}
type Kept = Pick<SavedFilter, 'name' | 'query' | 'columns' | 'shared'>
interface SavedFilters {
  items: SavedFilter[]
}

/** An action that can be taken for some of the chosen cases. */
export interface Doable extends Action {
  /** Whether it may be taken for several cases at once. */
  bulk: boolean
  cases: string[]
}

export interface Outcome {
  id: string
  outcome: 'done' | 'refused'
  seq?: number
  problem?: ProblemBody
}

/** What only the list can be filtered by: special actions, and who holds a case. */
export interface Choices {
  tags: { code: string; name: Two }[]
  assignees: { id: string; name: string; department: string | null }[]
}

const code = encodeURIComponent

export const listApi = {
  todo: (signal?: AbortSignal) => get<Todo>('/api/todo', signal),
  choices: () => get<Choices>('/api/cases/choices'),
  page: (filter: string, order: string, cursor: string, limit: number, signal?: AbortSignal) =>
    get<CasePage>(`/api/cases${query(filter, `order=${order}`, `limit=${limit}`, cursor && `cursor=${code(cursor)}`)}`, signal),
  taskPage: (kind: string, filter: string, order: string, cursor: string, limit: number, signal?: AbortSignal) =>
    get<CasePage>(`/api/todo/tasks/${code(kind)}${query(filter, `order=${order}`, `limit=${limit}`, cursor && `cursor=${code(cursor)}`)}`, signal),
  saved: () => get<SavedFilters>('/api/saved-filters').then((found) => found.items),
  keep: (kept: Kept) => send<SavedFilters>('POST', '/api/saved-filters', kept).then((found) => found.items),
  change: (id: string, kept: Kept) => send<SavedFilters>('PUT', `/api/saved-filters/${id}`, kept).then((found) => found.items),
  place: (ids: string[]) => send<SavedFilters>('PUT', '/api/saved-filters/order', { ids }).then((found) => found.items),
  forget: (id: string) => send<SavedFilters>('DELETE', `/api/saved-filters/${id}`).then((found) => found.items),
  doable: (ids: string[]) => send<{ items: Doable[] }>('POST', '/api/cases/bulk/actions', { ids }).then((found) => found.items),
  bulk: (action: string, payload: Record<string, unknown>, items: { id: string; seq: number }[]) =>
    send<{ done: number; refused: number; items: Outcome[] }>('POST', '/api/cases/bulk', { action, payload, items }),
  /** Where the filter's cases are downloaded from. */
  exportUrl: (filter: string, format: 'xlsx' | 'csv', language: string, columns: readonly string[]) =>
    `/api/cases/export${query(filter, `format=${format}`, `language=${language}`, columns.length ? `columns=${columns.join()}` : '')}`,
}
