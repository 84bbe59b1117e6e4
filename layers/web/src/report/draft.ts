/** What somebody is about to report: kept on the phone until it is sent. */
import { uuid7 } from '../../../../field_app/src/core/uuid7'
import type { Guided } from '../desk/intake/types'
import type { Values } from '../shared/forms'

export interface Draft {
  /** One for each report; made here, so that sending twice is harmless. */
  ids: string[]
  reports: Guided[]
  catalogue: string
  place: { lon: number; lat: number; crs: string; accuracy: number | null } | null
  component: string
  address: string
  words: string
  /** Photos as data addresses. */
  photos: string[]
  values: Values
}

export const blank = (): Draft => ({ ids: [], reports: [], catalogue: '', place: null, component: '', address: '', words: '', photos: [], values: {} })
export const idsFor = (reports: readonly Guided[]): string[] => reports.map(() => uuid7())

const KEY = 'wangge.report'

export function kept(store: Storage = localStorage): Draft | null {
  try {
    const found = JSON.parse(store.getItem(KEY) ?? 'null') as Partial<Draft> | null
    return found?.reports?.length ? { ...blank(), ...found } : null
  } catch {
    return null // written by an older page
  }
}

export function keep(draft: Draft, store: Storage = localStorage): void {
  try {
    store.setItem(KEY, JSON.stringify(draft))
  } catch {
    try {
      store.setItem(KEY, JSON.stringify({ ...draft, photos: [] })) // the words at least
    } catch {
      /* what is typed stays on the page */
    }
  }
}

export const drop = (store: Storage = localStorage): void => store.removeItem(KEY)
