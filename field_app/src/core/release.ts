/** The service worker that opens the app without a network, and the change to a new release when the person agrees. */
import { ref } from 'vue'

export type WorkerState = 'none' | 'insecure' | 'starting' | 'ready' | 'failed'

export const workerState = ref<WorkerState>('none')
const LOOK_MS = 30 * 60_000
export const waitingRelease = ref(false)

let registration: ServiceWorkerRegistration | null = null
let agreed = false

export async function register(): Promise<void> {
  if (!('serviceWorker' in navigator)) {
    workerState.value = window.isSecureContext ? 'none' : 'insecure'
    return
  }
  workerState.value = 'starting'
  registration = await navigator.serviceWorker
    .register('/m/sw.js', { scope: '/m', updateViaCache: 'none' })
    .catch(() => null)
  if (!registration) {
    workerState.value = 'failed'
    return
  }
  const look = () => {
    waitingRelease.value = Boolean(registration?.waiting && navigator.serviceWorker.controller)
    if (registration?.active) workerState.value = 'ready'
  }
  const follow = (worker: ServiceWorker | null) => worker?.addEventListener('statechange', look)
  follow(registration.installing)
  registration.addEventListener('updatefound', () => follow(registration?.installing ?? null))
  // Another tab may have agreed: only the tab that did reloads, a page being written in is left alone.
  navigator.serviceWorker.addEventListener('controllerchange', () => agreed && location.reload())
  // An app that is never closed would never look for its successor.
  let looked = Date.now()
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState !== 'visible' || Date.now() - looked < LOOK_MS) return
    looked = Date.now()
    void registration?.update().catch(() => undefined)
  })
  look()
}

export function takeOver(): void {
  agreed = true
  registration?.waiting?.postMessage('take-over')
}
