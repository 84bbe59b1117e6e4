/** What waits for me: read when the desk opens and whenever cases changed, but not more often than anybody can look. */
import { shallowRef, watch } from 'vue'

import { isAbort } from '../../shared/api'
import { version } from '../../shared/live'
import { listApi, type Todo } from './api'

const REST_MS = 4000
/** Lights turn with time alone. */
const STALE_MS = 60_000

export const todo = shallowRef<Todo | null>(null)
export const todoProblem = shallowRef<unknown>(null)

export async function readTodo(): Promise<void> {
  try {
    todo.value = await listApi.todo()
    todoProblem.value = null
  } catch (error) {
    if (!isAbort(error)) todoProblem.value = error
  }
}

/** Keeps it fresh until the returned function is called. */
export function followTodo(): () => void {
  let waiting: ReturnType<typeof setTimeout> | undefined
  const stop = watch(version, () => {
    waiting ??= setTimeout(() => {
      waiting = undefined
      void readTodo()
    }, REST_MS)
  })
  const stale = setInterval(readTodo, STALE_MS)
  void readTodo()
  return () => {
    stop()
    clearTimeout(waiting)
    clearInterval(stale)
  }
}
