/** What went wrong on a page, kept beside what it shows: a failed request never takes the page away. */
import { ref, shallowRef, type Ref, type ShallowRef } from 'vue'

import { isAbort } from '../shared/api'

export interface Attempts {
  /** The last failure, null after a success; shown by `ProblemBanner`. */
  problem: ShallowRef<unknown>
  busy: Ref<boolean>
  /** Does the work; its result, or undefined when it failed (then `problem` says why) or was given up. */
  attempt: <T>(work: () => Promise<T>) => Promise<T | undefined>
}

export function useProblem(): Attempts {
  const problem = shallowRef<unknown>(null)
  const busy = ref(false)
  let running = 0
  async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    running += 1
    busy.value = true
    try {
      const result = await work()
      problem.value = null
      return result
    } catch (error) {
      if (!isAbort(error)) problem.value = error
      return undefined
    } finally {
      running -= 1
      busy.value = running > 0
    }
  }
  return { problem, busy, attempt }
}
