/** Codes of rules and definitions in people's words. Knows the town's names; keeps no state but the areas'. */
import { computed, shallowRef } from 'vue'

import { t, word } from '../../shared/i18n'
import { catalogue, departments, divisions } from '../../shared/names'
import { definitionsApi, type Areas } from './api'

export const areas = shallowRef<Areas | null>(null)
export const readAreas = async (): Promise<void> => {
  areas.value ??= await definitionsApi.areas()
}

const TARGETS = ['@maintenance', '@competent', '@owner', '@village'] as const
export const CHANNELS = ['patrol', 'public', 'hotline', 'video', 'superior', 'sensor', 'leader'] as const
export const CLASSES = ['A', 'B', 'C'] as const

const categoryNames = computed(() => {
  const names = new Map<string, string>()
  for (const group of catalogue.value?.groups ?? []) {
    names.set(`${group.kind}:${group.code}`, group.name)
    for (const one of group.categories) names.set(`${group.kind}:${one.code}`, one.name)
  }
  return names
})

/** `部件 0101 上水井盖`, `全部类别`. */
export function categoryWords(category: string): string {
  if (category === '*') return t('duty.every.category')
  const [kind = '', code] = category.split(':')
  return code ? `${code} ${categoryNames.value.get(category) ?? ''}` : t('duty.every.kind', { kind: word('category', kind) })
}

export interface Node {
  value: string
  label: string
  children?: Node[]
}

/** All, kinds, groups, categories: any of them may be what a rule is about. */
export const categoryTree = computed<Node[]>(() => [
  { value: '*', label: t('duty.every.category') },
  ...['component', 'event'].map((kind) => ({
    value: kind,
    label: t('duty.every.kind', { kind: word('category', kind) }),
    children: (catalogue.value?.groups ?? [])
      .filter((group) => group.kind === kind)
      .map((group) => ({
        value: `${kind}:${group.code}`,
        label: `${group.code} ${group.name}`,
        children: group.categories.map((one) => ({ value: `${kind}:${one.code}`, label: `${one.code} ${one.name}` })),
      })),
  })),
])

const departmentNames = computed(() => new Map(departments.value.map((one) => [one.code, one.name])))

export const departmentWords = (code: string): string =>
  code.startsWith('@') ? word('duty.target', code.slice(1)) : (departmentNames.value.get(code) ?? code)

export const departmentChoices = computed(() => [
  ...TARGETS.map((value) => ({ value: value as string, label: departmentWords(value) })),
  ...departments.value.map((one) => ({ value: one.code, label: `${one.name} ${one.code}` })),
])
export const unitChoices = computed(() => [
  { value: '*', label: t('duty.every.unit') },
  ...departments.value.map((one) => ({ value: one.code, label: `${one.name} ${one.code}` })),
])
export const channelChoices = computed(() => [
  { value: '*', label: t('duty.every.channel') },
  ...CHANNELS.map((value) => ({ value: value as string, label: word('channel', value) })),
])

/** The area with its level, as rules are compared by. */
export const levelled = (area: string): string =>
  area === '*' || area.includes(':') ? area : `${/^\d{15}$/.test(area) ? 'grid' : /^\d{12}$/.test(area) ? 'village' : 'duty'}:${area}`

const areaNames = computed(() => {
  const names = new Map<string, string>()
  for (const { properties } of divisions.value?.features ?? []) names.set(`village:${properties?.code}`, String(properties?.name))
  for (const one of areas.value?.duty_grids ?? []) names.set(`duty:${one.code}`, one.name)
  return names
})

export function areaWords(area: string): string {
  const whole = levelled(area)
  if (whole === '*') return t('duty.every.area')
  const [level = '', code = ''] = whole.split(':')
  if (level === 'class') return t('duty.class', { name: code })
  return areaNames.value.get(whole) ?? (level === 'grid' ? t('duty.grid', { code }) : code)
}

/** Whether the town has the area, as far as its names tell: every unit grid is believed. */
export const inTown = (area: string): boolean => area.startsWith('grid:') || areaNames.value.has(area)

export const areaChoices = computed(() => [
  { value: '*', label: t('duty.every.area') },
  ...CLASSES.map((name) => ({ value: `class:${name}`, label: t('duty.class', { name }) })),
  ...(areas.value?.villages ?? []).map((one) => ({ value: `village:${one.code}`, label: one.name })),
  ...(areas.value?.duty_grids ?? []).map((one) => ({ value: `duty:${one.code}`, label: `${one.name} ${one.code}` })),
])
