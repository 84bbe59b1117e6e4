/** How long to wait before the next try: full jitter, so that phones coming back together do not knock together. */

export const FIRST_MS = 2_000
export const LONGEST_MS = 5 * 60_000
/** Jitter may fall on zero; a failed try is never followed at once. */
const SHORTEST_MS = 200

/** Milliseconds to wait after `tries` failures; `random` in [0, 1). */
export function wait(tries: number, random = Math.random()): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.max(0, Math.min(tries, 30) - 1))
  return Math.max(SHORTEST_MS, Math.round(random * ceiling))
}

/** Time allowed for sending so many bytes: ten seconds and what they take at 8 kB/s. */
export const patience = (bytes: number): number => 10_000 + Math.ceil(bytes / 8_000) * 1_000
