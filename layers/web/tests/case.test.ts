import { beforeEach, describe, expect, it, vi } from 'vitest'

import { ApiError } from '../src/shared/api'
import { setLanguage } from '../src/shared/i18n'
import type { CaseEvent } from '../src/shared/types'
import { draw, placeOf, written } from '../src/desk/cases/clockline'
import { dropDraft, emptyDraft, keepDraft, readDraft } from '../src/desk/cases/draft'
import { faults, gaps, initial, payload, tagOptions } from '../src/desk/cases/fields'
import { meanwhile, useSending } from '../src/desk/cases/sending'
import { chosen, important, judged, photosOf, told, type Names } from '../src/desk/cases/story'
import type { CaseFile, Course, Field, Line } from '../src/desk/cases/types'
import { left, span } from '../src/desk/cases/words'

// The language is remembered by the browser: here there is none.
vi.hoisted(() => {
  vi.stubGlobal('location', { search: '' })
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
  vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}) })
})

const HOUR = 3_600_000
const START = Date.parse('2026-11-12T02:00:00Z') // ten in the morning in the town
const at = (hours: number) => new Date(START + hours * HOUR).toISOString()

/** Eight working hours from Thursday ten o'clock: two before noon, four after, two on Friday. */
const line = (changes: Partial<Line> = {}): Line => ({
  limit: { zh: '8 工作时', en: '8 working hours' },
  kind: 'work_hours',
  started_at: at(0),
  yellow_at: at(22.4),
  due_at: at(24),
  goes_on_due_at: null,
  stopped_at: null,
  until: at(24),
  cut: false,
  extensions: 0,
  first_due_at: null,
  spans: [
    { from: at(0), to: at(2), how: 'counting' },
    { from: at(2), to: at(4), how: 'resting' },
    { from: at(4), to: at(8), how: 'counting' },
    { from: at(8), to: at(22), how: 'resting' },
    { from: at(22), to: at(24), how: 'counting' },
  ],
  ...changes,
})

describe('the line of a clock', () => {
  it('fills its length without gaps, in order', () => {
    const { pieces } = draw(line(), START + HOUR)
    expect(pieces[0]!.x).toBe(0)
    pieces.slice(1).forEach((piece, i) => expect(piece.x).toBeCloseTo(pieces[i]!.x + pieces[i]!.width))
    expect(pieces.at(-1)!.x + pieces.at(-1)!.width).toBeCloseTo(1)
  })

  it('draws what counts to one scale, and the night shorter', () => {
    const { pieces } = draw(line(), START)
    expect(pieces[2]!.width).toBeCloseTo(2 * pieces[0]!.width)
    expect(pieces[4]!.width).toBeCloseTo(pieces[0]!.width)
    expect(pieces[3]!.width).toBeLessThan(pieces[2]!.width)
    expect(pieces[1]!.width).toBeLessThan(pieces[0]!.width)
  })

  it('never lets a month of waiting hide the work', () => {
    const spans: Line['spans'] = [
      { from: at(0), to: at(2), how: 'counting' },
      { from: at(2), to: at(2 + 24 * 30), how: 'paused' },
      { from: at(2 + 24 * 30), to: at(4 + 24 * 30), how: 'counting' },
    ]
    const { pieces } = draw(line({ spans, until: at(4 + 24 * 30), due_at: at(4 + 24 * 30) }), START)
    expect(pieces[1]!.width).toBeLessThan(pieces[0]!.width + pieces[2]!.width)
  })

  it('puts a moment where its share of the piece is, and outside at the ends', () => {
    const { pieces } = draw(line(), START)
    expect(placeOf(pieces, START + HOUR)).toBeCloseTo(pieces[0]!.width / 2)
    expect(placeOf(pieces, START - HOUR)).toBe(0)
    expect(placeOf(pieces, START + 100 * HOUR)).toBeCloseTo(1)
    const marks = draw(line(), START).marks
    expect(marks.find((one) => one.knot === 'due')!.x).toBeCloseTo(1)
    expect(marks.map((one) => one.knot)).toEqual(['start', 'yellow', 'due', 'now'])
  })

  it('goes on growing while the page stays open, but not once it has stopped or was cut', () => {
    expect(draw(line(), START + 30 * HOUR).pieces).toHaveLength(6)
    expect(draw(line({ stopped_at: at(5) }), START + 30 * HOUR).pieces).toHaveLength(5)
    expect(draw(line({ stopped_at: at(5) }), START + 30 * HOUR).marks.map((one) => one.knot)).not.toContain('now')
    const cut = draw(line({ cut: true }), START + 900 * HOUR)
    expect(cut.pieces).toHaveLength(5)
    expect(cut.marks.find((one) => one.knot === 'now')!.beyond).toBe(true)
  })

  it('stands where it is paused, however long the page stays open', () => {
    const spans: Line['spans'] = [
      { from: at(0), to: at(1), how: 'counting' },
      { from: at(1), to: at(6), how: 'paused' },
      { from: at(6), to: at(8), how: 'counting' },
    ]
    const held = line({ spans, due_at: null, yellow_at: null, goes_on_due_at: at(8), until: at(8) })
    const { pieces, marks } = draw(held, START + 7 * HOUR)
    expect(marks.find((one) => one.knot === 'now')!.x).toBeCloseTo(pieces[1]!.x + pieces[1]!.width)
    expect(marks.map((one) => one.knot)).toContain('goesOn')
    expect(draw(held, START + 90 * HOUR).pieces).toHaveLength(3)
  })

  it('draws a plain line where the calendar does not reach', () => {
    const { pieces } = draw(line({ spans: [], yellow_at: null, due_at: null, until: at(3) }), START + HOUR)
    expect(pieces).toHaveLength(1)
  })

  it('writes out only labels that have room, the due time first', () => {
    const { marks } = draw(line(), START)
    const kept = [...written(marks, 0.2)].map((one) => one.knot)
    expect(kept).toContain('due')
    expect(kept).not.toContain('yellow')
    expect(kept).not.toContain('start') // now stands on it
  })
})

