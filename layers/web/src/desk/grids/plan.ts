/**
 * The plan under the editor's hands: every step goes to the server, which answers with the plan it makes; undo and redo
 * move steps between two lists, so that they outlive the page. Who did not see the newest draft is told whose it is.
 */
import { computed, ref, shallowRef } from 'vue'

import { ApiError } from '../../shared/api'
import { useProblem } from '../problem'
import { gridsApi, type GridPlan, type Shape, type Step } from './api'

export function useGridPlan(first: string) {
  const { problem, busy, attempt } = useProblem()
  const plan = shallowRef<GridPlan | null>(null)
  const shapes = shallowRef<ReadonlyMap<string, Shape>>(new Map())
  /** Who saved meanwhile, and the step that was not written for it. */
  const overtaken = shallowRef<{ by: string; step: Step | null } | null>(null)
  let base: { day: string; mark: string; shapes: Shape[] } | null = null
  const revision = ref(0)
  /** Which draft is open, and how one is called that nobody has saved yet. */
  const key = ref(first)
  let naming = ''

  async function show(told: GridPlan, again = false): Promise<void> {
    const mark = `${told.waiting?.id ?? ''} ${told.draft.base}`
    if (!base || again || base.day !== told.day || base.mark !== mark) base = { day: told.day, mark, shapes: await gridsApi.shapes(told.day) }
    const found = new Map(base.shapes.map((shape) => [shape.properties.key, shape]))
    for (const key of told.ended) found.delete(key)
    for (const shape of told.shapes) found.set(shape.properties.key, shape)
    shapes.value = found
    plan.value = told
    revision.value = told.draft.revision
  }

  const load = (): Promise<unknown> => attempt(async () => show(await gridsApi.plan(key.value), true))
  /** Puts this draft aside, as it is, and opens another; `name` is for one that is begun. */
  async function open(other: string, name = ''): Promise<void> {
    key.value = other
    naming = name
    overtaken.value = null
    await load()
  }
  const name = computed(() => plan.value?.draft.name || naming)

  /** Saves other steps; whether that worked. */
  async function save(steps: Step[], undone: Step[], day = plan.value?.day ?? '', last: Step | null = null): Promise<boolean> {
    const done = await attempt(async () => {
      try {
        await show(await gridsApi.save({ key: key.value, name: name.value, day, steps, undone, revision: revision.value }))
        overtaken.value = null
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== 'stale_draft') throw error
        overtaken.value = { by: String(error.detail.by ?? ''), step: last }
        await show(await gridsApi.plan(key.value), true)
        return false
      }
      return true
    })
    return done === true
  }

  const steps = computed(() => plan.value?.draft.steps ?? [])
  const undone = computed(() => plan.value?.draft.undone ?? [])
  const add = (step: Step) => save([...steps.value, step], [], undefined, step)
  const undo = () => save(steps.value.slice(0, -1), [...undone.value, ...steps.value.slice(-1)])
  const redo = () => save([...steps.value, ...undone.value.slice(-1)], undone.value.slice(0, -1))
  const setDay = (day: string) => save(steps.value, undone.value, day)
  /** Leaves out the steps that no longer fit. */
  function mend(): Promise<boolean> {
    const broken = new Set(plan.value?.broken.map(({ step }) => step))
    return save(steps.value.filter((_, number) => !broken.has(number)), [])
  }
  async function discard(): Promise<void> {
    const gone = await attempt(async () => {
      if (revision.value) await gridsApi.discard(key.value, revision.value)
      return true
    })
    await (gone ? open('') : load())
  }

  return { ...{ plan, shapes, problem, busy, attempt, overtaken, revision, key, name, steps, undone }, ...{ load, open, add, undo, redo, setDay, mend, discard } }
}

export type GridEditor = ReturnType<typeof useGridPlan>
