/** The events of a case in words. Pure apart from the language; names come from those who know them. */
import { listed, pick, t, word } from '../../shared/i18n'
import { fullTime, shortTime } from '../../shared/time'
import type { CaseEvent, Two } from '../../shared/types'
import type { CaseFile, Course, FieldType } from './types'

export interface Told {
  label: string
  text: string
}

/** What somebody who tells the story must know beside it. */
export interface Names {
  course: Course | null
  conditions: CaseFile['closing_conditions']
  department: (code: string) => string
}

/** What the engine notes for itself, and what stands elsewhere: not told again. */
const SILENT = new Set(['judged_at', 'left_scope', 'sent', 'photos', 'photos_after', 'catalogue', 'category_kind', 'category_code', 'condition_code', 'component_code', 'channel', 'rule_id', 'severity'])

/** Steps that only keep the clock or a list: left out where only what matters is asked for. */
const MINOR = new Set(['timeout', 'follow', 'arrive', 'tag', 'note', 'urge_read'])

/** Whether a step moved the case on, or says something nobody should miss. */
export function important(event: CaseEvent): boolean {
  if (event.from_state !== event.to_state) return true
  return !MINOR.has(event.action)
}

const isTwo = (value: unknown): value is Two => typeof value === 'object' && value !== null && 'zh' in value && 'en' in value

function value(type: FieldType | undefined, raw: unknown, names: Names, choices: Record<string, Two> | undefined): string {
  if (raw === null || raw === undefined || raw === '') return ''
  switch (type) {
    case 'department':
      return names.department(String(raw))
    case 'departments':
      return listed((raw as string[]).map(names.department))
    case 'choice':
      return pick(choices?.[String(raw)]) || word('choice', String(raw))
    case 'staff':
    case 'case':
      return names.course?.names[String(raw)] ?? String(raw).slice(0, 8)
    case 'date':
      return String(raw).length > 10 ? shortTime(String(raw)) : String(raw)
    case 'closing_condition': {
      const found = names.conditions.find((one) => one.code === raw)
      return found ? found.closing || found.text : String(raw)
    }
    case 'scores':
      return listed(Object.entries(raw as Record<string, number>).map(([code, n]) => `${names.department(code)} ${t('case.points', { n })}`))
    case 'tags':
      return listed(raw as string[])
    default:
      break
  }
  if (isTwo(raw)) return pick(raw)
  if (Array.isArray(raw)) return listed(raw.map((one) => value(undefined, one, names, undefined)))
  if (typeof raw === 'object') return Object.entries(raw).map(([key, one]) => `${word('payload', key)} ${String(one)}`).join(' · ')
  return String(raw)
}

/** What a step said, field by field, in the words of the flow the case runs on. */
export function told(event: CaseEvent, names: Names): Told[] {
  const fields = names.course?.fields[event.action] ?? {}
  const found: Told[] = []
  for (const [name, raw] of Object.entries(event.payload)) {
    if (SILENT.has(name) || fields[name]?.type === 'photo' || name === 'assigned') continue
    if (event.action === 'report' && name === 'department') continue // where the duty list pointed: told with the routing
    const kind = fields[name]?.type ?? (name === 'department' || name === 'late_department' ? 'department' : name === 'due_at' || name === 'wake_at' ? 'date' : undefined)
    const text = value(kind, raw, names, fields[name]?.choices)
    if (text) found.push({ label: pick(fields[name]?.label) || word('payload', name), text })
  }
  return found
}

/** Whom the engine chose, and why. */
export function chosen(event: CaseEvent): { name: string; reasons: string[] } | null {
  const assigned = event.payload.assigned as { name?: string; reasons?: (Two | string)[] } | undefined
  if (!assigned?.name) return null
  return { name: assigned.name, reasons: (assigned.reasons ?? []).map(pick) }
}

/** The moment a step counts from, where that is another than the one it was told with; else empty. */
export function judged(event: CaseEvent): string {
  const at = event.payload.judged_at
  return typeof at === 'string' && at !== event.happened_at ? fullTime(at) : ''
}

/** Photos that came with a step. */
export function photosOf(event: CaseEvent): string[] {
  return Object.entries(event.payload)
    .filter(([name, value]) => name.startsWith('photos') && Array.isArray(value))
    .flatMap(([, value]) => value as string[])
    .filter((digest, i, all) => all.indexOf(digest) === i)
}
