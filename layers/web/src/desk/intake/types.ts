/** What the server says at intake, as the page reads it: field names equal the HTTP contract. */
import type { CaseItem, Named, Two } from '../../shared/types'

export interface CategoryRef {
  kind: string
  code: string
  name: string
}

export interface FoundCategory extends CategoryRef {
  group_name: string
  /** Name, pinyin, initials and what people say, in lower case. */
  search: string
  /** Why it takes no new cases; null where it does. */
  off: string | null
}

export interface Suggestion extends CategoryRef {
  group_name: string
  why: Two[]
}

export interface NearComponent {
  code: string
  name: string
  category_code: string
  /** Its classes in the town's catalogue: none or several where it was surveyed in another. */
  case_categories: string[]
  catalogue: string
  state: string
  lon: number
  lat: number
  distance_m: number
  competent: Named | null
  owner: Named | null
  maintenance: Named | null
}

export interface Condition {
  code: string
  text: string
  closing: string
  severity: number
  limit: Two
  limits: Record<'A' | 'B' | 'C', Two>
}

export interface Plan {
  category: CategoryRef
  conditions: Condition[]
  condition_code: string
  department: Named | null
  co_departments: Named[]
  rule_id: string
  trace: string[]
  /** `asks`: the names of the fields its report has. */
  workflow: { code: string; name: Two; asks: string[] }
  due_at: string | null
  limit: Two
}

export interface PointFacts {
  lon: number
  lat: number
  village: Named
  unit_grid_code: string
  duty_grid: Named
  area_class: 'A' | 'B' | 'C'
  places: { kind: string; name: string; address: string; distance_m: number }[]
  components: NearComponent[]
  suggestions: Suggestion[]
  plan: Plan | null
  campaigns: { code: string; name: Two }[]
}

export type Why = 'component' | 'category' | 'group' | 'near'
export type SimilarCase = CaseItem & { distance_m: number; why: Why }

export interface SimilarCases {
  items: SimilarCase[]
  radius_m: number
  hours: number
}

export interface GuideOption {
  code: string
  name: Two
  picture?: string
  next?: string
  category?: string
  condition?: string
  fill?: { severity?: number; description?: string }
  material?: string[]
}

export interface Question {
  code: string
  text: Two
  many?: boolean
  options: GuideOption[]
}

export interface Guide {
  code: string
  name: Two
  questions: Question[]
}

/** One report that chosen situations come to. */
export interface Guided {
  category: CategoryRef
  condition_code: string
  fill: { severity?: number; description?: string }
  material: { code: string; name: Two; type: string; required: boolean }[]
  because: { code: string; name: Two }[]
}

export interface Receipt {
  id: string
  number: string
  query_code: string
  department: Named | null
  unit_grid_code: string
  duplicate: boolean
}

export interface KnownCaller {
  earlier: CaseItem[]
  exceptions: { id: string; kind: 'blocked' | 'commitment'; reason: string; fields: Two[]; until: string; number: string | null }[]
}
