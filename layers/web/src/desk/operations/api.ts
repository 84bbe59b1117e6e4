/** What waits in the background, what is stuck and why; trying it again. */
import { get, send } from '../../shared/api'
import type { Two } from '../../shared/types'

export interface Stuck {
  case_id: string
  number: string
  state: string
  state_name: Two
  kind: 'overdue' | 'timer'
  due_at: string
  since: string
  attempts: number
  next_at: string
  /** The refusal in words; null for a fault, of which `error` says what is known. */
  why: Two | null
  error: string
}
export interface Dead {
  id: number
  consumer: string
  case_id: string
  seq: number
  attempts: number
  error: string | null
}
export interface Jobs {
  consumers: Record<string, { waiting: number; dead: number }>
  dead: Dead[]
  stuck: Stuck[]
  stuck_count: number
}
export interface Health {
  stuck: number
  dead: number
  waiting: number
}

export const operationsApi = {
  jobs: () => get<Jobs>('/api/jobs'),
  health: () => get<Health>('/api/jobs/health'),
  retry: (of: Record<string, string> = {}) => send<{ revived: number; timers: number }>('POST', `/api/jobs/replay?${new URLSearchParams(of)}`),
}
