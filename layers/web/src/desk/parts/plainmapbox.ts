/** A map in a box of the page: drawn once both the box and its ground are there, taken away with the page. */
import { getCurrentScope, onBeforeUnmount, onMounted, ref, shallowRef, type ShallowRef } from 'vue'

import { api } from '../../shared/api'
import { explain, language, t } from '../../shared/i18n'
import { town } from '../../shared/names'
import { PlainMap, type Hands } from './plainmap'

/**
 * `drawn` is called when the map can be spoken to; what it watches ends with the page. `problem` says why there is no
 * map, or no ground under it.
 */
export function usePlainMap(box: Readonly<ShallowRef<HTMLElement | null>>, drawn: (map: PlainMap) => void, hands: Partial<Hands> = {}) {
  const map = shallowRef<PlainMap | null>(null)
  const problem = ref('')
  const scope = getCurrentScope()
  onMounted(async () => {
    const base = await api.style('light').catch((error: unknown) => {
      problem.value = t('error.map', { what: explain(error) })
      return null
    })
    if (!box.value || !town.value) return
    let made: PlainMap
    try {
      made = new PlainMap(box.value, base, town.value, language.value === 'zh', { clicked: () => {}, finish: () => {}, moved: () => {}, ...hands })
    } catch {
      problem.value = t('error.webgl')
      return
    }
    map.value = made
    await made.ready
    if (box.value) scope?.run(() => drawn(made))
  })
  onBeforeUnmount(() => map.value?.remove())
  return { map, problem }
}
