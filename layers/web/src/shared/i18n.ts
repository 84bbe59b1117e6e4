/** Which language the page speaks. Strings live in messages.ts; nothing else holds any. */
import { ApiError } from './api'
import { language, setLanguage, type Language } from './language'
import { messages } from './messages'
import type { Two } from './types'

export { language, setLanguage, type Language }
export type MessageKey = keyof typeof messages

/** The message in the page's language, `{name}` replaced from `values`. */
export function t(key: MessageKey, values: Record<string, string | number> = {}): string {
  const text: string = messages[key][language.value === 'zh' ? 0 : 1]
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

/** The message of a code from the server, such as `stage.handling`; the bare code when the catalogue lacks it. */
export function word(family: string, code: string): string {
  const key = `${family}.${code}`
  return key in messages ? t(key as MessageKey) : code
}

/** Several names one after the other. */
export const listed = (values: readonly string[]): string => values.join(language.value === 'zh' ? '、' : ', ')

/** The language's half of a pair sent by the server. */
export const pick = (two: Two | string | null | undefined): string =>
  typeof two === 'string' ? two : (two?.[language.value] ?? '')

/** What happened and the code for the help desk. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return t('error.page', { code: error instanceof Error ? error.name : 'unknown' })
  const what = language.value === 'zh' ? error.zh : error.en
  return t('error.said', { what, code: error.code })
}
