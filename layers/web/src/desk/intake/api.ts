/** What intake asks the server. */
import type { FormSchema } from '../../shared/forms'
import { get, query, send } from '../../shared/api'
import type { FoundCategory, Guide, Guided, KnownCaller, PointFacts, Receipt, SimilarCases } from './types'

const code = encodeURIComponent

/** A point with what is known of the report so far, as query parameters. */
export type Asked = Record<string, string | number | boolean>
const asQuery = (asked: Asked): string =>
  query(...Object.entries(asked).map(([name, value]) => (value === '' ? '' : `${name}=${code(value)}`)))

export const intakeApi = {
  facts: (asked: Asked, signal?: AbortSignal) => get<PointFacts>(`/api/intake/facts${asQuery(asked)}`, signal),
  similar: (asked: Asked, signal?: AbortSignal) => get<SimilarCases>(`/api/intake/similar${asQuery(asked)}`, signal),
  categories: () => get<{ items: FoundCategory[] }>('/api/intake/categories').then((found) => found.items),
  form: (kind: string, channel: string) => get<{ form: FormSchema | null }>(`/api/forms?kind=${code(kind)}&channel=${code(channel)}`).then((found) => found.form),
  guides: (channel: string) => get<{ items: Guide[] }>(`/api/guides?channel=${code(channel)}`).then((found) => found.items),
  resolve: (guide: string, chosen: string[]) =>
    send<{ catalogue: string; reports: Guided[] }>('POST', `/api/guides/${code(guide)}/resolve`, { chosen }),
  caller: (phone: string) => send<KnownCaller>('POST', '/api/intake/caller', { phone }),
  report: (body: unknown) => send<Receipt>('POST', '/api/cases', body),
  act: (id: string, action: string, payload: Record<string, unknown>, seq?: number) =>
    send<unknown>('POST', `/api/cases/${code(id)}/actions`, { action, payload, ...(seq && { seq }) }),
}
