/** How moments and numbers are written. Town time is Beijing time wherever the screen hangs. */

const parts = new Intl.DateTimeFormat('en-CA', {
  timeZone: 'Asia/Shanghai',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})

function fields(moment: Date): Record<string, string> {
  return Object.fromEntries(parts.formatToParts(moment).map((part) => [part.type, part.value]))
}

/** `11-20 14:05`; empty for no moment. */
export function shortTime(iso: string | null | undefined): string {
  if (!iso) return ''
  const f = fields(new Date(iso))
  return `${f.month}-${f.day} ${f.hour}:${f.minute}`
}

/** `2026-11-20 14:05:33`; empty for no moment. */
export function fullTime(iso: string | null | undefined): string {
  if (!iso) return ''
  const f = fields(new Date(iso))
  return `${f.year}-${f.month}-${f.day} ${f.hour}:${f.minute}:${f.second}`
}

/** The town's calendar day `back` days before `now`, as `2026-11-20`. */
export function day(now: Date, back = 0): string {
  const f = fields(new Date(now.getTime() - back * 86_400_000))
  return `${f.year}-${f.month}-${f.day}`
}

const grouped = new Intl.NumberFormat('en-US')

/** `12,345`; an em dash for a number the server does not have. */
/** A figure that may be a mean: whole numbers grouped, others with as many digits as can be compared; a dash for none. */
export const figure = (value: number | null | undefined): string =>
  value === null || value === undefined ? '—' : Number.isInteger(value) ? count(value) : value.toFixed(value < 10 ? 2 : 1)

export const count = (n: number | null | undefined): string => (n === null || n === undefined ? '—' : grouped.format(n))
