/** What the page of a case asks the server. */
import { get, send } from '../../shared/api'
import type { Attachment, Two } from '../../shared/types'
import type { Candidate, CaseFile, Course, Proof } from './types'

const of = (id: string) => `/api/cases/${encodeURIComponent(id)}`

export interface Step {
  action: string
  seq: number
  payload: Record<string, unknown>
}

export const caseApi = {
  file: (id: string, signal?: AbortSignal) => get<CaseFile>(of(id), signal),
  course: (id: string, signal?: AbortSignal) => get<Course>(`${of(id)}/course`, signal),
  verify: (id: string) => get<Proof>(`${of(id)}/verify`),
  candidates: (id: string) => get<{ items: Candidate[] }>(`${of(id)}/candidates`).then((found) => found.items),
  act: (id: string, step: Step) => send<CaseFile>('POST', `${of(id)}/actions`, step),
}

/** A smaller picture of a photo. */
export const previewOf = (photo: Pick<Attachment, 'url'>, size: 'small' | 'large'): string =>
  `${photo.url.replace('?', '/preview?')}&size=${size}`

/** A component near a place. */
export interface Neighbour {
  code: string
  name: string
  lon: number
  lat: number
  distance_m: number
}

/** A field of a case's form; personal data is masked. */
export interface Told {
  name: string
  label: Two
  value: string | number | boolean
  words: Two | null
}

export const placeApi = {
  form: (id: string, signal?: AbortSignal) => get<{ fields: Told[] }>(`${of(id)}/form`, signal).then((found) => found.fields),
  near: (lon: number, lat: number, signal?: AbortSignal) =>
    get<{ components: Neighbour[] }>(`/api/locate?lon=${lon}&lat=${lat}`, signal).then((found) => found.components),
}
