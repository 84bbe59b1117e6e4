/** Which cases wait for this person, and the flow their steps are named in. */
import { computed, shallowRef } from 'vue'

import { api, type CasePage } from './api'
import { pick, t } from './i18n'
import { session } from './session'
import { shortTime } from './time'
import type { Item, Workflow } from './types'

export const workflow = shallowRef<Workflow | null>(null)
/** The first page of what waits for this person, as last read. */
export const mine = shallowRef<{ owner: string; page: CasePage } | null>(null)

/** The states in which one of the person's roles has a step to take, comma between them; empty when there is none. */
export function myStates(): string {
  const roles = new Set(session.value?.me.roles.map((grant) => grant.role))
  const states = new Set<string>()
  for (const action of workflow.value?.actions ?? []) {
    if (action.roles.some((role) => roles.has(role))) for (const state of action.from) states.add(state)
  }
  return [...states].sort().join(',')
}

/** Read the flow unless it is known; rejects only when there is not even a kept one. */
export async function knowWorkflow(): Promise<void> {
  if (workflow.value) return
  await api
    .workflow((found) => (workflow.value = found.value))
    .catch((error: unknown) => {
      if (!workflow.value) throw error
    })
}

/** How many wait, as a word for a small place; empty when none do or nobody knows. */
export const mineCount = computed(() => {
  const held = mine.value
  if (!held || held.owner !== session.value?.me.id || !held.page.items.length) return ''
  return `${held.page.items.length}${held.page.next ? '+' : ''}`
})

/** Fetch what the pages need, so that they open without a network later. */
export async function prefetch(): Promise<void> {
  const owner = session.value?.me.id
  if (!owner) return
  const quiet = (work: Promise<unknown>) => work.catch(() => undefined)
  await quiet(knowWorkflow())
  const states = myStates()
  if (states) await quiet(api.cases(states, (read) => (mine.value = { owner, page: read.value })))
  await quiet(api.catalogue(() => undefined))
}

/** Who came before, when the server refused a step because the case had moved on; else empty. */
export function conflictOf(item: Item): string {
  const detail = item.problem?.detail
  if (item.problem?.code !== 'stale_case' || !detail) return ''
  const action = workflow.value?.actions.find((each) => each.code === detail.action)
  const name = action ? pick(action.name) : String(detail.action)
  return t('case.conflict', { by: String(detail.by), at: shortTime(String(detail.at)), action: name })
}
