/** Taking one of a list away, and bringing it back for as long as it is offered. */
import { shallowRef, type ShallowRef } from 'vue'

import type { Attempts } from '../../desk/problem'

interface Bin<T> {
  gone: ShallowRef<T | null>
  forget: (one: T) => Promise<unknown>
  restore: () => Promise<unknown>
}

/** `away` and `back` ask the server, `read` for the list as it is then. */
export function useBin<T extends { id: string }>(
  attempt: Attempts['attempt'],
  away: (id: string) => Promise<void>,
  back: (id: string) => Promise<void>,
  read: () => Promise<void>,
): Bin<T> {
  const gone: ShallowRef<T | null> = shallowRef(null)
  return {
    gone,
    forget: (one) =>
      attempt(async () => {
        await away(one.id)
        gone.value = one
        await read()
      }),
    restore: () =>
      attempt(async () => {
        await back(gone.value!.id)
        gone.value = null
        await read()
      }),
  }
}
