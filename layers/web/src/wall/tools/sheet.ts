/** The printed sheet: the map as it is, cut to the paper, with title, legend, scale, north, date and filter. */
import type { Map as MapLibreMap } from 'maplibre-gl'

export interface Sign {
  text: string
  /** A picture of the map's, or a colour of a line or an area. */
  image?: string
  line?: string
  ramp?: readonly string[]
}

export interface Sheet {
  title: string
  legend: string
  signs: Sign[]
  /** Lines at the foot, left to right. */
  foot: string[]
  scale: (ratio: number) => string
  /** Width and height in millimetres. */
  paper: [number, number]
  /** A dark map is printed light: paper is white and ink dear. A picture from above stays as it is. */
  light: boolean
}

/** Pixels for each millimetre: 200 dots an inch. */
const DENSITY = 200 / 25.4
const MARGIN = 8
const FONT = "'Noto Sans SC', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', sans-serif"

/** The map's pixels in the frame in which they are drawn; later the browser has thrown them away. */
function photograph(map: MapLibreMap): Promise<HTMLCanvasElement> {
  return new Promise((done) => {
    map.once('render', () => {
      const seen = map.getCanvas()
      const kept = Object.assign(document.createElement('canvas'), { width: seen.width, height: seen.height })
      kept.getContext('2d')!.drawImage(seen, 0, 0)
      done(kept)
    })
    map.triggerRepaint()
  })
}

/** The largest of 1, 2, 5 × 10ⁿ that is no more than `most`. */
export function niceLength(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most))
  return [5, 2, 1].map((n) => n * power).find((n) => n <= most) ?? power
}

/** Metres on the ground of one pixel of a map's canvas at its middle. */
export const metresPerPixel = (latitude: number, zoom: number, pixelRatio: number): number =>
  (40_075_016.7 * Math.cos((latitude * Math.PI) / 180)) / (512 * 2 ** zoom) / pixelRatio

/** Width and height in millimetres of the map on a paper. */
export const frameOf = ([width, height]: [number, number]): { w: number; h: number } => ({ w: width - MARGIN * 2, h: height - MARGIN * 2 - 22 })

export async function printed(map: MapLibreMap, sheet: Sheet): Promise<HTMLCanvasElement> {
  const mm = (n: number) => n * DENSITY
  const [width, height] = [Math.round(mm(sheet.paper[0])), Math.round(mm(sheet.paper[1]))]
  const canvas = Object.assign(document.createElement('canvas'), { width, height })
  const c = canvas.getContext('2d')!
  const write = (text: string, x: number, y: number, size: number, weight = 400, align: CanvasTextAlign = 'left') => {
    c.font = `${weight} ${mm(size)}px ${FONT}`
    c.textAlign = align
    c.fillText(text, mm(x), mm(y), mm(sheet.paper[0] - MARGIN * 2))
  }
  c.fillStyle = '#ffffff'
  c.fillRect(0, 0, width, height)
  c.fillStyle = '#10161c'
  c.textBaseline = 'alphabetic'
  write(sheet.title, sheet.paper[0] / 2, MARGIN + 7, 7, 600, 'center')

  const box = { x: MARGIN, y: MARGIN + 11, ...frameOf(sheet.paper) }
  const seen = await photograph(map)
  const shrink = Math.max(mm(box.w) / seen.width, mm(box.h) / seen.height)
  const [cutW, cutH] = [mm(box.w) / shrink, mm(box.h) / shrink]
  c.imageSmoothingQuality = 'high'
  c.drawImage(seen, (seen.width - cutW) / 2, (seen.height - cutH) / 2, cutW, cutH, mm(box.x), mm(box.y), mm(box.w), mm(box.h))
  drawLegend(c, map, sheet, box, mm, write)
  drawNorth(c, box, mm, write)
  const ground = metresPerPixel(map.getCenter().lat, map.getZoom(), map.getPixelRatio()) / shrink
  drawScale(c, sheet, box, ground * DENSITY, mm, write)
  if (sheet.light) {
    // Dark becomes light and keeps its hue: map, legend, north and scale alike, so that they stay of one piece.
    const area = [Math.floor(mm(box.x)), Math.floor(mm(box.y)), Math.ceil(mm(box.w)), Math.ceil(mm(box.h))] as const
    const kept = Object.assign(document.createElement('canvas'), { width: area[2], height: area[3] })
    kept.getContext('2d')!.drawImage(canvas, ...area, 0, 0, area[2], area[3])
    c.filter = 'invert(1) hue-rotate(180deg)'
    c.drawImage(kept, area[0], area[1])
    c.filter = 'none'
  }
  c.lineWidth = mm(0.25)
  c.strokeStyle = '#10161c'
  c.strokeRect(mm(box.x), mm(box.y), mm(box.w), mm(box.h))

  c.fillStyle = '#3a4652'
  sheet.foot.forEach((line, i) => write(line, MARGIN, sheet.paper[1] - MARGIN - 4 + i * 4, 3))
  return canvas
}

