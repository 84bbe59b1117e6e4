import { describe, expect, it } from 'vitest'

import { roomiest, type Rect } from '../src/wall/map/room'

const rect = (left: number, top: number, right: number, bottom: number): Rect => ({ left, top, right, bottom })

describe('the room that is left of the map', () => {
  it('is the whole map where nothing lies over it', () => {
    expect(roomiest(800, 600, [], 1)).toEqual(rect(0, 0, 800, 600))
    expect(roomiest(800, 600, [rect(20, 20, 20, 20), rect(-90, 0, -10, 600)], 1)).toEqual(rect(0, 0, 800, 600))
  })

  it('lies beside the layer tree, above a bar and left of a tool', () => {
    const tree = rect(12, 12, 280, 500)
    const bar = rect(12, 700, 1480, 860)
    const tool = rect(1120, 12, 1440, 640)
    expect(roomiest(1500, 880, [tree, bar, tool], 1)).toEqual(rect(280, 0, 1120, 700))
  })

  it('goes under what is small when that shows more than going beside it', () => {
    const search = rect(12, 12, 320, 50)
    expect(roomiest(500, 1000, [search], 1)).toEqual(rect(0, 50, 500, 1000))
    expect(roomiest(1000, 500, [search], 1)).toEqual(rect(320, 0, 1000, 500))
  })

  it('holds what is wide and low otherwise than what is high', () => {
    const corner = rect(0, 0, 300, 300)
    expect(roomiest(800, 600, [corner], 4)).toEqual(rect(0, 300, 800, 600))
    expect(roomiest(800, 600, [corner], 0.25)).toEqual(rect(300, 0, 800, 600))
  })

  it('is under everything where no place is left', () => {
    expect(roomiest(390, 500, [rect(0, 0, 390, 480)], 1)).toEqual(rect(0, 0, 390, 500))
  })
})
