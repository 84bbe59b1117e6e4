/** Asking again gives up what was asked before: the newest answer is shown, never an older one that came late. */
import { onBeforeUnmount } from 'vue'

/** A signal for each new question; the one before ends, and the last with the page. */
export function useNewest(): () => AbortSignal {
  let asking = new AbortController()
  onBeforeUnmount(() => asking.abort())
  return () => {
    asking.abort()
    asking = new AbortController()
    return asking.signal
  }
}
