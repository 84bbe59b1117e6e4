import { describe, expect, it } from 'vitest'

import type { Planned } from '../src/desk/shift/api'
import { byGrid, byPerson, dayOf, monday, moved, plus, spanText, step, stretch, turn } from '../src/desk/shift/days'

const planned = (staff: string, day: string, from: string, hours: number, more: Partial<Planned> = {}): Planned => ({
  staff,
  name: staff,
  username: staff,
  department: '',
  active: true,
  role: 'acceptor',
  duty_grid: null,
  note: '',
  grids: [],
  ...turn(day, from, hours),
  ...more,
})

describe('days', () => {
  it('knows weeks and months across their edges', () => {
    expect(monday('2026-11-25')).toBe('2026-11-23')
    expect(monday('2026-11-23')).toBe('2026-11-23')
    expect(stretch('week', '2027-01-01')).toEqual({ since: '2026-12-28', until: '2027-01-03' })
    expect(stretch('month', '2028-02-15')).toEqual({ since: '2028-02-01', until: '2028-02-29' })
    expect(step('month', '2026-12-31', 1)).toBe('2027-01-01')
    expect(step('month', '2027-01-31', -1)).toBe('2026-12-31')
    expect(step('week', '2026-11-25', 1)).toBe(plus('2026-11-25', 7))
  })

  it('reads moments by the town’s clock, whatever zone they come in', () => {
    expect(dayOf('2026-11-24T16:30:00Z')).toBe('2026-11-25')
    expect(dayOf('2026-11-25T00:30:00+08:00')).toBe('2026-11-25')
    expect(spanText(turn('2026-11-25', '07:00', 8))).toBe('07–15')
    expect(spanText(turn('2026-11-25', '22:30', 9))).toBe('22:30–07:30⁺')
  })
})

describe('a turn moved', () => {
  it('keeps its time of day and length, also over midnight and the end of a month', () => {
    const wish = moved(planned('a', '2026-11-30', '22:00', 9, { note: 'n' }), '2026-12-02', 'b')
    expect(wish).toEqual({ staff: 'b', role: 'acceptor', duty_grid: '', note: 'n', ...turn('2026-12-02', '22:00', 9) })
  })
})

describe('rows', () => {
  const shifts = [
    planned('a', '2026-11-25', '07:00', 8),
    planned('a', '2026-11-25', '20:00', 2),
    planned('b', '2026-11-26', '07:00', 8, { role: 'inspector', grids: ['G1', 'G2'] }),
  ]

  it('stand under their post in the given order, people without a turn too', () => {
    const rows = byPerson(shifts, [{ id: 'c', name: 'c', role: 'acceptor' }], ['inspector', 'acceptor'])
    expect(rows.map((r) => [r.group, r.label])).toEqual([['inspector', 'b'], ['acceptor', 'c'], ['acceptor', 'a']])
    expect(rows[2]!.cells.get('2026-11-25')).toHaveLength(2)
  })

  it('show a turn in every grid it looks after', () => {
    const rows = byGrid(shifts, [{ code: 'G1', name: '一' }, { code: 'G3', name: '三' }])
    expect(rows.map((r) => [...r.cells.keys()])).toEqual([['2026-11-26'], []])
  })
})
