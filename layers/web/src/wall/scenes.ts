/** The wall's scenes as data: what each begins with. A scene is an address; which parts it shows stands in parts.ts. */
import type { CaseFilter } from '../shared/filter'
import type { Dimension, LayerName } from './state'

export const SCENES = ['overview', 'heat', 'patrol', 'village', 'department', 'replay'] as const
export type SceneCode = (typeof SCENES)[number]

/** `of` is the village or department of a scene of one; a scene of one without it shows whichever is first. */
export interface Scene {
  code: SceneCode
  of: string
}

export interface Preset {
  filter: (of: string) => CaseFilter
  layers: readonly LayerName[]
  /** What its numbers are divided by. */
  by: Dimension
  /** What a scene is of one of. */
  one?: 'village' | 'department'
  /** Permission without which the scene is not offered. */
  needs?: string
}

/** What is going on now. */
const open: CaseFilter = { status: ['open'] }

export const PRESETS: Readonly<Record<SceneCode, Preset>> = {
  overview: { filter: () => open, layers: ['cases', 'inspectors', 'choropleth', 'villages', 'unitGrids'], by: 'village' },
  heat: { filter: () => ({}), layers: ['heat', 'villages'], by: 'village' },
  patrol: { filter: () => open, layers: ['inspectors', 'villages', 'dutyGrids'], by: 'village', needs: 'position.view' },
  village: { filter: (of) => ({ status: ['open'], ...(of && { village: [of] }) }), layers: ['cases', 'inspectors', 'choropleth', 'villages', 'unitGrids'], by: 'unit_grid', one: 'village' },
  department: { filter: (of) => ({ status: ['open'], ...(of && { department: [of] }) }), layers: ['cases', 'choropleth', 'villages'], by: 'village', one: 'department' },
  replay: { filter: () => ({}), layers: ['villages', 'unitGrids'], by: 'village', needs: 'track.view' },
}

/** `village:110113003201`, or the bare code of a scene that is of everything. */
export const sceneText = ({ code, of }: Scene): string => (of ? `${code}:${of}` : code)

/** Reads such a word; the overview for anything else. */
export function sceneFrom(text: string | null): Scene {
  const [code, of = ''] = (text ?? '').split(':')
  const found = SCENES.find((one) => one === code) ?? 'overview'
  return { code: found, of: PRESETS[found].one ? of : '' }
}

/** The stop of a rotation after the one that is shown, the first after a scene that is none of them. */
export function following(stops: readonly string[], now: Scene): string | undefined {
  const at = stops.findIndex((one) => one === sceneText(now) || one === now.code)
  return stops[(at + 1) % stops.length]
}
