/** What is read again when cases changed, without asking for every change. */
import { onScopeDispose, watch } from 'vue'

import { version } from '../shared/live'

/** Reads again after a change, at most once in `restMs`, for as long as the part that called is there. */
export function useRereading(read: () => unknown, restMs: number): void {
  let waiting: ReturnType<typeof setTimeout> | undefined
  watch(version, () => {
    waiting ??= setTimeout(() => {
      waiting = undefined
      void read()
    }, restMs)
  })
  onScopeDispose(() => clearTimeout(waiting))
}