describe('spans of time', () => {
  beforeEach(() => setLanguage('zh'))
  it.each([
    [30_000, '0 分钟'],
    [12 * 60_000, '12 分钟'],
    [3 * HOUR, '3 小时'],
    [3 * HOUR + 5 * 60_000, '3 小时 5 分钟'],
    [50 * HOUR + 60_000, '2 天 2 小时'],
  ])('%d ms is %s', (ms, words) => expect(span(ms)).toBe(words))
  it('says whether it is left or over', () => {
    expect(left(at(1), START)).toBe('剩 1 小时')
    expect(left(at(-1), START)).toBe('超 1 小时')
  })
})

const event = (changes: Partial<CaseEvent>): CaseEvent => ({
  seq: 2,
  action: 'dispatch',
  action_name: { zh: '派遣', en: 'Dispatch' },
  from_state: 'filed',
  to_state: 'handling',
  actor: '甲',
  role: 'dispatcher',
  happened_at: at(0),
  recorded_at: at(0),
  payload: {},
  hash: 'ab',
  ...changes,
})
const course = {
  states: {},
  names: { 'u-1': '王五' },
  fields: {
    dispatch: {
      department: { type: 'department', label: { zh: '处置部门', en: 'Department' } },
      helpers: { type: 'departments', label: { zh: '协办', en: 'Helping' } },
      who: { type: 'staff', label: { zh: '人员', en: 'Person' } },
      how: { type: 'choice', label: { zh: '方式', en: 'Way' }, choices: { phone: { zh: '电话', en: 'By telephone' } } },
      photos: { type: 'photo', label: { zh: '照片', en: 'Photos' } },
    },
    close: { closing_condition: { type: 'closing_condition', label: { zh: '结案条件', en: 'Closing condition' } } },
    score: { scores: { type: 'scores', label: { zh: '评分', en: 'Scores' } } },
  },
} as unknown as Course
const names: Names = {
  course,
  conditions: [{ code: '1', text: '井盖破损', closing: '井盖更换完好' }],
  department: (code) => ({ D02: '城管科', D03: '环卫所' })[code] ?? code,
}
const words = (one: CaseEvent) => told(one, names).map(({ label, text }) => `${label}=${text}`)

