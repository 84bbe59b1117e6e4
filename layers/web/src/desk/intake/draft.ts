/**
 * What is being typed at intake. Kept in this browser per person until it is sent or given up, so that no reload and no
 * failure loses it; what the form calls personal is kept for this tab alone.
 */
import { uuid7 } from '../../../../../field_app/src/core/uuid7'
import type { FormSchema, Values } from '../../shared/forms'
import type { Shot } from '../../shared/photos'
import type { CategoryRef, Guided } from './types'

export interface Draft {
  id: string
  channel: string
  kind: string
  description: string
  category: CategoryRef | null
  condition: string
  component: { code: string; name: string; categories: string[] } | null
  /** Longitude and latitude in EPSG:4490. */
  place: [number, number] | null
  address: string
  /** Typed by the person: no longer filled in from the place. */
  addressTyped: boolean
  severity: number | null
  values: Values
  shots: Shot[]
  formShots: Record<string, Shot[]>
  tags: string[]
  selfHandled: boolean
  /** The closing condition that who mended it says is met; '' leaves it to the review. */
  closing: string
  result: string
  shotsAfter: Shot[]
  promised: string[]
  promiseUntil: string
  /** What the guide still wants, and the reports that are to follow this one. */
  material: Guided['material']
  next: Guided[]
  saved_at: number
}

export const blank = (channel = 'patrol'): Draft => ({
  id: uuid7(),
  channel,
  kind: channel === 'hotline' ? 'hotline' : 'case',
  description: '',
  category: null,
  condition: '',
  component: null,
  place: null,
  address: '',
  addressTyped: false,
  severity: null,
  values: {},
  shots: [],
  formShots: {},
  tags: [],
  selfHandled: false,
  closing: '',
  result: '',
  shotsAfter: [],
  promised: [],
  promiseUntil: '',
  material: [],
  next: [],
  saved_at: 0,
})

const key = (who: string) => `wangge.intake:${who}`

export const isBlank = (draft: Draft): boolean =>
  !draft.description && !draft.category && !draft.component && !draft.place && !draft.shots.length && !Object.values(draft.values).some(Boolean)

/** Keeps the draft; a blank one is not kept. Full storage costs only the survival of a reload. */
export function keep(who: string, draft: Draft, schema: FormSchema | null, local: Storage = localStorage, tab: Storage = sessionStorage): void {
  try {
    if (isBlank(draft)) return drop(who, local, tab)
    const secret = new Set((schema?.fields ?? []).filter((field) => field.personal).map((field) => field.name))
    const parts: [Values, Values] = [{}, {}]
    for (const [name, value] of Object.entries(draft.values)) parts[secret.has(name) ? 1 : 0][name] = value
    local.setItem(key(who), JSON.stringify({ ...draft, values: parts[0], saved_at: Date.now() }))
    tab.setItem(key(who), JSON.stringify(parts[1]))
  } catch {
    /* what is typed stays on the page */
  }
}

/** The draft this person left, or null. */
export function kept(who: string, local: Storage = localStorage, tab: Storage = sessionStorage): Draft | null {
  try {
    const found = JSON.parse(local.getItem(key(who)) ?? 'null') as Partial<Draft> | null
    if (!found?.id || !found.channel) return null
    const secret = JSON.parse(tab.getItem(key(who)) ?? '{}') as Values
    const { component = null } = found
    return { ...blank(found.channel), ...found, component: component?.categories ? component : null, values: { ...found.values, ...secret } }
  } catch {
    return null // written by an older page
  }
}

export function drop(who: string, local: Storage = localStorage, tab: Storage = sessionStorage): void {
  local.removeItem(key(who))
  tab.removeItem(key(who))
}

/** `116.65, 40.11` or `40.11 116.65` as [lon, lat]; null for anything else. China's longitudes are above its latitudes. */
export function readCoordinates(text: string): [number, number] | null {
  const numbers = text.match(/-?\d+(\.\d+)?/g)?.map(Number) ?? []
  if (numbers.length !== 2) return null
  const [a, b] = numbers as [number, number]
  const swapped = a < 60 && b > 60
  return swapped ? [b, a] : [a, b]
}

/** What the server is sent. */
export function toReport(draft: Draft, catalogue: string): Record<string, unknown> {
  const photos = [...draft.shots].map((shot) => shot.sha256)
  const form: Values = { ...draft.values }
  for (const [name, shots] of Object.entries(draft.formShots)) if (shots.length) form[name] = shots.map((shot) => shot.sha256)
  return {
    id: draft.id,
    kind: draft.kind,
    channel: draft.channel,
    catalogue,
    category_kind: draft.category?.kind,
    category_code: draft.category?.code,
    condition_code: draft.condition,
    component_code: draft.component?.code ?? '',
    lon: draft.place?.[0],
    lat: draft.place?.[1],
    crs: 'EPSG:4490',
    description: draft.description.trim(),
    address: draft.address.trim(),
    severity: draft.severity,
    photos,
    form,
    tags: draft.tags,
    ...(draft.promised.length && draft.promiseUntil && { commitment: { fields: draft.promised, until: draft.promiseUntil } }),
    ...(draft.selfHandled && { self_handled: true, payload: { result: draft.result.trim(), photos_after: draft.shotsAfter.map((shot) => shot.sha256), ...(draft.closing && { closing_condition: draft.closing }) } }),
  }
}
