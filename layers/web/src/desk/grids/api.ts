/** What the server says of the grids' plan, and how it is asked. Places are [lon, lat] in EPSG:4490 degrees. */
import { get, send } from '../../shared/api'
import type { ProblemBody } from '../../shared/types'
import type { LonLat } from '../parts/plainmap'

export type AreaClass = 'A' | 'B' | 'C'

export type Step =
  | { step: 'split'; grid: string; line: LonLat[] }
  | { step: 'merge'; grids: string[] }
  | { step: 'retire'; grid: string; into: string }
  | { step: 'redraw'; grids: [string, string]; line: LonLat[] }
  | { step: 'move'; at: LonLat; to: LonLat }
  | { step: 'draw'; ring: LonLat[]; area_class: AreaClass; land_use: string }
  | { step: 'describe'; grid: string; area_class: AreaClass; land_use: string }
  | { step: 'assign'; grids: string[]; duty: string }
  | { step: 'group'; grids: string[]; name: string }
  | { step: 'rename'; duty: string; name: string }
  | { step: 'regroup'; members: Record<string, string> }

export interface UnitGrid {
  key: string
  code: string
  village: string
  area_class: AreaClass
  land_use: string
  duty: string
  m2: number
  fresh: boolean
  /** Stays, with another class or use. */
  described: boolean
  /** Codes whose land it takes. */
  of: string[]
}

export interface DutyGrid {
  key: string
  code: string
  name: string
  village: string
  fresh: boolean
  ended: boolean
}

export interface GridFault {
  code: 'duty_apart' | 'grid_loose' | 'overlap' | 'gap' | 'outside'
  grids: string[]
  duty: string
  village: string
  m2: number
  hint: boolean
}

export interface Published {
  id: string
  day: string
  by: string
  at: string
  note: string
  state: 'waiting' | 'taken' | 'withdrawn'
  opened: number
  ended: number
  regrouped: number
  described: number
}

export type Shape = GeoJSON.Feature<GeoJSON.Polygon, { key: string }>

export interface GridPlan {
  draft: { key: string; name: string; revision: number; base: number; by: string; updated_at: string | null; steps: Step[]; undone: Step[] }
  /** The drafts there are: '' is the key of the first. */
  drafts: { key: string; name: string; by: string; updated_at: string }[]
  day: string
  may_write: boolean
  grids: UnitGrid[]
  shapes: Shape[]
  ended: string[]
  duty_grids: DutyGrid[]
  villages: { code: string; name: string }[]
  regrouped: number
  faults: GridFault[]
  broken: { step: number; problem: ProblemBody }[]
  waiting: Published | null
}

export interface Load {
  key: string
  name: string
  village: string
  inspectors: string[]
  unit_grids: number
  area_km2: number
  components: number
  open: number
  month: number
  walk_km: number
  month_per_inspector: number | null
  walk_per_inspector: number | null
  burden: number
}

export interface Spread {
  gini: number | null
  max_over_mean: number | null
}

export type Compared = 'area_km2' | 'components' | 'month' | 'walk_km' | 'burden'

export interface Balance {
  before: Load[]
  after: Load[]
  spreads: Record<Compared, { before: Spread; after: Spread }>
}

export interface PlanBalance extends Balance {
  affected: { open_cases: number; components: number; inspectors: string[] }
}

export interface Suggestion extends Balance {
  members: Record<string, string>
  unevenness: Record<string, { before: number; after: number }>
  skipped: string[]
}

export interface DraftBody {
  key: string
  name: string
  day: string
  steps: Step[]
  undone: Step[]
  revision: number
}

const at = encodeURIComponent

export const gridsApi = {
  plan: (draft: string) => get<GridPlan>(`/api/grid-plan?draft=${at(draft)}`),
  shapes: (day: string) => get<{ features: Shape[] }>(`/api/grid-plan/shapes?day=${at(day)}`).then((told) => told.features),
  save: (draft: DraftBody) => send<GridPlan>('PUT', '/api/grid-plan/draft', draft),
  discard: (draft: string, revision: number) => send<void>('DELETE', `/api/grid-plan/draft?draft=${at(draft)}&revision=${revision}`),
  publish: ({ key, revision, base }: GridPlan['draft'], day: string, note: string) =>
    send<{ id: string; day: string; taken: boolean }>('POST', '/api/grid-plan/publish', { draft: key, revision, base, day, note }),
  withdraw: (id: string) => send<{ draft: string }>('POST', `/api/grid-plan/${at(id)}/withdraw`),
  plans: () => get<{ items: Published[] }>('/api/grid-plans').then((told) => told.items),
  balance: (draft: string) => get<PlanBalance>(`/api/grid-plan/balance?draft=${at(draft)}`),
  suggestion: (draft: string, village: string) => get<Suggestion>(`/api/grid-plan/suggestion?draft=${at(draft)}${village ? `&village=${at(village)}` : ''}`),
}
