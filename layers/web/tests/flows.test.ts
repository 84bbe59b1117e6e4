import { readFileSync } from 'node:fs'

import { describe, expect, it } from 'vitest'

import { differences } from '../src/desk/flows/changes'
import { layout } from '../src/desk/flows/layout'
import {
  addAction,
  copy,
  emptyFlow,
  insertState,
  removeState,
  renameAction,
  renameState,
  STAY,
  tidyFlow,
  type FlowBody,
} from '../src/desk/flows/model'
import { messages } from '../src/shared/messages'

const two = (text: string) => ({ zh: text, en: text })
const flow = emptyFlow('small', two('小流程'))

/** Random flows, the same ones every time. */
function* flows(count: number): Generator<FlowBody> {
  let seed = 7
  const next = (below: number) => ((seed = (seed * 1103515245 + 12345) % 2147483648), seed % below)
  const stages = ['acceptance', 'filing', 'dispatch', 'handling', 'check', 'closing']
  for (let n = 0; n < count; n += 1) {
    const codes = Array.from({ length: 1 + next(14) }, (_, i) => `s${i}`)
    const body: FlowBody = { ...copy(flow), states: {}, actions: [] }
    for (const code of codes) body.states[code] = { name: two(code), stage: stages[next(6)]!, status: next(5) === 0 ? 'closed' : 'open' }
    body.start.to = codes[0]!
    for (let a = 0; a < next(40); a += 1) {
      const from = codes.filter(() => next(4) === 0)
      const to = next(4) === 0 ? STAY : (codes[next(codes.length)] ?? 's0')
      body.actions.push({ code: `a${a}`, name: two(`操作${a}`), effect: two('x'), from, to, roles: [] })
    }
    yield body
  }
}

describe('the drawing', () => {
  it('puts every state and every arrow on paper once, nothing over anything else', () => {
    for (const body of flows(60)) {
      const drawn = layout(body, (a) => a.name.zh)
      expect(drawn.boxes.map((b) => b.code).sort()).toEqual(Object.keys(body.states).sort())
      const shown = [...drawn.arrows.flatMap((a) => a.labels.map((l) => `${l.index}:${a.from}`)), ...drawn.boxes.flatMap((b) => b.own.map((i) => `${i}:${b.code}`))]
      const common = drawn.common.map((l) => l.index)
      expect(common).toEqual(body.actions.flatMap((a, i) => (a.from.length >= 4 ? [i] : [])))
      const meant = body.actions.flatMap((a, i) => (common.includes(i) ? [] : a.from.map((s) => `${i}:${s}`)))
      expect(shown.sort()).toEqual(meant.sort())
      const places = [
        ...drawn.boxes.map((b) => ({ x: b.x, y: b.y, w: b.width, h: b.height })),
        ...[...drawn.arrows.flatMap((a) => a.labels), ...drawn.common].map((l) => ({ x: l.x, y: l.y + 1, w: l.width, h: 18 })),
      ]
      places.forEach((a, n) =>
        places.slice(n + 1).forEach((b) => {
          const apart = a.x + a.w <= b.x + 0.01 || b.x + b.w <= a.x + 0.01 || a.y + a.h <= b.y + 0.01 || b.y + b.h <= a.y + 0.01
          expect(apart, JSON.stringify([a, b])).toBe(true)
        }),
      )
      for (const p of places) expect(p.x >= 0 && p.y >= 0 && p.x + p.w <= drawn.width && p.y + p.h <= drawn.height).toBe(true)
    }
  })

  it('has the stages from left to right and endings last; arrows to earlier columns are returns', () => {
    const drawn = layout(flow, (a) => a.name.zh)
    expect(drawn.columns.map((c) => c.key)).toEqual(['dispatch', 'handling', 'closing', 'end'])
    expect(drawn.columns.every((c, n) => n === 0 || c.x > drawn.columns[n - 1]!.x)).toBe(true)
    expect(drawn.arrows.filter((a) => a.back).map((a) => [a.from, a.to])).toEqual([['handled', 'handling']])
  })
})

