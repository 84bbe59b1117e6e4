/** What the server says of the census, and how it is asked. */
import { fetchFile, get, request, send } from '../../shared/api'
import { pick } from '../../shared/i18n'
import type { CasePage, Facts, Named, ProblemBody, Two } from '../../shared/types'

export const KINDS = ['added', 'moved', 'changed', 'removed'] as const
export type Kind = (typeof KINDS)[number]

export interface Counts {
  read?: number
  good?: number
  bad?: number
  excluded?: number
  findings?: Record<string, { severity: 'error' | 'warning'; rows: number; suggested: number }>
  differences?: Record<Kind | 'unchanged', number>
}
export interface Sample {
  id: string
  /** Of the draft when it was drawn. */
  revision: number
  plan: string
  lot: number
  size: number
  accept: number
  seed: string
  state: 'open' | 'accepted' | 'rejected' | 'discarded'
  checked: number
  bad: number
  drawn_by: string
  drawn_at: string
  reason: string
}
export interface Repair {
  number: number
  kind: string
  field: string
  finding: string
  rows: number
  by: string
  made_at: string
}
export interface Draft {
  id: string
  name: string
  file: string
  state: 'open' | 'refused' | 'published' | 'withdrawn'
  checking: { state: string; stage?: string; done?: number; total?: number } | null
  removal: 'surveyed' | 'none'
  revision: number
  source: string
  crs: string
  counts: Counts
  problem: ProblemBody | null
  made_by: string
  made_at: string
  ended_by: string
  ended_at: string | null
  sample: Sample['state'] | null
  repairs?: Repair[]
  samples?: Sample[]
}
export interface Survey {
  id: string
  name: string
  source: string
  note: string
  made_by: string
  recorded_at: string
  counts: Record<string, number>
  reverts: string | null
  reverted: string | null
}
export interface Overview {
  items: Draft[]
  mappings: { code: string; name: Two; crs: string }[]
  plans: { code: string; name: Two; source: string }[]
  systems: { code: string; name: Two }[]
  surveys: Survey[]
}
export interface Finding {
  number: number
  row: number
  identifier: string
  code: string
  severity: 'error' | 'warning'
  field: string
  zh: string
  en: string
  value: string
  suggestion: ({ kind: string; field: string; value: string | null } & Two) | null
  lon: number | null
  lat: number | null
}
export interface Difference {
  number: number
  kind: Kind
  row: number | null
  code: string
  category_code: string
  name: string
  moved_m: number | null
  changes: Record<string, [unknown, unknown]>
  lon: number
  lat: number
}
export interface SampleRow {
  row: number
  place: number
  result: 'good' | 'bad' | null
  faults: string[]
  error_m: number | null
  note: string
  code: string
  identifier: string
  name: string
  accuracy_class: string
  unit_grid_code: string
  lon: number
  lat: number
  by: string
}
export interface Version {
  version: number
  valid_from: string
  valid_to: string | null
  survey: string | null
  note: string | null
  made_by: string | null
  reverts: string | null
  /** A change case brought it; which one is told to those who may see it. */
  corrected: boolean
  case_id: string | null
  number: string | null
  changes: Record<string, [unknown, unknown]>
  moved_m: number | null
  state: string
  catalogue: string
  catalogue_name: Two | null
  category_code: string
  category_name: string
}
export interface ComponentPhoto {
  sha256: string
  case: string | null
  by: string
  at: string
  purpose: string
}
export interface ControlPoint {
  name: string
  x: number
  y: number
  east: number
  north: number
  use?: boolean
}
export interface FitReport {
  method: string
  redundancy: number
  rms_m: number
  unit_weight_m: number | null
  scale_ppm: number
  turn_seconds: number
  points: { name: string; east_m: number; north_m: number; metres: number; used: boolean }[]
  outliers: string[]
  within: boolean
  swapped: boolean
}
export interface LocalSystem {
  name: Two
  method: 'helmert' | 'affine'
  tolerance_m: number
  points: ControlPoint[]
}
export interface ComponentFacts extends Facts {
  code: string
  catalogue: string
  category_code: string
  name: string
  lon: number
  lat: number
}
/** One component with names. `case_categories`: what a case on it may be of, in the town's catalogue. */
export interface OneComponent extends ComponentFacts {
  catalogue_name: Two | null
  category_name: string
  case_categories: Named[]
}
/** A class of components in a catalogue. */
export interface ClassRef {
  catalogue: string
  code: string
}
export interface Statistics {
  catalogue: string
  catalogues: { code: string; name: Two }[]
  items: { code: string; name: string; n: number }[]
  apart: { catalogue: string; code: string; name: string; n: number; candidates: Named[] }[]
}

/** The coordinate systems a survey can be read in: the usual ones and the town's local ones. */
export const systemsOf = (told: Overview | null): { code: string; name: string }[] => [
  ...['EPSG:4490', 'EPSG:4326', 'EPSG:4548', 'EPSG:4527', 'EPSG:4509', 'GCJ-02', 'BD-09'].map((one) => ({ code: one, name: one })),
  ...(told?.systems ?? []).map((one) => ({ code: `local:${one.code}`, name: `${pick(one.name) || one.code}（local:${one.code}）` })),
]

