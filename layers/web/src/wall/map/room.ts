/** The part of the map that nothing lies over. Pure. */

/** In pixels from the map's upper left corner. */
export interface Rect {
  left: number
  top: number
  right: number
  bottom: number
}

/** Less than this is no place to show a town in: then it lies under what lies over the map. */
const LEAST = 160

const crosses = (a: Rect, b: Rect) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom

/** Of the rectangles that touch none of `over`, the one in which something `aspect` times as wide as high is drawn
 * largest; of equals the one with most around it. */
export function roomiest(width: number, height: number, over: readonly Rect[], aspect: number): Rect {
  const whole: Rect = { left: 0, top: 0, right: width, bottom: height }
  const lying = over.filter((one) => one.right > one.left && one.bottom > one.top && crosses(one, whole))
  let best = whole
  let most: readonly [number, number] = [0, 0]
  for (const left of [0, ...lying.map((one) => one.right)])
    for (const right of [width, ...lying.map((one) => one.left)])
      for (const top of [0, ...lying.map((one) => one.bottom)])
        for (const bottom of [height, ...lying.map((one) => one.top)]) {
          const room: Rect = { left, top, right, bottom }
          const [across, down] = [right - left, bottom - top]
          const size = Math.min(across, down * aspect)
          if (Math.min(across, down) < LEAST || size < most[0] || (size === most[0] && across * down <= most[1])) continue
          if (lying.some((one) => crosses(one, room))) continue
          best = room
          most = [size, across * down]
        }
  return best
}
