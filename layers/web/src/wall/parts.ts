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
  replay: { bar: lazily(() => import('./replay/ReplayBar.vue')), side: lazily(() => import('./replay/ReplaySide.vue')) },
}

export interface Tool {
  code: string
  title: MessageKey
  /** Outline in a 24 × 24 box. */
  icon: string
  component: Component
  /** Permission without which the tool is not offered. */
  needs?: string
  /** The town is shown beside it; under a tool that draws the map keeps still. */
  makesWay?: boolean
}

/** In the order of their buttons at the map's right edge; one is open at a time, as `tool=code` in the address. */
export const TOOLS: readonly Tool[] = [
  { code: 'identify', title: 'tool.identify', icon: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 11v6M12 7.5v.5', component: lazily(() => import('./tools/IdentifyTool.vue')) },
  { code: 'measure', title: 'tool.measure', icon: 'M3 16 16 3l5 5L8 21zM7 12l2 2M10 9l3 3M13 6l2 2', component: lazily(() => import('./tools/MeasureTool.vue')) },
  { code: 'select', title: 'tool.select', icon: 'M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M9 9h6v6H9z', component: lazily(() => import('./tools/SelectTool.vue')) },
  { code: 'sketch', title: 'tool.sketch', icon: 'M4 20l1-5L16 4l4 4L9 19zM14 6l4 4', component: lazily(() => import('./tools/SketchTool.vue')) },
  { code: 'panorama', title: 'tool.panorama', icon: 'M3 7q9 4 18 0v10q-9-4-18 0zM12 9v6', component: lazily(() => import('./tools/PanoramaTool.vue')) },
  { code: 'print', title: 'tool.print', icon: 'M7 8V3h10v5M7 17H4V8h16v9h-3M7 14h10v7H7z', component: lazily(() => import('./tools/PrintTool.vue')) },
  { code: 'coverage', title: 'coverage.title', icon: 'M3 3h7v7H3zM14 3h7v7h-7zM3 14h7v7H3zM14 17.5l2.5 2.5L21 15', component: lazily(() => import('./tracks/CoverageTool.vue')), needs: 'statistics.view', makesWay: true },
]
