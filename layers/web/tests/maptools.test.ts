/** The map's tools: figures as people read them, the printed page, places of shapes. */
import { describe, expect, it, vi } from 'vitest'

import { fileName } from '../src/shared/api'
import { bearing, ring } from '../src/wall/tools/overlay'
import { pictureAsPdf } from '../src/wall/tools/pdf'
import { metresPerPixel, niceLength } from '../src/wall/tools/sheet'
import { metres, squareMetres } from '../src/wall/tools/words'

// The language is remembered by the browser: here there is none.
vi.hoisted(() => {
  vi.stubGlobal('location', { search: '' })
  vi.stubGlobal('localStorage', { getItem: () => null })
  vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}) })
})

describe('figures', () => {
  it('change their unit where people do', () => {
    expect([0.5, 999.994, 1000, 12_345.6].map(metres)).toEqual(['0.50 m', '999.99 m', '1.000 km', '12.346 km'])
    expect([9999, 10_000, 1_234_567].map(squareMetres)).toEqual(['9,999.0 m²', '1.00 ha', '1.235 km²'])
  })
  it('have scale bars of 1, 2 or 5 and noughts, never too long, never less than two fifths', () => {
    for (let most = 0.013; most < 1e7; most *= 1.37) {
      const length = niceLength(most)
      expect(length).toBeLessThanOrEqual(most)
      expect(length).toBeGreaterThanOrEqual(most * 0.39)
      expect(['1', '2', '5']).toContain(length.toExponential()[0])
    }
  })
  it('measure the ground under a pixel', () => {
    // At the equator one world of 512 pixels is 40,075 km around.
    expect(metresPerPixel(0, 0, 1)).toBeCloseTo(78_271.5, 0)
    expect(metresPerPixel(60, 1, 2)).toBeCloseTo(78_271.5 / 8, 0)
  })
})

describe('shapes', () => {
  it('point the right way', () => {
    expect(bearing([116.6, 40.1], [116.6, 40.2])).toBeCloseTo(0)
    expect(bearing([116.6, 40.1], [116.7, 40.1])).toBeCloseTo(90)
    expect(bearing([116.6, 40.1], [116.5, 40.0])).toBeCloseTo(-142.6, 0)
  })
  it('are closed rings of the radius given', () => {
    const edge = ring([116.6, 40.1], 500)
    expect(edge[0]![0]).toBeCloseTo(edge[edge.length - 1]![0], 9)
    expect((edge[0]![1] - 40.1) * 111_320).toBeCloseTo(500, 3)
  })
})

describe('a page', () => {
  it('is a PDF whose table finds every object and whose picture is whole', async () => {
    const jpeg = new Uint8Array([0xff, 0xd8, 1, 2, 3, 0xff, 0xd9])
    const bytes = new Uint8Array(await pictureAsPdf(jpeg, [200, 100], [297, 210], '仁和镇 🏠').arrayBuffer())
    const text = Array.from(bytes, (b) => String.fromCharCode(b)).join('')
    expect(text.startsWith('%PDF-1.4')).toBe(true)
    const table = Number(/startxref\n(\d+)/.exec(text)![1])
    expect(text.slice(table, table + 4)).toBe('xref')
    const starts = [...text.slice(table).matchAll(/(\d{10}) 00000 n /g)].map((m) => Number(m[1]))
    expect(starts).toHaveLength(6)
    starts.forEach((start, i) => expect(text.slice(start).startsWith(`${i + 1} 0 obj`)).toBe(true))
    expect(text).toContain(`/Length ${jpeg.length} >>\nstream\n${String.fromCharCode(...jpeg)}\nendstream`)
    expect(text).toContain('/MediaBox [0 0 841.89 595.28]')
    expect(text).toContain('<FEFF4ec1548c95470020d83cdfe0>')
  })
})

it('reads the name of a file in any script', () => {
  expect(fileName("attachment; filename=\"-1.kml\"; filename*=UTF-8''%E9%98%B2%E6%B1%9B.kml")).toBe('防汛.kml')
  expect(fileName('attachment; filename="wangge-cases.xlsx"')).toBe('wangge-cases.xlsx')
  expect(fileName('')).toBe('export')
})
