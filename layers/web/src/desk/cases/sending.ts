/**
 * Taking a step: once, however often it is pressed; and what became of it when the server refuses.
 *
 * A step names the sequence it was made for. When somebody else was quicker the server says who did what; when the
 * answer to our own step was lost, sending it again finds it done.
 */
import { computed, ref, shallowRef } from 'vue'

import { ApiError } from '../../shared/api'
import { caseApi, type Step } from './api'
import type { CaseFile } from './types'

/** Who was quicker, as the server told it. */
export interface Meanwhile {
  by: string
  action: string
  at: string
  state: string
}

export type Outcome = { done: CaseFile | null } | { refused: unknown } | { ignored: true }

/** What a refusal says of somebody else's step; null for any other refusal. */
export function meanwhile(error: unknown): Meanwhile | null {
  if (!(error instanceof ApiError) || error.code !== 'stale_case') return null
  const { by, action, at, state } = error.detail
  return typeof by === 'string' && typeof at === 'string' ? { by, action: String(action), at, state: String(state) } : null
}

/** Whether the refusal is only the echo of our own step, whose answer was lost on the way. */
export function isEcho(error: unknown, step: Step, me: string): boolean {
  const other = meanwhile(error)
  return other !== null && other.by === me && other.action === step.action && (error as ApiError).detail.seq === step.seq + 1
}

export function useSending(send: (id: string, step: Step) => Promise<CaseFile> = caseApi.act) {
  const busy = ref(false)
  const problem = shallowRef<unknown>(null)
  /** The step whose answer did not come: the next attempt of the same may find it done. */
  let unanswered: Step | null = null

  async function take(id: string, step: Step, me: string): Promise<Outcome> {
    if (busy.value) return { ignored: true }
    busy.value = true
    problem.value = null
    try {
      const done = await send(id, step)
      unanswered = null
      return { done }
    } catch (error) {
      const again = unanswered !== null && unanswered.action === step.action && unanswered.seq === step.seq
      if (again && isEcho(error, step, me)) {
        unanswered = null
        return { done: null }
      }
      unanswered = error instanceof ApiError && (error.status === 0 || error.status >= 500) ? step : null
      problem.value = error
      return { refused: error }
    } finally {
      busy.value = false
    }
  }
  return { busy, problem, stale: computed(() => meanwhile(problem.value)), take }
}
