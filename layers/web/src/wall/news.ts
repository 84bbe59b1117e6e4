/** The wall's one live stream, for all of its parts: each hears what it needs while it is there. */
import { onScopeDispose, watch } from 'vue'

import { listen, type Listener } from '../shared/live'
import { may } from '../shared/names'
import { filterQuery } from './state'

const hearers = new Set<Listener>()

/** Hears the stream until the part that called is gone. */
export function hear(listener: Listener): void {
  hearers.add(listener)
  onScopeDispose(() => hearers.delete(listener), true)
}

/** Opens the stream, for as long as the page is there, once it is known that its reader may see cases. */
export function follow(): void {
  const stop = watch(
    () => may('case.view'),
    (sees) => {
      if (!sees) return
      stop()
      listen(filterQuery, {
        case: (news) => hearers.forEach((one) => one.case?.(news)),
        gone: (id) => hearers.forEach((one) => one.gone?.(id)),
        positions: (items) => hearers.forEach((one) => one.positions?.(items)),
      })
    },
  )
}
