/** Lengths of time and way as the track pages write them. */
import { t } from '../../shared/i18n'

const two = (n: number): string => String(n).padStart(2, '0')

/** `14:05` of a second of a local day; `14:05:33` with seconds. */
export function clock(second: number, seconds = false): string {
  const whole = Math.floor(second)
  const text = `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}`
  return seconds ? `${text}:${two(whole % 60)}` : text
}

/** `2 小时 5 分`, `4 分`, `20 秒`; a dash for what is not known. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return '—'
  if (seconds < 60) return t('track.seconds', { n: Math.round(seconds) })
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return t('track.minutes', { n: minutes })
  return minutes % 60 ? t('track.hoursMinutes', { h: Math.floor(minutes / 60), m: minutes % 60 }) : t('track.hours', { h: minutes / 60 })
}

/** `830 m`, `12.4 km`. */
export const metres = (n: number): string => (n < 1000 ? `${Math.round(n)} m` : `${(n / 1000).toFixed(1)} km`)

export const share = (part: number, whole: number): string => (whole ? `${Math.round((100 * part) / whole)}%` : '—')
