/** Where everybody was and how every case stood at a second of a replay. Pure; a gap is a gap. */
import type { Point, Replay } from '../tracks/api'

export interface Walker {
  id: string
  name: string
  exact: boolean
  at: readonly number[]
  places: readonly Point[]
  /** Places after which nothing is known until the next. */
  breaks: ReadonlySet<number>
}

export interface Stood {
  place: Point
  /** False in a gap: the place is the last one known. */
  known: boolean
  /** The second the place was known last. */
  since: number
}

/** Sums of differences. */
export function unpacked(steps: readonly number[], scale = 1): number[] {
  let sum = 0
  return steps.map((step) => (sum += step) / scale)
}

export function walkers(replay: Pick<Replay, 'people'>): Walker[] {
  return replay.people.map((one) => {
    const lon = unpacked(one.lon, 1e6)
    const lat = unpacked(one.lat, 1e6)
    return { id: one.id, name: one.name, exact: one.exact, at: unpacked(one.at), places: lon.map((x, i): Point => [x, lat[i]!]), breaks: new Set(one.breaks) }
  })
}

/** The last place in ascending `values` that is not after `value`; -1 before the first. */
export function before(values: readonly number[], value: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Between two fixes of one stretch on the way from one to the other; coarse places are not walked between. */
export function stood(walker: Walker, second: number): Stood | null {
  const i = before(walker.at, second)
  if (i < 0) return null
  const at = walker.at[i]!
  const place = walker.places[i]!
  if (walker.breaks.has(i)) return { place, known: second === at, since: at }
  const next = walker.places[i + 1]!
  if (!walker.exact) return { place, known: true, since: second }
  const share = (second - at) / (walker.at[i + 1]! - at || 1)
  return { place: [place[0] + (next[0] - place[0]) * share, place[1] + (next[1] - place[1]) * share], known: true, since: second }
}

/** Stretches of time in which somebody's place is known. */
export function spans(walker: Walker): [number, number][] {
  const found: [number, number][] = []
  let begin = 0
  for (const end of [...walker.breaks].sort((a, b) => a - b)) {
    found.push([walker.at[begin]!, walker.at[end]!])
    begin = end + 1
  }
  return found
}

/** The way of the last `seconds`, as lines that no gap is part of. */
export function trail(walker: Walker, second: number, seconds: number): Point[][] {
  const last = before(walker.at, second)
  const lines: Point[][] = []
  let line: Point[] = []
  for (let i = Math.max(0, before(walker.at, second - seconds) + 1); i <= last; i++) {
    line.push(walker.places[i]!)
    if (walker.breaks.has(i)) {
      lines.push(line)
      line = []
    }
  }
  const now = stood(walker, second)
  if (now?.known && line.length) line.push(now.place)
  if (line.length) lines.push(line)
  return lines.filter((one) => one.length > 1)
}

export type Marks = Replay['cases'][number]['marks']

/** [mark, place in `states`] of a case at a second; null before it was reported. */
export function markAt(marks: Marks, second: number): [string, number] | null {
  let found: [string, number] | null = null
  for (const [at, mark, state] of marks) {
    if (at > second) break
    found = [mark, state]
  }
  return found
}

/** Every second at which some case changes, ascending. */
export function turns(cases: readonly { marks: Marks }[]): number[] {
  return [...new Set(cases.flatMap((one) => one.marks.map(([at]) => at)))].sort((a, b) => a - b)
}
