/** How somebody likes their layers: which are on, how strong, over which basemap. Kept by the server for the person; an
 * address says otherwise. */
import { watch } from 'vue'

import { addressed, LAYERS, layers, scene, type LayerName } from '../state'
import { mapApi } from './api'
import { base } from './base'

interface Liked {
  on: string[]
  opacity: Partial<Record<LayerName, number>>
  base: string
}

const NAME = 'wall.layers'
const PAUSE_MS = 800
/** `heat:60,components:40` in per cent; layers at full strength are left out. */
const opacity = addressed('opacity')
let waiting: ReturnType<typeof setTimeout> | undefined

const written = (): string =>
  LAYERS.filter((name) => layers[name].opacity < 1).map((name) => `${name}:${Math.round(layers[name].opacity * 100)}`).join()

function read(text: string): void {
  const parts = new Map(text.split(',').map((part) => part.split(':') as [string, string]))
  for (const name of LAYERS) {
    const told = Number(parts.get(name) ?? 100) / 100
    layers[name].opacity = told >= 0.1 && told <= 1 ? told : 1
  }
}

/** Keeps what is shown now as the person's own: asked for by who changed it, never by a scene. */
export function remember(): void {
  opacity.value = written()
  clearTimeout(waiting)
  waiting = setTimeout(() => {
    const liked: Liked = {
      on: LAYERS.filter((name) => layers[name].on),
      opacity: Object.fromEntries(LAYERS.filter((name) => layers[name].opacity < 1).map((name) => [name, layers[name].opacity])),
      base: base.value,
    }
    // A wall that cannot keep it still shows it.
    mapApi.keepPreference(NAME, liked).catch(() => undefined)
  }, PAUSE_MS)
}

/** What the address does not say is as the person left it; other scenes than the overview have their own layers. */
export async function recall(search = new URLSearchParams(location.search)): Promise<void> {
  if (opacity.value) read(opacity.value)
  watch(opacity, (now) => {
    if (now !== written()) read(now)
  })
  const liked = await mapApi.preference<Liked>(NAME).catch(() => null)
  if (!liked) return
  if (!search.has('opacity')) for (const name of LAYERS) layers[name].opacity = liked.opacity[name] ?? 1
  if (!search.has('base')) base.value = liked.base
  if (!search.has('layers') && scene.value.code === 'overview') for (const name of LAYERS) layers[name].on = liked.on.includes(name)
  opacity.value = written()
}
