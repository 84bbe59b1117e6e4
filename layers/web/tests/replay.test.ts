import { expect, test } from 'vitest'

import { before, markAt, spans, stood, trail, turns, walkers } from '../src/wall/replay/player'

const replay = {
  people: [
    // Fixes at 0, 10, 20, then nothing until 100 and 110; a thousandth of a degree east with each.
    { id: 'a', name: '甲', exact: true, at: [0, 10, 10, 80, 10], lon: [116_000_000, 1000, 1000, 1000, 1000], lat: [40_000_000, 0, 0, 0, 0], breaks: [2, 4] },
    { id: 'b', name: '乙', exact: false, at: [5, 60], lon: [116_000_000, 2000], lat: [40_000_000, 0], breaks: [1] },
  ],
}
const [a, b] = walkers(replay)

test('a place is told between fixes, never across a gap', () => {
  expect(stood(a!, -1)).toEqual(null)
  expect(stood(a!, 5)).toEqual({ place: [116.0005, 40], known: true, since: 5 })
  expect(stood(a!, 20)).toEqual({ place: [116.002, 40], known: true, since: 20 })
  expect(stood(a!, 60)).toEqual({ place: [116.002, 40], known: false, since: 20 })
  expect(stood(a!, 100)).toEqual({ place: [116.003, 40], known: true, since: 100 })
  expect(stood(a!, 500)).toEqual({ place: [116.004, 40], known: false, since: 110 })
})

test('coarse places are stood in, not walked between', () => {
  expect(stood(b!, 40)).toEqual({ place: [116, 40], known: true, since: 40 })
})

test('spans and trails end where a gap begins', () => {
  expect(spans(a!)).toEqual([[0, 20], [100, 110]])
  expect(trail(a!, 105, 1000).map((line) => line.length)).toEqual([3, 2])
  expect(trail(a!, 60, 1000).map((line) => line.length)).toEqual([3])
  expect(trail(a!, 60, 30)).toEqual([])
})

test('a case has no mark before it was reported', () => {
  const marks: [number, string, number][] = [[10, 'new', 0], [30, 'onTime', 1]]
  expect(markAt(marks, 9)).toEqual(null)
  expect(markAt(marks, 10)).toEqual(['new', 0])
  expect(markAt(marks, 99)).toEqual(['onTime', 1])
  expect(turns([{ marks }, { marks: [[0, 'late', 1]] }])).toEqual([0, 10, 30])
})

test('before is the last of those not after', () => {
  const values = [1, 2, 2, 5]
  for (let value = 0; value < 7; value += 0.5)
    expect(before(values, value)).toBe(values.filter((one) => one <= value).length - 1)
})
