/** Days and turns as the calendar draws them. Pure. A day is `2026-11-25`; the town's clock is Beijing's, without summer time. */
import type { Key, Planned, Shift, Wish } from './api'

const ZONE = '+08:00'
const MS = 86_400_000

const noon = (day: string): Date => new Date(`${day}T12:00:00Z`)
const text = (date: Date): string => date.toISOString().slice(0, 10)

export const plus = (day: string, n: number): string => text(new Date(noon(day).getTime() + n * MS))

/** 0 is Monday. */
export const weekday = (day: string): number => (noon(day).getUTCDay() + 6) % 7

export const monday = (day: string): string => plus(day, -weekday(day))

/** The stretch a view shows: the week of the day, or its month in whole days. */
export function stretch(view: 'week' | 'month', day: string): { since: string; until: string } {
  if (view === 'week') return { since: monday(day), until: plus(monday(day), 6) }
  const since = `${day.slice(0, 8)}01`
  const next = plus(since, 31)
  return { since, until: plus(`${next.slice(0, 8)}01`, -1) }
}

/** The same view one step further. */
export function step(view: 'week' | 'month', day: string, n: 1 | -1): string {
  if (view === 'week') return plus(day, 7 * n)
  const { since, until } = stretch('month', day)
  return n > 0 ? plus(until, 1) : plus(since, -1)
}

/** The town's day of a moment. */
export const dayOf = (iso: string): string => text(new Date(new Date(iso).getTime() + 8 * 3_600_000))

/** The town's time of day, `07:00`. */
export const clock = (iso: string): string => new Date(new Date(iso).getTime() + 8 * 3_600_000).toISOString().slice(11, 16)

const short = (iso: string): string => clock(iso).replace(/:00$/, '')

/** `07–15`, `22–07⁺` over midnight. */
export const spanText = (one: Pick<Shift, 'starts_at' | 'ends_at'>): string =>
  `${short(one.starts_at)}–${short(one.ends_at)}${dayOf(one.starts_at) === dayOf(one.ends_at) ? '' : '⁺'}`

/** A turn from a day, a time and a length in hours. */
export function turn(day: string, from: string, hours: number): { starts_at: string; ends_at: string } {
  const starts = new Date(`${day}T${from}:00${ZONE}`)
  return { starts_at: starts.toISOString(), ends_at: new Date(starts.getTime() + hours * 3_600_000).toISOString() }
}

export const keyOf = (one: Key): Key => ({ staff: one.staff, starts_at: one.starts_at })

export const wishOf = (one: Shift): Wish => ({
  ...keyOf(one),
  role: one.role,
  ends_at: one.ends_at,
  duty_grid: one.duty_grid?.code ?? '',
  note: one.note,
})

/** The same turn on another day, or another person's. */
export function moved(one: Shift, day: string, staff: string): Wish {
  const by = (noon(day).getTime() - noon(dayOf(one.starts_at)).getTime()) / MS
  const shifted = (iso: string) => new Date(new Date(iso).getTime() + by * MS).toISOString()
  return { ...wishOf(one), staff, starts_at: shifted(one.starts_at), ends_at: shifted(one.ends_at) }
}

export interface Row {
  key: string
  label: string
  /** Under which heading it stands. */
  group: string
  cells: Map<string, Planned[]>
}

/** Rows of the calendar: people under their posts. `people` are shown even without a turn. */
export function byPerson(shifts: readonly Planned[], people: readonly { id: string; name: string; role: string }[], order: readonly string[]): Row[] {
  const rows = new Map<string, Row>()
  const row = (role: string, id: string, name: string) => {
    const key = `${role}/${id}`
    if (!rows.has(key)) rows.set(key, { key, label: name, group: role, cells: new Map() })
    return rows.get(key)!
  }
  for (const one of people) row(one.role, one.id, one.name)
  for (const one of shifts) add(row(one.role, one.staff, one.name), one)
  const rank = (role: string) => (order.includes(role) ? order.indexOf(role) : order.length)
  return [...rows.values()].sort((a, b) => rank(a.group) - rank(b.group) || a.group.localeCompare(b.group))
}

/** Rows of the calendar: duty grids with the turns that look after them. */
export function byGrid(shifts: readonly Planned[], grids: readonly { code: string; name: string }[]): Row[] {
  return grids.map(({ code, name }) => {
    const row: Row = { key: code, label: name, group: '', cells: new Map() }
    for (const one of shifts) if (one.grids.includes(code)) add(row, one)
    return row
  })
}

function add(row: Row, one: Planned): void {
  const day = dayOf(one.starts_at)
  row.cells.set(day, [...(row.cells.get(day) ?? []), one])
}
