/** Going down: town, village, grid, case. The way is what the filter says; the map follows it. */
import { computed, ref, watch } from 'vue'

import { api } from '../shared/api'
import { departments, divisions, me, town } from '../shared/names'
import { PRESETS } from './scenes'
import { filter, scene, selection, setFilter, statistic } from './state'

export type Box = [number, number, number, number]

export interface Step {
  kind: 'town' | 'village' | 'grid'
  code: string
  name: string
}

const only = (values: string[] | undefined): string => (values?.length === 1 ? values[0]! : '')
const nameOfVillage = (code: string): string => String(divisions.value?.features.find((one) => one.properties?.code === code)?.properties?.name ?? code)

type Kind = 'village' | 'department'

/** Villages or departments that are all the caller may see; none when they see more, or other things. */
export function own(kind: Kind): string[] {
  const roles = me.value?.roles ?? []
  return roles.length && roles.every((one) => one.scope === kind) ? roles.map((one) => one.scope_code) : []
}

/** What a scene of one village or department can be of: where that is all the caller may see, their own. */
export function choicesOf(kind: Kind): { code: string; name: string }[] {
  const all = kind === 'department' ? departments.value : (divisions.value?.features ?? []).map(({ properties }) => ({ code: String(properties?.code), name: String(properties?.name) }))
  const mine = own(kind)
  return mine.length ? all.filter((one) => mine.includes(one.code)) : all
}

/** What such a scene begins with: the caller's own where they have one. */
export function firstOf(kind: Kind | undefined): string {
  if (!kind) return ''
  return me.value?.roles.find((one) => one.scope === kind)?.scope_code ?? choicesOf(kind)[0]?.code ?? ''
}

/** Where one is, from the town down. */
export const path = computed<Step[]>(() => {
  const village = only(filter.value.village)
  const grid = only(filter.value.grid)
  const steps: Step[] = [{ kind: 'town', code: '', name: town.value?.name ?? '' }]
  if (village) steps.push({ kind: 'village', code: village, name: nameOfVillage(village) })
  if (grid) steps.push({ kind: 'grid', code: grid, name: grid })
  return steps
})

/** One step down, or back up to it: its cases, divided by what lies below it. */
export function goTo(step: Pick<Step, 'kind' | 'code'>): void {
  const { village, grid, ...rest } = filter.value
  const kept = step.kind === 'grid' ? { ...rest, ...(village && { village }), grid: [step.code] } : step.kind === 'village' ? { ...rest, village: [step.code] } : rest
  setFilter(kept)
  selection.value = null
  statistic.by = step.kind === 'town' ? 'village' : 'unit_grid'
}

function around(geometries: readonly GeoJSON.Geometry[]): Box | null {
  const box: Box = [Infinity, Infinity, -Infinity, -Infinity]
  const walk = (part: unknown): void => {
    if (!Array.isArray(part)) return
    if (typeof part[0] !== 'number') return part.forEach(walk)
    const [lon, lat] = part as [number, number]
    box[0] = Math.min(box[0], lon)
    box[1] = Math.min(box[1], lat)
    box[2] = Math.max(box[2], lon)
    box[3] = Math.max(box[3], lat)
  }
  for (const one of geometries) if ('coordinates' in one) walk(one.coordinates)
  return Number.isFinite(box[0]) ? box : null
}

function villagesAround(codes: readonly string[]): Box | null {
  return around((divisions.value?.features ?? []).filter((one) => codes.includes(String(one.properties?.code))).map((one) => one.geometry))
}

/** The caller's own ground: the whole town, or their villages. */
export const home = computed<Box | null>(() => villagesAround(own('village')) ?? town.value?.bbox ?? null)

/** The extent of the place one is at; null until it is known. */
export const extent = ref<Box | null>(null)

/** Keeps the extent to the place; a scene whose address names no village or department is of the first one. */
export function follow(): void {
  watch(
    [scene, me, divisions, departments],
    () => {
      const kind = PRESETS[scene.value.code].one
      const first = me.value && !scene.value.of ? firstOf(kind) : ''
      if (!kind || !first) return
      scene.value = { ...scene.value, of: first }
      if (!filter.value[kind]) setFilter({ ...filter.value, [kind]: [first] })
    },
    { immediate: true },
  )
  watch(
    [path, divisions, home],
    async () => {
      const { kind, code } = path.value.at(-1)!
      if (kind === 'town') return void (extent.value = home.value)
      if (kind === 'village') return void (extent.value = villagesAround([code]) ?? home.value)
      const geom = (await api.grid(code).catch(() => null))?.geom as GeoJSON.Geometry | undefined
      if (path.value.at(-1)?.code === code) extent.value = (geom && around([geom])) ?? home.value
    },
    { immediate: true },
  )
}
