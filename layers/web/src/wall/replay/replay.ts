/** The replay that is on: what was asked for, what came, and which second it is. One a page; bar and side share it. */
import { computed, ref, shallowRef } from 'vue'

import { day as localDay } from '../../shared/time'
import { tracks, type Replay, type Walker as Person } from '../tracks/api'
import { clock } from '../tracks/spans'
import { turns, walkers, type Walker } from './player'

export const SPEEDS = [1, 5, 10, 30, 60] as const

/** What is asked for first: the last four hours, as far as they are today's. */
export function lately(now = new Date()) {
  const second = (now.getTime() / 1000 + 8 * 3600) % 86_400
  return { day: localDay(now), from: clock(Math.max(0, second - 4 * 3600)), to: clock(second), people: [] as string[] }
}

export const asked = ref(lately())
export const why = ref('')
export const people = shallowRef<Person[]>([])
export const replay = shallowRef<Replay | null>(null)
export const walking = shallowRef<Walker[]>([])
/** Seconds since the span's begin. */
export const second = ref(0)
export const playing = ref(false)
export const speed = ref<(typeof SPEEDS)[number]>(60)
export const problem = shallowRef<unknown>(null)
export const busy = ref(false)

/** Seconds at which some case changes. */
export const changes = shallowRef<number[]>([])
export const length = computed(() => (replay.value ? (Date.parse(replay.value.until) - Date.parse(replay.value.since)) / 1000 : 0))
/** Seconds of the local day at which the span begins: what the clock shows is this and `second`. */
export const begin = computed(() => {
  if (!replay.value) return 0
  const local = (Date.parse(replay.value.since) / 1000 + 8 * 3600) % 86_400
  return local
})

/** As one word of the address: a colleague gets the same span and people, and names their own reason. */
export const text = (): string => [asked.value.day, asked.value.from, asked.value.to, asked.value.people.join('+')].join('~')

export function readText(word: string): void {
  const [day = '', from = '', to = '', ids = ''] = word.split('~')
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day) || !/^\d{2}:\d{2}$/.test(from) || !/^\d{2}:\d{2}$/.test(to)) return
  asked.value = { day, from, to, people: ids.split('+').filter(Boolean) }
}

export async function readPeople(): Promise<void> {
  try {
    people.value = await tracks.people(asked.value.day)
    problem.value = null
  } catch (error) {
    problem.value = error
  }
}

export async function start(): Promise<void> {
  const { day, from, to } = asked.value
  busy.value = true
  try {
    const found = await tracks.replay(`${day}T${from}:00+08:00`, `${day}T${to}:00+08:00`, asked.value.people, why.value)
    walking.value = walkers(found)
    changes.value = turns(found.cases)
    replay.value = found
    second.value = 0
    problem.value = null
  } catch (error) {
    problem.value = error
  } finally {
    busy.value = false
  }
}

export function stop(): void {
  playing.value = false
  replay.value = null
  walking.value = []
  changes.value = []
}
