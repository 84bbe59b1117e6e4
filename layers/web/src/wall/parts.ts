/**
 * What hangs on the wall's frame: for each scene the parts it shows, and the map's tools. Each is loaded when it is first
 * needed. A part gets `map` (a `WallMap`) once there is one; a tool also says `close` when it is done. Whatever of it
 * belongs in the address is a ref from `addressed('name')` in state.ts.
 */
import { defineAsyncComponent, type Component } from 'vue'

import type { MessageKey } from '../shared/i18n'
import type { SceneCode } from './scenes'

export interface SceneParts {
  /** Beside the map instead of list and statistics. */
  side?: Component
  /** Along the map's lower edge. */
  bar?: Component
}

/** A part that is loaded when it is first shown. */
export const lazily = (load: () => Promise<{ default: Component }>): Component => defineAsyncComponent(load)

export const SCENE_PARTS: Partial<Record<SceneCode, SceneParts>> = {
  heat: { bar: lazily(() => import('./HeatBar.vue')) },
  patrol: { side: lazily(() => import('./PatrolSide.vue')) },
}

export interface Tool {
  code: string
  title: MessageKey
  /** Outline in a 24 × 24 box. */
  icon: string
  component: Component
  /** Permission without which the tool is not offered. */
  needs?: string
}

/** In the order of their buttons at the map's right edge; one is open at a time, as `tool=code` in the address. */
export const TOOLS: readonly Tool[] = []
