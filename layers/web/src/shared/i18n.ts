/** Which language the page speaks. Strings live in messages.ts; nothing else holds any. */
import { ref, watchEffect } from 'vue'

import { ApiError } from './api'
import { messages } from './messages'
import type { Two } from './types'

export type Language = 'zh' | 'en'
export type MessageKey = keyof typeof messages

const KEY = 'wangge.language'

function remembered(): Language {
  const asked = new URLSearchParams(location.search).get('lang') ?? localStorage.getItem(KEY)
  return asked === 'en' ? 'en' : 'zh'
}

export const language = ref<Language>(remembered())

export function setLanguage(next: Language): void {
  language.value = next
  localStorage.setItem(KEY, next)
}

watchEffect(() => {
  document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en'
})

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

/** The language's half of a pair sent by the server. */
export const pick = (two: Two | string | null | undefined): string =>
  typeof two === 'string' ? two : (two?.[language.value] ?? '')

/** What happened and the code for the help desk. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return t('error.page', { code: error instanceof Error ? error.name : 'unknown' })
  const what = language.value === 'zh' ? error.zh : error.en
  return t('error.said', { what, code: error.code })
}
