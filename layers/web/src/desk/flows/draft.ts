/**
 * The draft on the drawing board: every change is a step that can be undone; what is typed is in the browser at once and
 * on the server a moment later. Two editors never overwrite each other unawares: the server knows revisions.
 */
import { computed, onBeforeUnmount, ref, shallowRef, watch } from 'vue'

import { ApiError } from '../../shared/api'
import { flowApi, type DraftInfo } from './api'
import { copy, tidyFlow, type Fault, type FlowBody } from './model'

const SAVE_AFTER = 700
const CHECK_AFTER = 250
const STEPS = 200

interface Kept {
  body: FlowBody
  revision: number
}

const keyOf = (code: string) => `wangge.flow.${code}`

/** What this browser had not yet brought to the server. */
function unsaved(code: string): Kept | null {
  try {
    return JSON.parse(localStorage.getItem(keyOf(code)) ?? 'null') as Kept | null
  } catch {
    return null
  }
}

export function useDraft(code: string) {
  const body = shallowRef<FlowBody | null>(null)
  const base = shallowRef<FlowBody | null>(null)
  const baseVersion = ref(0)
  const info = shallowRef<DraftInfo | null>(null)
  const faults = shallowRef<Fault[]>([])
  const checked = ref(false)
  const saving = ref<'saved' | 'waiting' | 'failed' | 'stale'>('saved')
  const problem = shallowRef<unknown>(null)
  const past = shallowRef<string[]>([])
  const future = shallowRef<string[]>([])
  let saveTimer = 0
  let checkTimer = 0
  let asked = 0
  let group = ''
  let storing: Promise<void> | null = null

  async function load(): Promise<void> {
    const [all, counts] = await Promise.all([flowApi.overview(), flowApi.running()])
    const published = all.items.find((one) => one.kind === 'workflow' && one.code === code)
    const drawn = published ? published.draft !== null : counts.drafts.some((one) => one.code === code)
    const [draft, newest] = await Promise.all([drawn ? flowApi.draft(code) : null, published ? flowApi.body(code, published.newest.version) : null])
    if (newest) {
      base.value = newest.body
      baseVersion.value = newest.version
    }
    if (draft) info.value = draft
    const mine = unsaved(code)
    const known = draft?.revision ?? 0
    const start = mine && mine.revision === known ? mine.body : (draft?.body ?? newest?.body)
    if (!start) throw new ApiError(404, 'definition_unknown', '没有这个流程', 'There is no such workflow')
    body.value = start
    if (mine && mine.revision === known) store()
    else localStorage.removeItem(keyOf(code))
  }

  watch(body, () => {
    checked.value = false
    clearTimeout(checkTimer)
    checkTimer = window.setTimeout(check, CHECK_AFTER)
  })

  async function check(): Promise<void> {
    if (!body.value) return
    asked += 1
    const mine = asked
    try {
      const found = await flowApi.check(tidyFlow(body.value))
      if (mine !== asked) return
      faults.value = found
      checked.value = true
    } catch (error) {
      if (mine === asked) problem.value = error
    }
  }

  /** Makes `next` the draft. Steps of the same `of` in a row, such as letters typed into one field, are undone as one. */
  function change(next: FlowBody, of = ''): void {
    if (!body.value) return
    if (!of || of !== group) past.value = [...past.value, JSON.stringify(body.value)].slice(-STEPS)
    group = of
    future.value = []
    body.value = next
    store()
  }

  function go(from: typeof past, to: typeof future): void {
    const step = from.value[from.value.length - 1]
    if (!step || !body.value) return
    from.value = from.value.slice(0, -1)
    to.value = [...to.value, JSON.stringify(body.value)]
    group = ''
    body.value = JSON.parse(step) as FlowBody
    store()
  }

  function keep(): void {
    if (!body.value) return
    try {
      localStorage.setItem(keyOf(code), JSON.stringify({ body: body.value, revision: info.value?.revision ?? 0 } satisfies Kept))
    } catch {
      // A full store keeps nothing more; the server still gets it.
    }
  }

  function store(): void {
    keep()
    saving.value = 'waiting'
    clearTimeout(saveTimer)
    saveTimer = window.setTimeout(() => void save(), SAVE_AFTER)
  }

  /** Brings the draft to the server now; resolves when it is there. */
  async function save(): Promise<void> {
    clearTimeout(saveTimer)
    await storing
    if (!body.value || saving.value === 'saved' || saving.value === 'stale') return
    storing = put(body.value).finally(() => (storing = null))
    await storing
  }

  async function put(sent: FlowBody): Promise<void> {
    try {
      const kept = await flowApi.saveDraft(code, tidyFlow(sent), info.value?.revision ?? 0, info.value ? undefined : baseVersion.value)
      info.value = kept
      problem.value = null
      if (body.value === sent) {
        saving.value = 'saved'
        localStorage.removeItem(keyOf(code))
      } else store()
    } catch (error) {
      saving.value = error instanceof ApiError && error.status === 409 ? 'stale' : 'failed'
      problem.value = error
    }
  }

  /** After somebody else saved: theirs, or mine over it. */
  async function settle(mine: boolean): Promise<void> {
    const theirs = await flowApi.draft(code).catch(() => null)
    info.value = theirs
    problem.value = null
    if (mine || !theirs) {
      saving.value = 'failed'
      store()
    } else {
      if (body.value) past.value = [...past.value, JSON.stringify(body.value)]
      body.value = theirs.body
      saving.value = 'saved'
      localStorage.removeItem(keyOf(code))
    }
  }

  /** Throws the draft away: the newest version is on the board again. */
  async function discard(): Promise<void> {
    clearTimeout(saveTimer)
    await storing
    if (info.value) await flowApi.dropDraft(code, info.value.revision)
    info.value = null
    saving.value = 'saved'
    localStorage.removeItem(keyOf(code))
    past.value = []
    future.value = []
    if (base.value) body.value = copy(base.value)
  }

  onBeforeUnmount(() => {
    clearTimeout(saveTimer)
    clearTimeout(checkTimer)
    if (saving.value === 'waiting') void save()
  })

  return {
    body,
    base,
    baseVersion,
    info,
    faults,
    checked,
    saving,
    problem,
    canUndo: computed(() => past.value.length > 0),
    canRedo: computed(() => future.value.length > 0),
    undo: () => go(past, future),
    redo: () => go(future, past),
    load,
    check,
    change,
    save,
    settle,
    discard,
  }
}

export type Draft = ReturnType<typeof useDraft>
