/** What is being typed for an action of a case: outlives errors, reloads and other people's steps, in this tab alone. */
import type { Shot } from '../../shared/photos'

export interface Draft {
  values: Record<string, unknown>
  shots: Record<string, Shot[]>
}

export const emptyDraft = (): Draft => ({ values: {}, shots: {} })

const key = (caseId: string, action: string) => `wangge.draft:${caseId}:${action}`

export function readDraft(caseId: string, action: string, store: Storage = sessionStorage): Draft | null {
  try {
    const found = JSON.parse(store.getItem(key(caseId, action)) ?? 'null') as Draft | null
    return found && typeof found.values === 'object' && typeof found.shots === 'object' ? found : null
  } catch {
    return null // written by an older page
  }
}

export const isBlank = (draft: Draft): boolean =>
  Object.values(draft.shots).every((shots) => !shots.length) &&
  Object.values(draft.values).every((value) => value === '' || value === null || value === undefined || (Array.isArray(value) && !value.length))

/** Keeps it; a blank one is not kept. Full storage costs only the survival of a reload. */
export function keepDraft(caseId: string, action: string, draft: Draft, store: Storage = sessionStorage): void {
  try {
    if (isBlank(draft)) store.removeItem(key(caseId, action))
    else store.setItem(key(caseId, action), JSON.stringify(draft))
  } catch {
    /* what is typed stays on the page */
  }
}

export const dropDraft = (caseId: string, action: string, store: Storage = sessionStorage): void => store.removeItem(key(caseId, action))
