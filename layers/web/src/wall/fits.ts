/** How many rows of a list a box has room for: a wall does not scroll, it shows what fits and says how many there are. */
import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue'

/** Rows of `rem` height that fit into the box, at least one. */
export function useFits(box: Readonly<Ref<HTMLElement | null>>, rem: number): Ref<number> {
  const fits = ref(8)
  const measure = () => {
    const row = rem * parseFloat(getComputedStyle(document.documentElement).fontSize)
    if (box.value) fits.value = Math.max(1, Math.floor((box.value.clientHeight + 1) / row))
  }
  const watcher = new ResizeObserver(measure)
  onMounted(() => {
    if (box.value) watcher.observe(box.value)
    measure()
  })
  onBeforeUnmount(() => watcher.disconnect())
  return fits
}
