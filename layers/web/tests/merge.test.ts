import { describe, expect, it } from 'vitest'

import { differences, merge } from '../src/desk/definitions/merge'

const entry = (id: string, department: string) => ({ id, department })
const base = [entry('a', '1'), entry('b', '1'), entry('c', '1'), entry('d', '1')]

describe('two editors of one list', () => {
  it('keeps what only one of them changed, added or deleted', () => {
    const mine = [entry('a', '2'), entry('new', '9'), entry('b', '1'), entry('d', '1')]
    const theirs = [entry('a', '1'), entry('b', '3'), entry('c', '1'), entry('other', '8')]
    const { entries, clashes } = merge(base, mine, theirs)
    expect(entries).toEqual([entry('a', '2'), entry('new', '9'), entry('b', '3'), entry('other', '8')])
    expect(clashes).toEqual([])
  })

  it('leaves theirs and tells what both changed', () => {
    const mine = [entry('a', '2'), entry('b', '1'), entry('c', '5')]
    const theirs = [entry('a', '3'), entry('b', '1'), entry('d', '4')]
    const { entries, clashes } = merge(base, mine, theirs)
    expect(entries).toEqual([entry('a', '3'), entry('b', '1'), entry('d', '4')])
    expect(clashes).toEqual([
      { id: 'a', mine: entry('a', '2'), theirs: entry('a', '3') },
      { id: 'c', mine: entry('c', '5'), theirs: null },
      { id: 'd', mine: null, theirs: entry('d', '4') },
    ])
  })

  it('finds no clash where both did the same, in whatever order of keys', () => {
    const mine = [{ department: '7', id: 'a' }, ...base.slice(1)]
    const theirs = [entry('a', '7'), ...base.slice(1)]
    expect(merge(base, mine, theirs)).toEqual({ entries: theirs, clashes: [] })
  })

  it('counts what differs', () => {
    const after = [entry('a', '1'), entry('b', '2'), entry('x', '1'), entry('d', '1')]
    expect(differences(base, after)).toEqual({ added: new Set(['x']), changed: new Set(['b']), removed: new Set(['c']) })
  })
})
