/** Scenes in turn, unattended: how long each stays, which come, and rest while somebody touches the wall. */
import { computed, onMounted, onScopeDispose, ref, watch } from 'vue'

import { may } from '../shared/names'
import { choicesOf } from './places'
import { following, PRESETS, SCENES, sceneFrom, type Scene } from './scenes'
import { addressed, enter, scene } from './state'

export const INTERVALS = [10, 20, 30, 60, 120] as const
/** Somebody who touches the wall has it to themselves for this long. */
export const REST_S = 60

/** Seconds a scene stays; empty: the wall does not rotate. */
export const rotate = addressed('rotate')
const stopsText = addressed('stops')
const TURNS = ['overview', 'heat', 'patrol', 'village', 'department'] as const

/** The scenes that come in turn. */
export const stops = computed<string[]>({
  get: () => {
    const asked = stopsText.value.split(',').filter(Boolean)
    return asked.length ? asked.filter((one) => (SCENES as readonly string[]).includes(one.split(':')[0]!)) : [...TURNS]
  },
  set: (value) => (stopsText.value = value.join() === TURNS.join() ? '' : value.join()),
})

/** Seconds until the next scene, and seconds of rest that are left. */
export const left = ref(0)
export const resting = ref(0)
export const rotating = computed(() => Number(rotate.value) >= 5)

/** A stop that names no village or department takes another one each time round. */
const rounds: Record<string, number> = {}

/** The scene of a stop. */
function sceneOf(stop: string): Scene {
  const found = sceneFrom(stop)
  const kind = PRESETS[found.code].one
  const choices = kind ? choicesOf(kind).map(({ code }) => code) : []
  if (!kind || found.of || !choices.length) return found
  const round = (rounds[stop] = ((rounds[stop] ?? -1) + 1) % choices.length)
  return { ...found, of: choices[round]! }
}

export function advance(): void {
  const offered = stops.value.filter((one) => {
    const { needs } = PRESETS[sceneFrom(one).code]
    return !needs || may(needs)
  })
  const next = following(offered, scene.value)
  if (next) enter(sceneOf(next))
  left.value = Number(rotate.value)
}

/** Somebody is here: the wall waits. */
export function touch(): void {
  if (rotating.value) resting.value = REST_S
}

/** Turns for as long as the page is there. */
export function useRotation(): void {
  let timer: ReturnType<typeof setInterval> | undefined
  const tick = () => {
    if (!rotating.value) return
    if (resting.value > 0) resting.value -= 1
    else if ((left.value -= 1) <= 0) advance()
  }
  const events = ['pointerdown', 'keydown', 'wheel'] as const
  onMounted(() => {
    timer = setInterval(tick, 1000)
    for (const one of events) addEventListener(one, touch, { passive: true, capture: true })
  })
  onScopeDispose(() => {
    clearInterval(timer)
    for (const one of events) removeEventListener(one, touch, { capture: true })
  })
  watch(rotate, () => {
    left.value = Number(rotate.value) || 0
    resting.value = 0
  }, { immediate: true })
}
