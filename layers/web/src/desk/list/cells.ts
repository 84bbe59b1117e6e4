/** What a row says of a case. Pure apart from the language. */
import { pick, t, word } from '../../shared/i18n'
import { shortTime } from '../../shared/time'
import type { CaseItem, Two } from '../../shared/types'
import { span } from '../cases/words'
import type { ColumnCode } from './columns'

/** A case as the list has it. */
export type Row = CaseItem & {
  stage_due_at?: string | null
  next_due_at?: string | null
  assignee?: { name: string } | null
  tag_names?: Two[]
}

/** What is left of the limit that runs now: natural time for a stage, the words of its clock for handling. */
export function leftOf(item: Row, now: number): string {
  if (item.status !== 'open') return ''
  const until = item.stage_due_at && item.stage_due_at === item.next_due_at ? Date.parse(item.stage_due_at) : null
  if (until !== null) return t(until >= now ? 'list.left' : 'list.over', { span: span(until - now) })
  return pick(item.remaining)
}

export function cellOf(item: Row, column: ColumnCode, now: number): string {
  switch (column) {
    case 'left': return leftOf(item, now)
    case 'number': return item.number
    case 'category': return item.category.name
    case 'description': return item.description
    case 'village': return item.village?.name ?? ''
    case 'address': return item.address
    case 'department': return item.department?.name ?? ''
    case 'state': return pick(item.state_name)
    case 'severity': return word('severity', String(item.severity))
    case 'channel': return word('channel', item.channel)
    case 'reported': return shortTime(item.reported_at)
    case 'due': return shortTime(item.due_at)
    case 'stage_due': return shortTime(item.stage_due_at ?? null)
    case 'assignee': return item.assignee?.name ?? ''
    case 'tags': return (item.tag_names ?? []).map(pick).join('、')
    case 'rework': return item.rework_count ? String(item.rework_count) : ''
    case 'grid': return item.unit_grid_code
    case 'duty_grid': return item.duty_grid_code
    case 'component': return item.component_code ?? ''
  }
}
