/** The columns of the list: what each is called, how wide it must be, which stay when there is little room. Pure. */
import type { MessageKey } from '../../shared/i18n'

export interface Column {
  code: ColumnCode
  title: MessageKey
  /** Least width in rem. */
  width: number
  /** Share of the room that is left; 0 keeps the least width. */
  grow: number
  /** The smaller, the longer it stays when room is short. */
  rank: number
  /** The column of the exported file that says the same. */
  exported: string
}

export type ColumnCode =
  | 'left' | 'number' | 'category' | 'description' | 'village' | 'address' | 'department' | 'state' | 'severity'
  | 'channel' | 'reported' | 'due' | 'stage_due' | 'assignee' | 'tags' | 'rework' | 'grid' | 'duty_grid' | 'component'

export const COLUMNS: readonly Column[] = [
  { code: 'left', title: 'list.column.left', width: 8.5, grow: 0, rank: 1, exported: 'remaining' },
  { code: 'number', title: 'list.column.number', width: 9.25, grow: 0, rank: 4, exported: 'number' },
  { code: 'category', title: 'filter.category', width: 6.5, grow: 1, rank: 2, exported: 'category' },
  { code: 'description', title: 'list.column.description', width: 8, grow: 4, rank: 3, exported: 'description' },
  { code: 'village', title: 'filter.village', width: 5.5, grow: 0.5, rank: 6, exported: 'village' },
  { code: 'address', title: 'list.column.address', width: 9, grow: 2, rank: 10, exported: 'address' },
  { code: 'department', title: 'filter.department', width: 7, grow: 1, rank: 7, exported: 'department' },
  { code: 'state', title: 'filter.state', width: 5.25, grow: 1.5, rank: 5, exported: 'state' },
  { code: 'severity', title: 'filter.severity', width: 4.5, grow: 0, rank: 11, exported: 'severity' },
  { code: 'channel', title: 'filter.channel', width: 5, grow: 0, rank: 9, exported: 'channel' },
  { code: 'reported', title: 'detail.reported', width: 6, grow: 0, rank: 8, exported: 'reported' },
  { code: 'due', title: 'detail.due', width: 6, grow: 0, rank: 12, exported: 'due' },
  { code: 'stage_due', title: 'list.column.stage_due', width: 6, grow: 0, rank: 17, exported: 'stage_due' },
  { code: 'assignee', title: 'filter.assignee', width: 5.5, grow: 0.5, rank: 18, exported: 'assignee' },
  { code: 'tags', title: 'filter.tag', width: 7, grow: 1, rank: 19, exported: 'tags' },
  { code: 'rework', title: 'list.column.rework', width: 4, grow: 0, rank: 13, exported: 'rework' },
  { code: 'grid', title: 'filter.grid', width: 9, grow: 0, rank: 14, exported: 'grid' },
  { code: 'duty_grid', title: 'filter.duty_grid', width: 8, grow: 0, rank: 15, exported: 'duty_grid' },
  { code: 'component', title: 'filter.component', width: 9.5, grow: 0, rank: 16, exported: 'component' },
]

export const USUAL: readonly ColumnCode[] = ['left', 'number', 'category', 'description', 'village', 'department', 'state', 'reported']

/**
 * Those of the chosen columns, in their order, that fit into `room` rem: by rank, a smaller one where a large one does
 * not, never fewer than two.
 */
export function fitting(chosen: readonly string[], room: number): Column[] {
  const wanted = COLUMNS.filter((column) => chosen.includes(column.code))
  const kept = new Set<ColumnCode>()
  let used = 0
  for (const column of [...wanted].sort((a, b) => a.rank - b.rank)) {
    if (used + column.width > room && kept.size >= 2) continue
    used += column.width
    kept.add(column.code)
  }
  return wanted.filter((column) => kept.has(column.code))
}

/** The widths as a grid of CSS. */
export const template = (columns: readonly Column[]): string =>
  columns.map(({ width, grow }) => (grow ? `minmax(${width}rem, ${grow}fr)` : `${width}rem`)).join(' ')

const KEY = 'wangge.desk.columns'

/** The columns this person chose on this computer. */
export function remembered(store: Pick<Storage, 'getItem'> = localStorage): string[] {
  const codes = (store.getItem(KEY) ?? '').split(',')
  const known = COLUMNS.filter((column) => codes.includes(column.code)).map((column) => column.code)
  return known.length ? known : [...USUAL]
}

export const remember = (codes: readonly string[], store: Pick<Storage, 'setItem'> = localStorage): void => store.setItem(KEY, codes.join())
