import { describe, expect, it } from 'vitest'

import { queryOf, sceneFor, sceneOf, shows, type Scene } from '../src/desk/list/address'
import { moved, ranged, settled, toggled, visible } from '../src/desk/list/choice'
import { COLUMNS, fitting, remember, remembered, USUAL } from '../src/desk/list/columns'
import { commandOf, type Place } from '../src/desk/list/keys'
import { useRows, type Source } from '../src/desk/list/rows'
import type { CaseItem } from '../src/shared/types'

const scene = (rest: Partial<Scene> = {}): Scene => ({ filter: { status: ['open'] }, order: 'due', task: '', open: '', map: false, ...rest })

describe('the list in the address', () => {
  it.each<Scene>([
    scene(),
    scene({ filter: {} }),
    scene({ filter: { state: ['filed', 'handling'], q: ['a,b 路灯&=1'] }, order: 'newest' }),
    scene({ filter: { bbox: ['116.6', '40.1', '116.7', '40.2'] }, map: true, open: 'x' }),
    scene({ filter: {}, task: 'urge' }),
    scene({ filter: { village: ['1'] }, task: 'urge', open: 'x' }),
  ])('survives the way there and back: %j', (one) => {
    expect(sceneOf(queryOf(one) as Record<string, string>)).toEqual(one)
  })

  it('says nothing only where nothing was said', () => {
    expect(sceneOf({})).toBeNull()
    expect(sceneOf({ lang: 'en' })).toBeNull()
    expect(sceneOf({ status: 'all' })).toEqual(scene({ filter: {} }))
  })

  it('knows the queue it shows, however its filter is written', () => {
    const queue = { state: 'filed', status: 'open' }
    expect(shows(sceneFor(queue, scene()), queue)).toBe(true)
    expect(shows(sceneFor('status=open&state=filed', scene()), queue)).toBe(true)
    expect(shows(scene(), queue)).toBe(false)
    expect(shows(scene({ filter: { state: ['filed'], status: ['open'] }, task: 'urge' }), queue)).toBe(false)
  })
})

describe('the cursor and the ticks', () => {
  const ids = ['a', 'b', 'c', 'd']

  it('moves within the list and begins at an end', () => {
    expect(moved(ids, null, 1)).toBe('a')
    expect(moved(ids, null, -1)).toBe('d')
    expect(moved(ids, 'a', 1)).toBe('b')
    expect(moved(ids, 'd', 10)).toBe('d')
    expect(moved(ids, 'gone', 1)).toBe('a')
    expect(moved([], 'a', 1)).toBeNull()
  })

  it('goes to the next when its case left the list, to the last before it at the end', () => {
    expect(settled(ids, ['a', 'c', 'd'], 'b')).toBe('c')
    expect(settled(ids, ['a', 'd'], 'b')).toBe('d')
    expect(settled(ids, ['a', 'b'], 'd')).toBe('b')
    expect(settled(ids, ['d', 'b'], 'b')).toBe('b')
    expect(settled(ids, [], 'b')).toBeNull()
    expect(settled(ids, ids, null)).toBeNull()
  })

  it('ticks one and many', () => {
    expect([...toggled(new Set(['a']), 'a')]).toEqual([])
    expect([...ranged(ids, new Set(['a']), 'd', 'b')].sort()).toEqual(['a', 'b', 'c', 'd'])
    expect([...ranged(ids, new Set(), 'gone', 'b')]).toEqual(['b'])
  })

  it('draws what is in sight and a little around', () => {
    expect(visible(1000, 0, 360, 36, 2)).toEqual([0, 12])
    expect(visible(1000, 3600, 360, 36, 2)).toEqual([98, 112])
    expect(visible(3, 0, 360, 36)).toEqual([0, 3])
    expect(visible(5, 9000, 360, 36)).toEqual([5, 5])
  })
})

describe('columns', () => {
  it('leave by rank when room is short, and keep their order', () => {
    const all = COLUMNS.map((column) => column.code)
    expect(fitting(all, 1000)).toEqual(COLUMNS)
    expect(fitting(USUAL, 26).map((column) => column.code)).toEqual(['left', 'category', 'description'])
    expect(fitting(USUAL, 29).map((column) => column.code)).toEqual(['left', 'category', 'description', 'state'])
    expect(fitting(USUAL, 1)).toHaveLength(2)
    for (let room = 1; room < 140; room += 7) {
      const kept = fitting(all, room)
      expect(kept.length <= 2 || kept.reduce((n, column) => n + column.width, 0) <= room).toBe(true)
    }
  })

  it('are remembered, unless what was kept is of another time', () => {
    const kept = new Map<string, string>()
    const store = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) }
    expect(remembered(store)).toEqual(USUAL)
    remember(['number', 'left'], store)
    expect(remembered(store)).toEqual(['left', 'number'])
    remember(['long ago'], store)
    expect(remembered(store)).toEqual(USUAL)
  })
})

