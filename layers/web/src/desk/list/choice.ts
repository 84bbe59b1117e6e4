/** Which rows are ticked, and where the cursor stands: by id, so that both survive a list that changes. Pure. */

/** Where the cursor goes by `by` rows; the first row when it stood nowhere. */
export function moved(ids: readonly string[], at: string | null, by: number): string | null {
  if (!ids.length) return null
  const now = at === null ? -1 : ids.indexOf(at)
  if (now < 0) return ids[by < 0 ? ids.length - 1 : 0]!
  return ids[Math.max(0, Math.min(ids.length - 1, now + by))]!
}

/** Where the cursor stands after the list changed: on its case, else on the one that took its place. */
export function settled(before: readonly string[], after: readonly string[], at: string | null): string | null {
  if (at === null || after.includes(at)) return at
  const here = before.indexOf(at)
  const kept = new Set(after)
  return before.slice(here + 1).find((id) => kept.has(id)) ?? before.slice(0, Math.max(here, 0)).reverse().find((id) => kept.has(id)) ?? null
}

export function toggled(chosen: ReadonlySet<string>, id: string): Set<string> {
  const next = new Set(chosen)
  if (!next.delete(id)) next.add(id)
  return next
}

/** Everything from one row to another, both included, added. */
export function ranged(ids: readonly string[], chosen: ReadonlySet<string>, from: string, to: string): Set<string> {
  const [a, b] = [ids.indexOf(from), ids.indexOf(to)].sort((x, y) => x - y) as [number, number]
  return a < 0 ? toggled(chosen, to) : new Set([...chosen, ...ids.slice(a, b + 1)])
}

/** First and last row to draw of `count`, `around` more on each side. */
export function visible(count: number, top: number, height: number, row: number, around = 8): [number, number] {
  const from = Math.max(0, Math.floor(top / row) - around)
  return [Math.min(from, count), Math.min(count, Math.ceil((top + height) / row) + around)]
}