describe('an event in words', () => {
  beforeEach(() => setLanguage('zh'))
  it('names departments, people and choices, and leaves photos to the pictures', () => {
    const payload = { department: 'D02', helpers: ['D03', 'D02'], who: 'u-1', how: 'phone', photos: ['ff'] }
    expect(words(event({ payload }))).toEqual(['处置部门=城管科', '协办=环卫所、城管科', '人员=王五', '方式=电话'])
  })
  it('tells the closing condition by its text and scores by department', () => {
    expect(words(event({ action: 'close', payload: { closing_condition: '1' } }))).toEqual(['结案条件=井盖更换完好'])
    expect(words(event({ action: 'score', payload: { scores: { D02: 4, D03: 5 } } }))).toEqual(['评分=城管科 4 分、环卫所 5 分'])
  })
  it('tells a field of another version of the flow by what it is called everywhere', () => {
    expect(words(event({ action: 'gone', payload: { reason: '重复', due_at: '2026-11-12T04:00:00Z', late_department: 'D02' } }))).toEqual([
      '原因=重复',
      '到期=11-12 12:00',
      '超时部门=城管科',
    ])
  })
  it('does not repeat what stands elsewhere', () => {
    const payload = { channel: 'patrol', sent: { x: 1 }, judged_at: at(1), department: 'D02', photos: [] }
    expect(words(event({ action: 'report', payload }))).toEqual([])
  })
  it('tells whom the engine chose and why', () => {
    const assigned = { id: 'u-1', name: '王五', reasons: [{ zh: '当班', en: 'On shift' }, { zh: '距现场 20 米', en: '20 m' }] }
    expect(chosen(event({ payload: { assigned } }))).toEqual({ name: '王五', reasons: ['当班', '距现场 20 米'] })
    expect(words(event({ payload: { assigned } }))).toEqual([])
    expect(chosen(event({}))).toBeNull()
  })
  it('tells the moment a step counts from only where it is another', () => {
    expect(judged(event({ payload: { judged_at: at(2) } }))).toBe('2026-11-12 12:00:00')
    expect(judged(event({}))).toBe('')
  })
  it('lists the photos of a step once', () => {
    expect(photosOf(event({ payload: { photos: ['a', 'b'], photos_after: ['b', 'c'], note: 'x' } }))).toEqual(['a', 'b', 'c'])
  })
  it('knows which steps matter', () => {
    expect(important(event({}))).toBe(true)
    expect(important(event({ action: 'timeout', from_state: 'handling', to_state: 'handling' }))).toBe(false)
    expect(important(event({ action: 'urge', from_state: 'handling', to_state: 'handling' }))).toBe(true)
  })
})

const field = (name: string, type: Field['type'], required = false): Field => ({ name, type, required, label: { zh: name, en: name } })
const dispatch = { fields: [field('department', 'department'), field('note', 'text', true), field('n', 'number'), field('photos', 'photo', true), field('helpers', 'departments')] }

describe('the fields of an action', () => {
  const file = { department: { code: 'D02', name: '城管科' }, assignee: null, tags: ['专项'], facts: { closing_condition: '2', gone: '9' }, closing_conditions: ['1', '2'].map((code) => ({ code, text: code, closing: '' })) }
  it('begin with what is known: the routed department where it may be left as it is, no other', () => {
    expect(initial(field('department', 'department'), file)).toBe('D02')
    expect(initial(field('department', 'department', true), file)).toBe('')
    expect(initial(field('tags', 'tags'), file)).toEqual(['专项'])
    expect(initial(field('helpers', 'departments'), file)).toEqual([])
    expect(initial(field('closing_condition', 'closing_condition'), file)).toBe('2')
    expect(initial(field('gone', 'closing_condition'), file)).toBe('')
  })
  it('offer the campaigns and what the case bears by name', () => {
    const two = (zh: string) => ({ zh, en: zh })
    const tags = tagOptions({ tags: ['C1', 'x'], tag_names: [two('清洁行动'), two('x')] }, [{ code: 'C1', name: two('清洁行动') }, { code: 'C2', name: two('夜查') }])
    expect(tags.map((one) => `${one.value}=${one.label}`)).toEqual(['C1=清洁行动', 'C2=夜查', 'x=x'])
  })
  it('name what is missing and what is no number', () => {
    const draft = { values: { note: '  ', n: 'zwei' }, shots: { photos: [] } }
    expect(gaps(dispatch, draft).map((one) => one.name)).toEqual(['note', 'photos'])
    expect(faults(dispatch, draft).map((one) => one.name)).toEqual(['n'])
  })
  it('want a score for every department that was summoned', () => {
    const score = { fields: [field('scores', 'scores', true)] }
    const draft = { values: { scores: { D02: 4 } }, shots: {} }
    expect(gaps(score, draft, ['D02'])).toEqual([])
    expect(gaps(score, draft, ['D02', 'D05']).map((one) => one.name)).toEqual(['scores'])
  })
  it('are sent in the form the server takes', () => {
    const shot = { sha256: 'aa', name: 'x.jpg', thumb: '' }
    const draft = { values: { department: 'D02', note: ' 请尽快 ', n: '3.5', helpers: [] }, shots: { photos: [shot] } }
    expect(payload(dispatch, draft)).toEqual({ department: 'D02', note: '请尽快', n: 3.5, photos: ['aa'] })
  })
})

