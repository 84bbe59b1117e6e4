/** What a case looks like from far away: one mark of colour and shape. The only place that decides it. */
import type { InjectionKey } from 'vue'

export type Mark = 'late' | 'soon' | 'onTime' | 'new' | 'whistle' | 'done'

export const MARKS: readonly Mark[] = ['late', 'soon', 'onTime', 'new', 'whistle', 'done']

/** On the wall's dark ground. */
export const COLOUR: Readonly<Record<Mark, string>> = {
  late: '#ff5d55',
  soon: '#f4c534',
  onTime: '#41b883',
  new: '#5aa9ff',
  whistle: '#b794ff',
  done: '#8795a3',
}

/** The same on the desk's light ground: each at least 4.5 times as dark as white. */
export const COLOUR_ON_LIGHT: Readonly<Record<Mark, string>> = {
  late: '#c62828',
  soon: '#9a5b00',
  onTime: '#1b7f4d',
  new: '#1a66c9',
  whistle: '#7a3fd1',
  done: '#66727e',
}

/** Which of the two a page draws with; provided by the page, dark where nobody says. */
export const PALETTE: InjectionKey<Readonly<Record<Mark, string>>> = Symbol('palette')

/** Outlines in a 24 × 24 box: shape repeats what colour says, for those who do not see the colour. */
export const SHAPE: Readonly<Record<Mark, string>> = {
  late: 'M4 4H20V20H4Z',
  soon: 'M12 3L22 20.5H2Z',
  onTime: 'M12 3A9 9 0 1 1 11.99 3Z',
  new: 'M12 1.5L22.5 12L12 22.5L1.5 12Z',
  whistle: 'M12 1.8L15 8.6L22.4 9.3L16.8 14.2L18.5 21.5L12 17.6L5.5 21.5L7.2 14.2L1.6 9.3L9 8.6Z',
  done: 'M12 5.5A6.5 6.5 0 1 1 11.99 5.5Z',
}

export interface Lit {
  light: string
  stage: string
  kind: string
  status: string
}

/** The clocks that made a light yellow or red: the family of words each is named in. */
export function clocksOf(item: { light: string; handling_light?: string; stage_light?: string }): ('handling_light' | 'stage_light')[] {
  if (item.light !== 'red' && item.light !== 'yellow') return []
  return (['handling_light', 'stage_light'] as const).filter((clock) => item[clock] === item.light)
}

/** The mark of a case: done, else whistle, else late, soon, new (nobody has taken it), on time. */
export function markOf(item: Lit): Mark {
  if (item.status !== 'open') return 'done'
  if (item.kind === 'whistle') return 'whistle'
  if (item.light === 'red') return 'late'
  if (item.light === 'yellow') return 'soon'
  if (item.light === 'none' || item.stage === 'report' || item.stage === 'acceptance') return 'new'
  return 'onTime'
}
