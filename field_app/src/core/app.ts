/** The running app: the outbox as the screen sees it, when the sender is woken, and what other tabs have done. */
import { computed, ref, shallowRef, watch } from 'vue'

import { loadOffset } from './http'
import { unsent } from './outbox'
import { makeSender } from './sender'
import { expire, loadSession, may, session } from './session'
import * as store from './store'
import { loadCounts, track } from './track'
import type { Item, Receipt } from './types'

export const VERSION = __VERSION__

const all = shallowRef<Item[]>([])
const allReceipts = shallowRef<Receipt[]>([])

const owner = computed(() => session.value?.me.id ?? '')
export const items = computed(() =>
  all.value.filter((item) => item.owner === owner.value).sort((a, b) => b.created_at - a.created_at),
)
export const receipts = computed(() =>
  allReceipts.value.filter((receipt) => receipt.owner === owner.value).sort((a, b) => b.acked_at - a.acked_at),
)
/** What the server has not named yet, of the person signed in. */
export const outstanding = computed(() => unsent(items.value))
/** Unsent things on this phone that belong to others: name and number. */
export const others = computed(() => {
  const counts = new Map<string, number>()
  for (const item of all.value) {
    if (item.owner !== owner.value && item.state !== 'draft') {
      counts.set(item.owner_name, (counts.get(item.owner_name) ?? 0) + 1)
    }
  }
  return [...counts]
})
export const nextTry = ref<number | null>(null)
export const tracking = ref(true)
/** The browser cannot keep anything: nothing can be saved, and the page must say so. */
export const broken = ref<unknown>(null)

const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('wangge-phone')

async function reload(): Promise<void> {
  ;[all.value, allReceipts.value] = await Promise.all([store.items(), store.receipts()])
}

/** The outbox has changed: show it here and in other tabs. */
export async function changed(): Promise<void> {
  channel?.postMessage('outbox')
  await reload()
}

let timer = 0
const sender = makeSender({
  session: () => session.value,
  async expired(token) {
    await expire(token)
    channel?.postMessage('session')
  },
  changed: () => void changed(),
  later(at) {
    clearTimeout(timer)
    nextTry.value = at
    if (at !== null) timer = window.setTimeout(() => void flush(), Math.max(0, at - Date.now()))
  },
})

/** Send what is due, or everything that waits. */
export const flush = (everything = false): Promise<void> => sender.flush(everything).catch(() => undefined)

let stopTrack: (() => void) | null = null

const trackKey = 'tracking'

export async function setTracking(on: boolean): Promise<void> {
  tracking.value = on
  await store.keep(trackKey, on)
}

function followSession(): void {
  watch(
    [session, tracking],
    () => {
      stopTrack?.()
      stopTrack = null
      const held = session.value
      if (held) void loadCounts(held.me.id)
      if (held && tracking.value && may('position.send')) stopTrack = track(held)
    },
    { immediate: true },
  )
}

/** The session has changed in this tab: tell the others, and send what was waiting for it. */
export async function sessionTold(): Promise<void> {
  channel?.postMessage('session')
  await reload()
  void flush(true)
}

export async function start(): Promise<void> {
  try {
    await Promise.all([loadSession(), loadOffset()])
    tracking.value = (await store.kept<boolean>(trackKey)) ?? true
    await reload()
    await store.tidy()
  } catch (error) {
    broken.value = error
    return
  }
  channel?.addEventListener('message', (event) => {
    if (event.data === 'session') void loadSession()
    void reload()
  })
  const wake = () => void flush(true)
  window.addEventListener('online', wake)
  window.addEventListener('pageshow', wake)
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && wake())
  followSession()
  wake()
}