type Mm = (n: number) => number
type Write = (text: string, x: number, y: number, size: number, weight?: number, align?: CanvasTextAlign) => void
interface Box {
  x: number
  y: number
  w: number
  h: number
}

function drawLegend(c: CanvasRenderingContext2D, map: MapLibreMap, sheet: Sheet, box: Box, mm: Mm, write: Write): void {
  if (!sheet.signs.length) return
  c.font = `400 ${mm(3)}px ${FONT}`
  const widest = Math.max(...sheet.signs.map((sign) => c.measureText(sign.text).width)) / mm(1)
  const size = { w: Math.max(40, widest + 13), h: 8 + sheet.signs.length * 5 }
  const at = { x: box.x + 3, y: box.y + box.h - size.h - 3 }
  c.fillStyle = '#1b242df0'
  c.fillRect(mm(at.x), mm(at.y), mm(size.w), mm(size.h))
  c.fillStyle = '#ffffff'
  write(sheet.legend, at.x + 3, at.y + 5, 3.4, 600)
  sheet.signs.forEach((sign, i) => {
    const y = at.y + 9.5 + i * 5
    const picture = sign.image ? map.getImage(sign.image) : null
    if (picture?.data && 'data' in picture.data) {
      const { width, height, data } = picture.data
      const small = Object.assign(document.createElement('canvas'), { width, height })
      small.getContext('2d')!.putImageData(new ImageData(new Uint8ClampedArray(data), width, height), 0, 0)
      const side = Math.min(4, (4 * width) / height)
      c.drawImage(small, mm(at.x + 5 - side / 2), mm(y - 3.2), mm(side), mm((side * height) / width))
    } else if (sign.ramp) {
      const fade = c.createLinearGradient(mm(at.x + 2.5), 0, mm(at.x + 8), 0)
      sign.ramp.forEach((colour, n) => fade.addColorStop(n / (sign.ramp!.length - 1), colour))
      c.fillStyle = fade
      c.fillRect(mm(at.x + 2.5), mm(y - 2.4), mm(5.5), mm(2.4))
      c.fillStyle = '#ffffff'
    } else {
      c.strokeStyle = sign.line ?? '#ffffff'
      c.lineWidth = mm(0.5)
      c.beginPath()
      c.moveTo(mm(at.x + 2.5), mm(y - 1.2))
      c.lineTo(mm(at.x + 8), mm(y - 1.2))
      c.stroke()
    }
    write(sign.text, at.x + 10, y, 3)
  })
}

function drawNorth(c: CanvasRenderingContext2D, box: Box, mm: Mm, write: Write): void {
  const [x, y] = [box.x + box.w - 9, box.y + 5]
  c.fillStyle = '#1b242df0'
  c.fillRect(mm(x - 5), mm(y - 2), mm(10), mm(17))
  c.fillStyle = '#ffffff'
  c.beginPath()
  c.moveTo(mm(x), mm(y))
  c.lineTo(mm(x + 3), mm(y + 8))
  c.lineTo(mm(x), mm(y + 6))
  c.lineTo(mm(x - 3), mm(y + 8))
  c.fill()
  write('N', x, y + 13, 4, 600, 'center')
}

/** `metres` on the ground of one millimetre of the paper. */
function drawScale(c: CanvasRenderingContext2D, sheet: Sheet, box: Box, metres: number, mm: Mm, write: Write): void {
  const length = niceLength(metres * 45)
  const wide = length / metres
  const [x, y] = [box.x + box.w - wide - 8, box.y + box.h - 8]
  c.fillStyle = '#1b242df0'
  c.fillRect(mm(x - 4), mm(y - 8), mm(wide + 8), mm(13))
  c.fillStyle = '#ffffff'
  c.fillRect(mm(x), mm(y), mm(wide / 2), mm(1.2))
  c.strokeStyle = '#ffffff'
  c.lineWidth = mm(0.25)
  c.strokeRect(mm(x), mm(y), mm(wide), mm(1.2))
  write('0', x, y - 1.2, 2.8)
  write(length >= 1000 ? `${length / 1000} km` : `${length} m`, x + wide, y - 1.2, 2.8, 400, 'right')
  write(sheet.scale(Math.round((metres * 1000) / 10) * 10), x, y + 4, 2.8)
}
