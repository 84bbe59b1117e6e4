/** Metres, square metres and directions as people read them. */
import { t, word } from '../../shared/i18n'

const number = (value: number, digits: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** 35.20 m, 1.234 km. */
export const metres = (value: number): string => (value < 1000 ? `${number(value, 2)} m` : `${number(value / 1000, 3)} km`)
/** 350.2 m², 12.35 ha, 1.234 km². */
export function squareMetres(value: number): string {
  if (value < 10_000) return `${number(value, 1)} m²`
  return value < 1_000_000 ? `${number(value / 10_000, 2)} ha` : `${number(value / 1_000_000, 3)} km²`
}
/** 东北 45°. */
export function direction(degrees: number): { direction: string; degrees: number } {
  const whole = ((Math.round(degrees) % 360) + 360) % 360
  return { direction: word('direction', String(Math.round(whole / 45) % 8)), degrees: whole }
}
export const away = (value: number): string => t('identify.metres', { n: Math.round(value) })
