/**
 * The plan under the editor's hands: every step goes to the server, which answers with the plan it makes; undo and redo
 * move steps between two lists, so that they outlive the page. Who did not see the newest draft is told whose it is.
 */
import { computed, ref, shallowRef } from 'vue'

import { ApiError } from '../../shared/api'
import { useProblem } from '../problem'
import { gridsApi, type GridPlan, type Shape, type Step } from './api'

export function useGridPlan() {
  const { problem, busy, attempt } = useProblem()
  const plan = shallowRef<GridPlan | null>(null)
  const shapes = shallowRef<ReadonlyMap<string, Shape>>(new Map())
  /** Who saved meanwhile, and the step that was not written for it. */
  const overtaken = shallowRef<{ by: string; step: Step | null } | null>(null)
  let base: { day: string; mark: string; shapes: Shape[] } | null = null
  const revision = ref(0)

  async function show(told: GridPlan, again = false): Promise<void> {
    const mark = `${told.waiting?.id ?? ''}`
    if (!base || again || base.day !== told.day || base.mark !== mark) base = { day: told.day, mark, shapes: await gridsApi.shapes(told.day) }
    const found = new Map(base.shapes.map((shape) => [shape.properties.key, shape]))
    for (const key of told.ended) found.delete(key)
    for (const shape of told.shapes) found.set(shape.properties.key, shape)
    shapes.value = found
    plan.value = told
    revision.value = told.draft.revision
  }

  const load = (): Promise<unknown> => attempt(async () => show(await gridsApi.plan(), true))

  /** Saves other steps; whether that worked. */
  async function save(steps: Step[], undone: Step[], day = plan.value?.day ?? '', last: Step | null = null): Promise<boolean> {
    const done = await attempt(async () => {
      try {
        await show(await gridsApi.save({ day, steps, undone, revision: revision.value }))
        overtaken.value = null
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== 'stale_draft') throw error
        overtaken.value = { by: String(error.detail.by ?? ''), step: last }
        await show(await gridsApi.plan(), true)
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
    await attempt(async () => {
      if (revision.value) await gridsApi.discard(revision.value)
      await show(await gridsApi.plan(), true)
    })
  }

  return { ...{ plan, shapes, problem, busy, attempt, overtaken, revision, steps, undone }, ...{ load, add, undo, redo, setDay, mend, discard } }
}

export type GridEditor = ReturnType<typeof useGridPlan>
