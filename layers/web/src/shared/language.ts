/** Which of its two languages the page speaks; remembered in this browser. Knows no strings. */
import { ref, watchEffect } from 'vue'

export type Language = 'zh' | 'en'

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
