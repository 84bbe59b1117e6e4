/** What the register asks the server. A number goes in a body, never in an address. */
import { get, send } from '../../shared/api'

export interface Entry {
  id: string
  kind: 'blocked' | 'commitment'
  reason: string
  /** The names of promised fields; empty for a block. */
  fields: { zh: string; en: string }[]
  until: string
  /** Blocked: it holds still; promised: the day has not passed. */
  in_time: boolean
  by: string
  created_at: string
  case_id: string | null
  number: string | null
  lifted_at: string | null
  lifted_by: string
  lift_reason: string
}

const items = (answer: { items: Entry[] }) => answer.items

export const registerApi = {
  entries: (lifted: boolean) => get<{ items: Entry[] }>(`/api/intake/exceptions?lifted=${lifted}`).then(items),
  of: (phone: string) => send<{ items: Entry[] }>('POST', '/api/intake/exceptions/find', { phone }).then(items),
  block: (phone: string, reason: string, until: string) => send<{ id: string }>('POST', '/api/intake/exceptions', { phone, reason, until }),
  lift: (id: string, reason: string) => send<void>('POST', `/api/intake/exceptions/${id}/lift`, { reason }),
}
