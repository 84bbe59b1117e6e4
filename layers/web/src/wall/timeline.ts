/** Days as bars of a slider: few enough to be seen, none left out. Pure. */

export interface Bar {
  /** First and last day, as 2026-11-20. */
  since: string
  until: string
  n: number
}

const DAY_MS = 86_400_000
/** No more bars than this: several days, weeks, then share one. */
const MOST = 120

const at = (day: string): number => Date.parse(`${day}T00:00:00Z`)
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/** Bars from the first day with a case to `today`, each of equally many days, the last one ending today. */
export function bars(counts: Readonly<Record<string, number>>, today: string): Bar[] {
  const days = Object.keys(counts).filter((day) => day <= today).sort()
  const first = days[0] ?? today
  const span = Math.round((at(today) - at(first)) / DAY_MS) + 1
  const width = Math.ceil(span / MOST)
  const made: Bar[] = []
  for (let end = at(today); end >= at(first); end -= width * DAY_MS) made.unshift({ since: dayOf(end - (width - 1) * DAY_MS), until: dayOf(end), n: 0 })
  for (const day of days) made[made.length - 1 - Math.floor((at(today) - at(day)) / DAY_MS / width)]!.n += counts[day]!
  return made
}

/** The bars a filter's days reach over, as first and last index; all of them where it has none. */
export function range(list: readonly Bar[], since: string | undefined, until: string | undefined): [number, number] {
  const from = since ? list.findIndex((bar) => bar.until >= since) : 0
  const to = until ? list.findLastIndex((bar) => bar.since <= until) : list.length - 1
  return [from < 0 ? list.length - 1 : from, Math.max(to, 0)]
}
