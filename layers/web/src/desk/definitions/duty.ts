/**
 * The duty list under the editor's hands: what is in force, the shared draft, one's own changes on their way into it.
 *
 * Every change is saved by itself a moment later. Where somebody else saved meanwhile, both are brought together
 * (`merge.ts`); what both changed is told as a clash. Undo goes back through one's own changes.
 */
import { computed, onBeforeUnmount, ref, shallowRef, watch } from 'vue'

import { ApiError } from '../../shared/api'
import { useProblem } from '../problem'
import { definitionsApi, type Body, type Checked, type DraftMark, type Rule, type Version } from './api'
import { differences, merge, type Clash } from './merge'

const KIND = 'duty_list'
const PAUSE_MS = 900
const rulesOf = (body: Body): Rule[] => (body.rules as Rule[]).map((rule) => Object.freeze({ ...rule }))

export function useDutyList() {
  const { problem, busy, attempt } = useProblem()
  const code = ref('')
  const mayWrite = ref(false)
  const newest = shallowRef<Version | null>(null)
  const announced = shallowRef<Version | null>(null)
  /** The newest version's body but its rules; and its rules, which changes are measured against. */
  const rest = shallowRef<Body>({})
  const published = shallowRef<Rule[]>([])
  const draft = shallowRef<DraftMark | null>(null)
  const checked = shallowRef<Checked>({ faults: [], warnings: [] })
  /** What the server has of the draft; what the editor sees. */
  const saved = shallowRef<Rule[]>([])
  const rules = shallowRef<Rule[]>([])
  const clashes = shallowRef<Clash<Rule>[]>([])
  const past: Rule[][] = []
  const undoable = ref(0)
  const loaded = ref(false)

  const dirty = computed(() => rules.value !== saved.value)
  const changes = computed(() => differences(published.value, rules.value))
  const changeCount = computed(() => changes.value.added.size + changes.value.changed.size + changes.value.removed.size)
  /** The draft was begun before the newest version. */
  const outdated = computed(() => draft.value !== null && newest.value !== null && draft.value.base_version < newest.value.version)

  async function load(): Promise<void> {
    await attempt(async () => {
      const found = (await definitionsApi.overview()).find((one) => one.kind === KIND)
      if (!found) return
      code.value = found.code
      mayWrite.value = found.may_write
      newest.value = found.newest
      announced.value = found.announced
      const [{ body }, begun] = await Promise.all([
        definitionsApi.body(KIND, found.code, String(found.newest.version)),
        found.draft ? definitionsApi.draft(KIND, found.code) : null,
      ])
      published.value = rulesOf(body)
      rest.value = body
      draft.value = begun
      checked.value = begun ?? { faults: [], warnings: [] }
      saved.value = rules.value = begun ? rulesOf(begun.body) : published.value
      past.length = undoable.value = 0
      loaded.value = true
    })
  }

  /** Takes the list on one step; `undo` takes it back. */
  function change(next: Rule[]): void {
    past.push(rules.value)
    undoable.value = past.length
    rules.value = next
  }
  function undo(): void {
    const before = past.pop()
    undoable.value = past.length
    if (before) rules.value = before
  }
  const put = (rule: Rule): void => change(rules.value.map((one) => (one.id === rule.id ? rule : one)))
  const remove = (id: string): void => change(rules.value.filter((one) => one.id !== id))

  /** A new rule after `after`, else first. */
  function add(rule: Omit<Rule, 'id'>, after?: string): Rule {
    const taken = new Set([...rules.value, ...published.value].map((one) => one.id))
    let number = rules.value.length + 1
    while (taken.has(`R${String(number).padStart(4, '0')}`)) number += 1
    const made = { id: `R${String(number).padStart(4, '0')}`, ...rule }
    const index = rules.value.findIndex((one) => one.id === after)
    change([...rules.value.slice(0, index + 1), made, ...rules.value.slice(index + 1)])
    return made
  }

  let saving: Promise<boolean> | null = null
  /** Saves what is unsaved; whether all is saved then. */
  function flush(): Promise<boolean> {
    clearTimeout(timer)
    saving ??= write().finally(() => (saving = null))
    return saving
  }
  async function write(): Promise<boolean> {
    for (let round = 0; dirty.value && round < 5; round += 1) {
      const sent = rules.value
      const kept = await attempt(async () => {
        try {
          return await definitionsApi.save(KIND, code.value, { ...rest.value, rules: sent }, draft.value?.revision ?? 0, draft.value ? undefined : newest.value?.version)
        } catch (error) {
          if (!(error instanceof ApiError) || error.code !== 'stale_draft') throw error
          await join()
          return null
        }
      })
      if (kept === undefined) return false
      if (!kept) continue
      draft.value = kept
      checked.value = kept
      saved.value = sent
    }
    return !dirty.value
  }
  /** Somebody else saved, published or threw away the draft: their list with my changes in it. */
  async function join(): Promise<void> {
    const told = (await definitionsApi.overview()).find((one) => one.kind === KIND)
    const theirs = told?.draft ? await definitionsApi.draft(KIND, code.value) : null
    const now = told?.newest
    if (now && now.version !== newest.value?.version) {
      newest.value = now
      rest.value = (await definitionsApi.body(KIND, code.value, String(now.version))).body
      published.value = rulesOf(rest.value)
    }
    const other = theirs ? rulesOf(theirs.body) : published.value
    const both = merge(saved.value, rules.value, other)
    draft.value = theirs
    saved.value = other
    rules.value = both.entries
    clashes.value = [...clashes.value, ...both.clashes]
    past.length = undoable.value = 0
  }
  /** Brings the draft onto the newest version. */
  async function rebase(): Promise<void> {
    await attempt(async () => {
      const begun = draft.value
      if (!begun || !newest.value) return
      const base = rulesOf((await definitionsApi.body(KIND, code.value, String(begun.base_version))).body)
      const both = merge(base, rules.value, published.value)
      const kept = await definitionsApi.save(KIND, code.value, { ...rest.value, rules: both.entries }, begun.revision, newest.value.version)
      draft.value = kept
      checked.value = kept
      saved.value = rules.value = both.entries
      clashes.value = [...clashes.value, ...both.clashes]
      past.length = undoable.value = 0
    })
  }
  /** Settles a clash for mine after all. */
  function insist({ id, mine }: Clash<Rule>): void {
    const there = rules.value.some((one) => one.id === id)
    if (mine) change(there ? rules.value.map((one) => (one.id === id ? mine : one)) : [...rules.value, mine])
    else if (there) remove(id)
    settle(id)
  }
  const settle = (id: string): void => void (clashes.value = clashes.value.filter((one) => one.id !== id))

  async function discard(): Promise<void> {
    const revision = draft.value?.revision
    await attempt(async () => {
      if (revision) await definitionsApi.discard(KIND, code.value, revision)
      await load()
    })
  }

  let timer: ReturnType<typeof setTimeout> | undefined
  watch(rules, () => {
    clearTimeout(timer)
    if (dirty.value && mayWrite.value) timer = setTimeout(() => void flush(), PAUSE_MS)
  })
  onBeforeUnmount(() => void (mayWrite.value && dirty.value && flush()))
  const leave = (event: BeforeUnloadEvent) => {
    if (dirty.value) event.preventDefault()
  }
  addEventListener('beforeunload', leave)
  onBeforeUnmount(() => removeEventListener('beforeunload', leave))

  return {
    ...{ problem, busy, attempt, loaded, code, mayWrite, newest, announced, published, draft, checked, rules, dirty, changes, changeCount },
    ...{ outdated, clashes, undoable, load, change, undo, put, remove, add, flush, rebase, insist, settle, discard },
  }
}

export type DutyEditor = ReturnType<typeof useDutyList>