/** What a browser keeps for a tab. */
class Store implements Storage {
  private kept = new Map<string, string>()
  full = false
  get length() {
    return this.kept.size
  }
  clear = () => this.kept.clear()
  key = (i: number) => [...this.kept.keys()][i] ?? null
  getItem = (key: string) => this.kept.get(key) ?? null
  removeItem = (key: string) => void this.kept.delete(key)
  setItem(key: string, value: string) {
    if (this.full) throw new DOMException('full', 'QuotaExceededError')
    this.kept.set(key, value)
  }
}

describe('a draft', () => {
  it('is kept by case and action, and none where nothing was typed', () => {
    const store = new Store()
    keepDraft('c1', 'close', { values: { reason: '写了一半' }, shots: {} }, store)
    expect(readDraft('c1', 'close', store)?.values.reason).toBe('写了一半')
    expect(readDraft('c1', 'void', store)).toBeNull()
    expect(readDraft('c2', 'close', store)).toBeNull()
    keepDraft('c1', 'close', { values: { reason: '' }, shots: { photos: [] } }, store)
    expect(store.length).toBe(0)
    keepDraft('c1', 'close', { values: { reason: 'x' }, shots: {} }, store)
    dropDraft('c1', 'close', store)
    expect(readDraft('c1', 'close', store)).toBeNull()
  })
  it('survives nothing but a reload when storage is full, and an unreadable one is none', () => {
    const store = new Store()
    store.setItem('wangge.draft:c1:close', '{"values":')
    expect(readDraft('c1', 'close', store)).toBeNull()
    store.full = true
    expect(() => keepDraft('c1', 'close', { ...emptyDraft(), values: { reason: 'x' } }, store)).not.toThrow()
  })
})

const refusal = (detail: Record<string, unknown>) => new ApiError(409, 'stale_case', '案件已被他人更新', 'Somebody else changed the case', detail)
const STEP = { action: 'close', seq: 5, payload: {} }

describe('sending a step', () => {
  it('sends once however often it is pressed', async () => {
    let sent = 0
    let answer: (file: CaseFile) => void = () => undefined
    const { take, busy } = useSending(() => {
      sent += 1
      return new Promise((done) => (answer = done))
    })
    const first = take('c', STEP, '甲')
    expect(await take('c', STEP, '甲')).toEqual({ ignored: true })
    answer({} as CaseFile)
    expect('done' in (await first)).toBe(true)
    expect(sent).toBe(1)
    expect(busy.value).toBe(false)
  })

  it('tells who was quicker', async () => {
    const { take, stale } = useSending(() => Promise.reject(refusal({ by: '乙', action: 'void', at: at(0), state: 'voided', seq: 6 })))
    expect('refused' in (await take('c', STEP, '甲'))).toBe(true)
    expect(stale.value).toEqual({ by: '乙', action: 'void', at: at(0), state: 'voided' })
    expect(meanwhile(new ApiError(422, 'guard_refuses', '', ''))).toBeNull()
  })

  it('finds its own step done when the answer was lost, and only then', async () => {
    const echo = refusal({ by: '甲', action: 'close', at: at(0), state: 'closed', seq: 6 })
    const answers: unknown[] = [new ApiError(0, 'unreachable', '', ''), echo]
    const lost = useSending(() => Promise.reject(answers.shift()))
    expect('refused' in (await lost.take('c', STEP, '甲'))).toBe(true)
    expect(await lost.take('c', STEP, '甲')).toEqual({ done: null })
    // The same name in another window, and no lost answer: a conflict like any other.
    const other = useSending(() => Promise.reject(echo))
    expect('refused' in (await other.take('c', STEP, '甲'))).toBe(true)
    expect(other.stale.value?.by).toBe('甲')
  })
})
