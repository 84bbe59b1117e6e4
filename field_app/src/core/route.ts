/** Which page is shown: the part of the address behind `#`, so that the app opens on any of them without a server. */
import { computed, ref } from 'vue'

const read = () => location.hash.replace(/^#\/?/, '')
const path = ref(read())

let steps = 0
window.addEventListener('hashchange', () => {
  steps++
  path.value = read()
})

export const route = computed(() => {
  const [whole = '', search = ''] = path.value.split('?')
  const [page = '', id = ''] = whole.split('/')
  return { page: page || 'home', id: decodeURIComponent(id), query: new URLSearchParams(search) }
})

export function go(to: string, replace = false): void {
  if (replace) {
    history.replaceState(null, '', `#/${to}`)
    path.value = read()
  } else location.hash = `/${to}`
}

/** One step back, or home when the app was opened on this page. */
export function back(): void {
  if (steps > 0) history.back()
  else go('')
}