describe('keys', () => {
  const press = (key: string, more: Partial<KeyboardEvent> = {}) => ({ key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more })
  const list: Place = { typing: false, apart: false, list: true }
  const elsewhere: Place = { ...list, list: false }
  const typing: Place = { ...elsewhere, typing: true }

  it('mean nothing while somebody types, but for leaving', () => {
    for (const key of ['j', 'x', '/', '1', 'Enter', 'ArrowDown']) expect(commandOf(press(key), typing)).toBeNull()
    expect(commandOf(press('Escape'), typing)).toEqual({ do: 'leave' })
    expect(commandOf(press('Escape'), list)).toEqual({ do: 'back' })
    expect(commandOf(press('Escape'), { ...list, apart: true })).toBeNull()
  })

  it('leave arrows and Enter to whatever has the focus', () => {
    expect(commandOf(press('ArrowDown'), elsewhere)).toBeNull()
    expect(commandOf(press('Enter'), elsewhere)).toBeNull()
    expect(commandOf(press('ArrowDown'), list)).toEqual({ do: 'move', by: 1, extend: false })
    expect(commandOf(press('j'), elsewhere)).toEqual({ do: 'move', by: 1, extend: false })
    expect(commandOf(press('J', { shiftKey: true }), list)).toEqual({ do: 'move', by: 1, extend: true })
  })

  it('leave the browser its own', () => {
    for (const more of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }]) expect(commandOf(press('a', more), list)).toBeNull()
    expect(commandOf(press('a'), list)).toEqual({ do: 'act' })
    expect(commandOf(press('?', { shiftKey: true }), list)).toEqual({ do: 'help' })
    expect(commandOf(press('3'), list)).toEqual({ do: 'queue', n: 3 })
  })
})

describe('the rows as they are read', () => {
  const item = (id: string) => ({ id }) as CaseItem
  const all = Array.from({ length: 450 }, (_, i) => item(String(i)))
  const fake = (over: Partial<Source> = {}): Source => ({
    page: (_, cursor, limit) => {
      const from = Number(cursor || 0)
      const next = from + limit < all.length ? String(from + limit) : null
      return Promise.resolve({ items: all.slice(from, from + limit), next })
    },
    total: () => Promise.resolve(all.length),
    ...over,
  })

  it('come page by page to the end, each once', async () => {
    const rows = useRows(fake())
    await rows.show(scene())
    expect([rows.items.value.length, rows.total.value, rows.more.value]).toEqual([100, 450, true])
    await Promise.all([rows.readMore(), rows.readMore()])
    expect(rows.items.value).toHaveLength(200)
    while (rows.more.value) await rows.readMore()
    expect(rows.items.value.map(({ id }) => id)).toEqual(all.map(({ id }) => id))
  })

  it('show a case once that moved down between two pages', async () => {
    const rows = useRows(fake({ page: (_, cursor) => Promise.resolve(cursor ? { items: [item('b'), item('c')], next: null } : { items: [item('a'), item('b')], next: '1' }) }))
    await rows.show(scene())
    await rows.readMore()
    expect(rows.items.value.map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  })

  it('stay when reading them anew fails, and the failure is told', async () => {
    let broken = false
    const rows = useRows(fake({ total: () => (broken ? Promise.reject(new Error('down')) : Promise.resolve(450)) }))
    await rows.show(scene())
    broken = true
    await rows.refresh()
    expect(rows.items.value).toHaveLength(100)
    expect(rows.problem.value).toBeInstanceOf(Error)
    broken = false
    await rows.refresh()
    expect(rows.problem.value).toBeNull()
  })

  it('of an older list never replace those of a newer one', async () => {
    const waiting: (() => void)[] = []
    const rows = useRows(
      fake({
        page: ({ task }) =>
          task ? new Promise((done) => waiting.push(() => done({ items: [item('old')], next: null }))) : Promise.resolve({ items: [item('new')], next: null }),
      }),
    )
    const slow = rows.show(scene({ task: 'urge' }))
    await rows.show(scene())
    waiting.forEach((answer) => answer())
    await slow
    expect(rows.items.value.map(({ id }) => id)).toEqual(['new'])
    expect(rows.loading.value).toBe(false)
  })

  it('of a long list are not taken from under the eyes: it says that it changed', async () => {
    const rows = useRows(fake())
    await rows.show(scene())
    await rows.readMore()
    await rows.readMore()
    await rows.refresh()
    expect([rows.items.value.length, rows.outdated.value]).toEqual([300, true])
    await rows.refresh(true)
    expect([rows.items.value.length, rows.outdated.value]).toEqual([200, false])
  })
})
