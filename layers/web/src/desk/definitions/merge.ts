/**
 * Two people's changes of one list of named entries, brought together. Pure.
 *
 * What only one of them changed is taken from that one. What both changed differently stays as the other one has it and
 * is told, so that nobody's work disappears unseen.
 */
export interface Entry {
  id: string
}

export interface Clash<T> {
  id: string
  /** null: deleted. */
  mine: T | null
  theirs: T | null
}

export interface Merged<T> {
  entries: T[]
  clashes: Clash<T>[]
}

const same = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b)

/** One text for equal values, whatever the order of their keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  const filled = Object.entries(value).filter(([, held]) => held !== undefined)
  return `{${filled.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, held]) => `${JSON.stringify(key)}:${canonical(held)}`).join()}}`
}

export function merge<T extends Entry>(base: readonly T[], mine: readonly T[], theirs: readonly T[]): Merged<T> {
  const of = (entries: readonly T[]) => new Map(entries.map((entry) => [entry.id, entry]))
  const [before, own, other] = [of(base), of(mine), of(theirs)]
  const clashes: Clash<T>[] = []
  const decided = new Map<string, T | null>()
  for (const id of new Set([...before.keys(), ...own.keys(), ...other.keys()])) {
    const [old, here, there] = [before.get(id) ?? null, own.get(id) ?? null, other.get(id) ?? null]
    const changedHere = !same(old, here)
    const changedThere = !same(old, there)
    if (changedHere && changedThere && !same(here, there)) clashes.push({ id, mine: here, theirs: there })
    decided.set(id, changedHere && !changedThere ? here : there)
  }
  // In their order; what only I have follows what it follows with me.
  const order = theirs.map((entry) => entry.id)
  mine.forEach(({ id }, index) => {
    if (other.has(id)) return
    const follows = index ? order.indexOf(mine[index - 1]!.id) : -1
    order.splice(follows + 1, 0, id)
  })
  const entries = order.map((id) => decided.get(id)).filter((entry): entry is T => entry != null)
  return { entries, clashes }
}

/** How `after` differs from `before`: ids added, changed, removed. */
export function differences<T extends Entry>(before: readonly T[], after: readonly T[]): Record<'added' | 'changed' | 'removed', Set<string>> {
  const old = new Map(before.map((entry) => [entry.id, entry]))
  const now = new Set(after.map((entry) => entry.id))
  return {
    added: new Set(after.filter((entry) => !old.has(entry.id)).map((entry) => entry.id)),
    changed: new Set(after.filter((entry) => old.has(entry.id) && !same(old.get(entry.id), entry)).map((entry) => entry.id)),
    removed: new Set(before.filter((entry) => !now.has(entry.id)).map((entry) => entry.id)),
  }
}
