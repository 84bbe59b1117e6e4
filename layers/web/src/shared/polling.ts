import { onMounted, onScopeDispose } from 'vue'

/** Reads when a component is on the page, and again every so many milliseconds until it is gone. */
export function usePolling(read: () => unknown, everyMs: number): void {
  let timer: ReturnType<typeof setInterval> | undefined
  onMounted(() => {
    void read()
    timer = setInterval(read, everyMs)
  })
  onScopeDispose(() => clearInterval(timer))
}
