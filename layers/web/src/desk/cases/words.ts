/** Spans of natural time in words; the words of working clocks come from the server. Pure apart from the language. */
import { t } from '../../shared/i18n'
import type { Light } from '../../shared/types'
import type { Mark } from '../../shared/lights'

const MINUTE = 60_000

/** `3 天 4 小时`, `12 分钟`: at most two units, rounded down. */
export function span(ms: number): string {
  const minutes = Math.floor(Math.abs(ms) / MINUTE)
  const [days, hours, rest] = [Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60), minutes % 60]
  const parts = [
    days ? t('case.days', { n: days }) : '',
    hours ? t('case.hours', { n: hours }) : '',
    !days && (rest || !hours) ? t('case.minutes', { n: rest }) : '',
  ]
  return parts.filter(Boolean).join(' ')
}

/** What is left until a moment, or by how much it has passed. */
export function left(until: string, now: number): string {
  const ms = Date.parse(until) - now
  return t(ms >= 0 ? 'case.left' : 'case.over', { span: span(ms) })
}

export const markOfLight = (light: Light): Mark => ({ red: 'late', yellow: 'soon', green: 'onTime', none: 'done' } as const)[light]
