/** The wall as it is driven from another device: shows a code, hears addresses, tells what it shows. */
import { computed, onScopeDispose, ref, watch } from 'vue'

import { send } from '../shared/api'
import { touch } from './rotation'
import { address, place, show } from './state'

const KEY = 'wangge.wall'
/** Set while devices may drive this wall: it listens again after a reload. */
const HEARS = 'wangge.wall.driven'
const TELL_MS = 400

const wall = localStorage.getItem(KEY) ?? crypto.randomUUID()
localStorage.setItem(KEY, wall)

export const code = ref('')
/** Who may drive the wall. */
export const drivers = ref<string[]>([])
export const problem = ref<unknown>(null)

let stream: EventSource | undefined
let retry: ReturnType<typeof setTimeout> | undefined

function close(): void {
  stream?.close()
  stream = undefined
  clearTimeout(retry)
}

function hear(): void {
  close()
  stream = new EventSource(`/api/walls/${wall}/stream`)
  const on = <T>(name: string, take: (data: T) => void) =>
    stream?.addEventListener(name, (event) => take(JSON.parse((event as MessageEvent<string>).data) as T))
  on<{ names: string[] }>('drivers', ({ names }) => {
    if (names.length > drivers.value.length) code.value = ''
    drivers.value = names
    if (!names.length && !code.value) stop()
    else localStorage.setItem(HEARS, '1')
    tell()
  })
  on<{ address: string }>('show', (sent) => {
    touch()
    show(sent.address)
  })
  stream.onerror = () => {
    // Redis forgot the wall, or the login ended: then there is nothing to wait for.
    if (stream?.readyState === EventSource.CLOSED) retry = setTimeout(hear, 30_000)
  }
}

function stop(): void {
  close()
  localStorage.removeItem(HEARS)
  drivers.value = []
}

/** Shows a new code for one device. */
export async function invite(): Promise<void> {
  problem.value = null
  try {
    code.value = (await send<{ code: string }>('POST', `/api/walls/${wall}/code`)).code
    hear()
  } catch (error) {
    problem.value = error
  }
}

/** Takes the code away; who drives already goes on. */
export function dismiss(): void {
  code.value = ''
  problem.value = null
  if (!drivers.value.length) stop()
}

/** Lets go of every device. */
export async function release(): Promise<void> {
  code.value = ''
  await send('DELETE', `/api/walls/${wall}/drivers`).catch(() => null)
  stop()
}

let telling: ReturnType<typeof setTimeout> | undefined
const shown = computed(() => address() + (place.value ? `#map=${place.value}` : ''))

function tell(): void {
  telling ??= setTimeout(() => {
    telling = undefined
    if (drivers.value.length && shown.value.length <= 2000) void send('PUT', `/api/walls/${wall}/shown`, { address: shown.value }).catch(() => null)
  }, TELL_MS)
}

/** Listens where it did before, and tells every change of what is shown. */
export function useDriving(): void {
  if (localStorage.getItem(HEARS)) hear()
  watch(shown, tell)
  onScopeDispose(() => {
    close()
    clearTimeout(telling)
  })
}