const code = encodeURIComponent
const at = (id: string) => `/api/census/drafts/${code(id)}`

export const censusApi = {
  overview: () => get<Overview>('/api/census/drafts'),
  begin: (file: File, fields: Record<string, string>) => {
    const form = new FormData()
    form.set('file', file)
    for (const [name, value] of Object.entries(fields)) form.set(name, value)
    return request<{ id: string }>('/api/census/drafts', { method: 'POST', body: form })
  },
  draft: (id: string) => get<Draft>(at(id)),
  change: (id: string, what: { name?: string; removal?: string }) => send('PATCH', at(id), what),
  check: (id: string) => send('POST', `${at(id)}/check`),
  findings: (id: string, of: string, after: number) =>
    get<{ items: Finding[]; next: number | null }>(`${at(id)}/findings?code=${code(of)}&after=${after}&limit=50`),
  repair: (id: string, decision: { revision: number; kind: string; code?: string; rows?: number[]; field?: string; items?: Record<string, string | null> }) =>
    send('POST', `${at(id)}/repairs`, decision),
  takeBack: (id: string, number: number) => send('DELETE', `${at(id)}/repairs/${number}`),
  withdraw: (id: string, note: string) => send('POST', `${at(id)}/withdraw`, { note }),
  differences: (id: string, kind: string, after: number) =>
    get<{ items: Difference[]; next: number | null }>(`${at(id)}/differences?kind=${kind}&after=${after}&limit=50`),
  file: (id: string, which: string) => fetchFile(`${at(id)}/${which}`),
  tiles: (id: string) => `${location.origin}${at(id)}/tiles/{z}/{x}/{y}.mvt`,
  sample: (id: string) => get<{ samples: Sample[]; rows: SampleRow[]; faults: string[] }>(`${at(id)}/sample`),
  draw: (id: string, revision: number, plan: string, seed: string) => send('POST', `${at(id)}/sample`, { revision, plan, seed }),
  /** `measured`: where it was measured, [lon, lat] EPSG:4490. */
  record: (id: string, row: number, faults: string[], note: string, measured: [number, number] | null) =>
    send<{ result: string; state: Sample['state'] }>('PUT', `${at(id)}/sample/${row}`, { faults, note, ...(measured && { lon: measured[0], lat: measured[1] }) }),
  recordRest: (id: string) => send<{ recorded: number; state: Sample['state'] }>('POST', `${at(id)}/sample/rest`),
  discard: (id: string, note: string) => send('POST', `${at(id)}/sample/discard`, { note }),
  publish: (id: string, revision: number, note: string) => send<{ survey: string } & Record<Kind, number>>('POST', `${at(id)}/publish`, { revision, note }),
  revert: (id: string, note: string) => send<{ restored: number; removed: number; kept: number }>('POST', `/api/census/surveys/${code(id)}/revert`, { note }),
  systems: () => get<{ items: { code: string; version: number; body: LocalSystem; report: FitReport }[] }>('/api/census/systems').then((told) => told.items),
  fit: (system: LocalSystem) => send<FitReport>('POST', '/api/census/systems/fit', system),
  saveSystem: (of: string, system: LocalSystem) => send<{ code: string; version: number }>('PUT', `/api/census/systems/${code(of)}`, system),
  mapping: (source: string, target: string) =>
    get<{ items: (Named & { counterparts: Named[] })[] }>(`/api/catalogue-mapping?source=${code(source)}&target=${code(target)}`).then((told) => told.items),
  statistics: (catalogue: string) => get<Statistics>(`/api/component-statistics?catalogue=${code(catalogue)}`),
  components: (search: string) => get<{ items: ComponentFacts[]; next: string | null }>(`/api/components?${search}`),
  component: (of: string) => get<OneComponent>(`/api/components/${code(of)}`),
  history: (of: string) => get<{ versions: Version[]; photos: ComponentPhoto[] }>(`/api/components/${code(of)}/history`),
  addPhotos: (of: string, photos: string[]) => send('POST', `/api/components/${code(of)}/photos`, { photos }),
  cases: (of: string) => get<CasePage>(`/api/cases?component=${code(of)}&limit=20`),
  photoUrl: (of: string, photo: ComponentPhoto) =>
    photo.case ? `/api/media/${photo.sha256}?case=${code(photo.case)}` : `/api/components/${code(of)}/photos/${photo.sha256}`,
  report: (of: string, as: ClassRef, form: Record<string, unknown>, lon: number, lat: number, description: string, id: string) =>
    send<{ id: string; number: string }>('POST', '/api/cases', {
      id, kind: 'change', catalogue: as.catalogue, category_kind: 'component', category_code: as.code,
      component_code: of, lon, lat, description, form,
    }),
}
