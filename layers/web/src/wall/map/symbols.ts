/** The map's pictures, drawn here: marks of cases, rings of clusters, people, components. No files, no fonts. */
import type { Map as MapLibreMap } from 'maplibre-gl'

import { COLOUR, COLOUR_ON_LIGHT, MARKS, SHAPE } from '../../shared/lights'

/** Drawn at this density, so that a doubled 4K wall stays sharp. */
const DENSITY = 3
/** Components are the ground cases happen on: quieter than any case. */
export const COMPONENT = '#93a5b5'
const DARK = '#0b1015'
/** What marks are edged with and drawn in on each ground. */
export type Ground = 'dark' | 'light'
const COLOURS = { dark: COLOUR, light: COLOUR_ON_LIGHT } as const
const EDGE = { dark: DARK, light: '#ffffff' } as const

/** Steps of a cluster's ring: shares of late and soon are rounded to one of these many parts, never down to none. */
export const PARTS = 12
const RADII = [17, 21, 26, 31]

function canvas(size: number, draw: (c: CanvasRenderingContext2D) => void): ImageData {
  const element = document.createElement('canvas')
  element.width = element.height = size * DENSITY
  const context = element.getContext('2d', { willReadFrequently: true })
  if (!context) throw new Error('no canvas')
  context.scale(DENSITY, DENSITY)
  draw(context)
  return context.getImageData(0, 0, element.width, element.height)
}

function shape(path: string, size: number, fill: string | null, stroke: string, edge: string = DARK): ImageData {
  return canvas(size, (c) => {
    c.scale(size / 28, size / 28)
    c.translate(2, 2)
    const outline = new Path2D(path)
    c.lineJoin = 'round'
    c.lineWidth = 4
    c.strokeStyle = edge
    c.stroke(outline)
    if (fill) {
      c.fillStyle = fill
      c.fill(outline)
    } else {
      c.lineWidth = 2.5
      c.strokeStyle = stroke
      c.stroke(outline)
    }
  })
}

function ring(radius: number, late: number, soon: number): ImageData {
  const size = radius * 2 + 4
  return canvas(size, (c) => {
    const middle = size / 2
    c.fillStyle = 'rgba(20, 27, 34, 0.92)'
    c.beginPath()
    c.arc(middle, middle, radius, 0, 2 * Math.PI)
    c.fill()
    c.lineWidth = radius * 0.2
    const arc = (from: number, to: number, colour: string) => {
      if (to <= from) return
      c.strokeStyle = colour
      c.beginPath()
      c.arc(middle, middle, radius - c.lineWidth / 2, (from / PARTS - 0.25) * 2 * Math.PI, (to / PARTS - 0.25) * 2 * Math.PI)
      c.stroke()
    }
    arc(0, PARTS, '#5c6b79')
    arc(0, late, COLOUR.late)
    arc(late, Math.min(PARTS, late + soon), COLOUR.soon)
  })
}

/** Six outlines for the six groups of components: told apart by shape, since colour means state. */
export const GROUP_SHAPE: Readonly<Record<string, string>> = {
  '01': 'M12 4A8 8 0 1 1 11.99 4Z',
  '02': 'M12 4L21 20H3Z',
  '03': 'M5 5H19V19H5Z',
  '04': 'M12 3L21 12L12 21L3 12Z',
  '05': 'M12 3L21 10L17.5 20.5H6.5L3 10Z',
  '06': 'M7 4H17L22 12L17 20H7L2 12Z',
}

const PERSON = 'M12 2A4.5 4.5 0 1 1 11.99 2ZM12 12.5C17.5 12.5 20.5 16 20.5 22H3.5C3.5 16 6.5 12.5 12 12.5Z'

function person(state: string): ImageData {
  return canvas(26, (c) => {
    c.scale(26 / 28, 26 / 28)
    c.translate(2, 2)
    const outline = new Path2D(PERSON)
    c.lineWidth = 4
    c.strokeStyle = DARK
    c.stroke(outline)
    if (state === 'moving') {
      c.fillStyle = '#ffffff'
      c.fill(outline)
      return
    }
    c.fillStyle = DARK
    c.fill(outline)
    c.lineWidth = 2
    c.strokeStyle = state === 'still' ? '#ffffff' : '#93a1ae'
    c.setLineDash(state === 'still' ? [] : [2.2, 2.2])
    c.stroke(outline)
  })
}

export const INSPECTOR_STATES = ['moving', 'still', 'silent'] as const

/** Slanted lines: nothing is known of an area that bears them. */
function hatch(): ImageData {
  const size = 8
  return canvas(size, (c) => {
    c.strokeStyle = '#9db0c1'
    c.lineWidth = 1
    // Beyond the edges too, so that one square goes over into the next.
    for (const shift of [-size, 0, size]) {
      c.moveTo(shift - 1, size + 1)
      c.lineTo(shift + size + 1, -1)
    }
    c.stroke()
  })
}

/** A ring that shows every part: what a legend explains rings with. */
export const SAMPLE_RING = 'ring-0-3-2'

/** Adds the fixed pictures and answers for cluster rings (`ring-<size>-<late>-<soon>`) when they are first needed. */
export function addSymbols(map: MapLibreMap, ground: Ground = 'dark'): void {
  const colours = COLOURS[ground]
  const add = (name: string, image: ImageData) => {
    if (!map.hasImage(name)) map.addImage(name, image, { pixelRatio: DENSITY })
  }
  for (const mark of MARKS) add(`mark-${mark}`, shape(SHAPE[mark], 20, mark === 'done' ? null : colours[mark], colours[mark], EDGE[ground]))
  for (const state of INSPECTOR_STATES) add(`person-${state}`, person(state))
  for (const [group, path] of Object.entries(GROUP_SHAPE)) add(`component-${group}`, shape(path, 13, COMPONENT, COMPONENT))
  add('hatch', hatch())
  const addRing = (id: string) => {
    const [, size, late, soon] = id.split('-')
    add(id, ring(RADII[Number(size)] ?? RADII[0]!, Number(late), Number(soon)))
  }
  addRing(SAMPLE_RING)
  map.setMissingStyleImageResolver((id) => {
    const [family] = id.split('-')
    if (family === 'ring') addRing(id)
    else if (family === 'component') add(id, shape(GROUP_SHAPE['01']!, 13, COMPONENT, COMPONENT))
  })
}

/** A small picture of a component group or a person for the legend, as an SVG path in a 24 × 24 box. */
export const personPath = PERSON
