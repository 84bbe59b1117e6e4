/** The clock of a case as it is drawn: places on a line, as shares of its length. Pure; knows no widgets. */
import type { How, Line } from './types'

/** What rests or is paused is drawn shorter than what counts, or nights and weeks of waiting would hide the work. */
const WEIGHT: Readonly<Record<How, number>> = { counting: 1, resting: 0.3, paused: 0.5 }
/** And no single span of it is longer than this share of all that counts. */
const LONGEST_IDLE = 0.25
/** A line without anything that counts still has a length. */
const HOUR = 3_600_000

export interface Piece {
  from: number
  to: number
  how: How
  /** Where it begins and how long it is, of 1. */
  x: number
  width: number
}

export type Knot = 'start' | 'goesOn' | 'yellow' | 'due' | 'stopped' | 'now' | 'extended'

export interface Mark {
  knot: Knot
  at: number
  x: number
  /** Beyond the end of a line that was cut. */
  beyond: boolean
}

export interface Drawing {
  pieces: Piece[]
  marks: Mark[]
}

const ms = (iso: string): number => Date.parse(iso)

/** Where a moment stands on the pieces, 0 to 1; before and after them at the ends. */
export function placeOf(pieces: readonly Piece[], at: number): number {
  const piece = pieces.find((one) => at < one.to) ?? pieces.at(-1)
  if (!piece) return 0
  const share = Math.min(1, Math.max(0, (at - piece.from) / (piece.to - piece.from)))
  return piece.x + share * piece.width
}

/** The line with its marks at `now` (milliseconds). `now` is drawn only while the clock has not stopped. */
export function draw(line: Line, now: number): Drawing {
  const spans = line.spans.length ? line.spans : [{ from: line.started_at, to: line.until, how: 'counting' as const }]
  const raw = spans.map((span) => ({ from: ms(span.from), to: ms(span.to), how: span.how }))
  const last = raw.at(-1)!
  // The page stays open: time goes on past what the server drew; a paused clock stands.
  const running = !line.stopped_at && !line.goes_on_due_at
  if (!line.cut && running && now > last.to) raw.push({ from: last.to, to: now, how: 'counting' })
  const counting = raw.filter((one) => one.how === 'counting').reduce((sum, one) => sum + one.to - one.from, 0) || HOUR
  const lengths = raw.map((one) => {
    const length = (one.to - one.from) * WEIGHT[one.how]
    return one.how === 'counting' ? length : Math.min(length, counting * LONGEST_IDLE)
  })
  const whole = lengths.reduce((sum, one) => sum + one, 0) || 1
  let x = 0
  const pieces = raw.map((one, i) => {
    const width = lengths[i]! / whole
    const piece = { ...one, x, width }
    x += width
    return piece
  })
  const end = pieces.at(-1)!.to
  const marks: Mark[] = []
  const mark = (knot: Knot, iso: string | null) => {
    if (iso) marks.push({ knot, at: ms(iso), x: placeOf(pieces, ms(iso)), beyond: ms(iso) > end })
  }
  mark('start', line.started_at)
  mark('extended', line.first_due_at)
  mark('yellow', line.yellow_at)
  mark('due', line.due_at)
  mark('goesOn', line.goes_on_due_at)
  mark('stopped', line.stopped_at)
  if (!line.stopped_at) mark('now', new Date(reachedAt(line, pieces, now)).toISOString())
  return { pieces, marks }
}

/** How far the clock has come: to where it stopped, to the pause it stands in, or to now. */
export function reachedAt(line: Line, pieces: readonly Piece[], now: number): number {
  if (line.stopped_at) return ms(line.stopped_at)
  const pause = line.goes_on_due_at ? pieces.findLast((piece) => piece.how === 'paused') : undefined
  return pause ? Math.min(now, pause.to) : now
}

/** Of marks that would overlap, those to write out: from the most telling one on, none nearer than `apart` to another. */
export function written(marks: readonly Mark[], apart: number): Set<Mark> {
  const order: Knot[] = ['due', 'goesOn', 'now', 'stopped', 'start', 'extended', 'yellow']
  const kept: Mark[] = []
  for (const one of [...marks].sort((a, b) => order.indexOf(a.knot) - order.indexOf(b.knot)))
    if (kept.every((other) => Math.abs(other.x - one.x) >= apart)) kept.push(one)
  return new Set(kept)
}