describe('changing a flow', () => {
  it('puts a state into an arrow: what led to its target leads through it', () => {
    const index = flow.actions.findIndex((a) => a.code === 'dispatch')
    const { body, code } = insertState(flow, index, two('审核'), two('通过'), two('转处置'))
    expect(body.actions[index]!.to).toBe(code)
    expect(body.actions.at(-1)).toMatchObject({ from: [code], to: 'handling' })
    expect(flow.actions[index]!.to).toBe('handling')
  })

  it('takes a state out with what led to it, and keeps what has other ways', () => {
    const { body } = addAction(flow, 'reported', 'closed', two('直接结案'), two('结案'))
    const merged = { ...body, actions: body.actions.map((a) => (a.code === 'close' ? { ...a, from: ['handled', 'handling'] } : a)) }
    const left = removeState(merged, 'handled')
    expect(left.states.handled).toBeUndefined()
    expect(left.actions.map((a) => a.code).sort()).toEqual(['action', 'close', 'dispatch', 'timeout', 'void'])
    expect(left.actions.find((a) => a.code === 'close')!.from).toEqual(['handling'])
  })

  it('renames wherever a name stands', () => {
    const timed = copy(flow)
    timed.states.handling!.timer = { limit: '5 工作日', action: 'handle' }
    const renamed = renameAction(renameState(timed, 'handling', 'doing'), 1, 'done')
    expect(renamed.states.doing!.timer!.action).toBe('done')
    expect(JSON.stringify(renamed)).not.toMatch(/"handling"(?=[,\]}])(?<!"stage":"handling")/)
    expect(renamed.actions[1]!.from).toEqual(['doing'])
  })

  it('saves no entries that say nothing', () => {
    const body = copy(flow)
    Object.assign(body.actions[0]!, { marks: [], guard: '', hidden: false, opens: undefined })
    Object.assign(body.states.reported!, { owners: [], limit: '' })
    expect(tidyFlow(body).actions[0]).not.toHaveProperty('guard')
    expect(Object.keys(tidyFlow(body).states.reported!).sort()).toEqual(['limit_minutes', 'name', 'stage'])
  })
})

describe('comparing', () => {
  it('finds nothing between a flow and its copy, whatever the order of keys and of sets', () => {
    const other = copy(flow)
    other.actions.reverse()
    other.actions = other.actions.map((a) => Object.fromEntries(Object.entries({ ...a, roles: [...a.roles].reverse(), marks: [...(a.marks ?? [])].reverse() }).reverse()) as unknown as typeof a)
    expect(differences(flow, other)).toEqual([])
  })

  it('names what was added, changed and removed', () => {
    const { body } = insertState(flow, 0, two('审核'), two('通过'), two('转处置'))
    body.states.reported!.limit_minutes = 5
    const after = { ...body, actions: body.actions.filter((a) => a.code !== 'void') }
    expect(differences(flow, after).map((d) => `${d.change} ${d.part} ${d.code} ${d.keys.join()}`).sort()).toEqual([
      'added action action ',
      'added state state ',
      'changed action dispatch to',
      'changed state reported limit_minutes',
      'removed action void ',
    ])
  })
})

it('the words of every rule of the grammar are there', () => {
  const grammar = readFileSync(new URL('../../../gis/workflow.py', import.meta.url), 'utf8')
  const names = (set: string) => [...(new RegExp(`^${set} = frozenset\\(([\\s\\S]*?)\\)\\n`, 'm').exec(grammar)?.[1] ?? '').matchAll(/"(\w+)"/g)].map((m) => m[1]!)
  for (const [set, family] of [['ROLES', 'role'], ['MARKS', 'mark'], ['COUNTERS', 'counter'], ['CLOCK_EFFECTS', 'clock'], ['FIELD_TYPES', 'field']] as const) {
    expect(names(set).length, set).toBeGreaterThan(1)
    for (const name of names(set)) expect(Object.keys(messages)).toContain(`${family}.${name}`)
  }
})
