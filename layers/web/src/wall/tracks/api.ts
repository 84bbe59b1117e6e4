/** Tracks as the server tells them; moments are seconds since the day's or the span's begin. Every look is recorded there. */
import { fetchFile, get, request } from '../../shared/api'
import type { Two } from '../../shared/types'

export type Point = [number, number]

export interface TrackRule {
  purpose: Two
  reasons: (Two & { code: string })[]
  keeping: { days: number; coarse_after: number; coarse_m: number }
}

export interface Walker {
  id: string
  name: string
  username: string
  fixes: number
  sent: boolean
  on_duty: boolean
}

export interface History {
  person: { id: string; name: string }
  day: string
  begin: string
  exact: boolean
  coarse: boolean
  coarse_m: number
  fixes: number
  imported: number
  marked: Record<string, number>
  /** Fixes whose moments were put right: seconds added because the device's clock was behind (below 0: ahead). */
  clocks: { device: string; clock_s: number; fixes: number }[]
  first: number | null
  last: number | null
  distance_m: number
  recorded_s: number
  on_duty_s: number | null
  unknown_s: number | null
  outside_s: number | null
  own_grids: string[]
  gaps: { from: number; to: number; why: string }[]
  grids: { code: string; duty_grid_code: string; cells: number; seen: number; dwell_s: number; last: number }[]
  /** Only of an exact day. */
  segments?: { at: number[]; places: Point[] }[]
  gap_places?: [Point, Point][]
  stops?: { from: number; to: number; place: Point }[]
  marks?: { at: number; place: Point; reason: string; accuracy_m: number | null; seq: number }[]
  holes?: { device: string; first: number; last: number }[]
  /** Only of a coarse one. */
  cells?: { from: number; to: number; place: Point }[]
}

export interface Covered {
  code: string
  village_code: string
  duty_grid_code: string
  cells: number
  seen: number
  dwell_s: number
  people: number
  last_at: string | null
  state: 'visited' | 'seen' | 'unvisited' | 'unknown'
  on_duty_s: number
  recorded_s: number
}

export interface Coverage {
  grids: Covered[]
  duty_grids: Covered[]
  names: Record<string, string>
  waiting: number
}

export interface Replay {
  since: string
  until: string
  people: { id: string; name: string; exact: boolean; at: number[]; lon: number[]; lat: number[]; breaks: number[] }[]
  cases: { id: string; number: string; category: string; lon: number; lat: number; marks: [number, string, number][] }[]
  states: (Two & { code: string; stage: string; status: string })[]
  more: number
}

const search = (values: Record<string, string>) => new URLSearchParams(values).toString()

export const tracks = {
  rule: () => get<TrackRule>('/api/tracks/rule'),
  people: (day: string) => get<{ items: Walker[] }>(`/api/tracks/people?${search({ day })}`).then((found) => found.items),
  history: (id: string, day: string, why: string, signal?: AbortSignal) => get<History>(`/api/tracks/${id}/${day}?${search({ why })}`, signal),
  gpx: (id: string, day: string, why: string) => fetchFile(`/api/tracks/${id}/${day}/gpx?${search({ why })}`),
  takeIn: (id: string, day: string, why: string, file: File) =>
    request<{ points: number; accepted: number; duplicates: number; left_out: number; quarantined: number }>(`/api/tracks/${id}/${day}/gpx?${search({ why })}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/gpx+xml' },
      body: file,
    }),
  coverage: (since: string, until: string, signal?: AbortSignal) => get<Coverage>(`/api/coverage?${search({ since, until })}`, signal),
  replay: (since: string, until: string, people: readonly string[], why: string) =>
    get<Replay>(`/api/replay?${search({ since, until, people: people.join(), why })}`),
}
