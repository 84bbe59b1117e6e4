/** Which language the app speaks. Strings live in messages.ts; nothing else holds any. */
import { ref, watchEffect } from 'vue'

import { ApiError } from './api'
import { messages } from './messages'
import type { Problem, Two } from './types'

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
  document.title = t('app.title')
})

/** The message in the app's language, `{name}` replaced from `values`. */
export function t(key: MessageKey, values: Record<string, string | number> = {}): string {
  const text: string = messages[key][language.value === 'zh' ? 0 : 1]
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

/** The language's half of a pair sent by the server. */
export const pick = (two: Two | string | null | undefined): string =>
  typeof two === 'string' ? two : (two?.[language.value] ?? '')

/** A problem in words, with the code for the help desk. */
export const told = (problem: Problem): string =>
  t('error.said', { what: language.value === 'zh' ? problem.title : problem.title_en, code: problem.code })

/** What happened and the code for the help desk. */
export const explain = (error: unknown): string =>
  error instanceof ApiError
    ? told(error.problem)
    : t('error.page', { code: error instanceof Error ? error.name : 'unknown' })
