/** Scales photos away from the page, which stays quick. */
import { scale } from './photo'

self.onmessage = async (event: MessageEvent<Blob>) => {
  const scaled = await scale(event.data).catch(() => null)
  ;(self as unknown as Worker).postMessage(scaled, scaled ? [scaled.content] : [])
}
