import { expect, test, vi } from 'vitest'

import { faultWords } from '../src/desk/definitions/faults'

vi.hoisted(() => {
  vi.stubGlobal('location', { search: '' })
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
  vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}) })
})

/** What the server's own parsers say (gis/bodies.py, forms.py, routing.py, catalogue.py, bindings.py, campaigns.py). */
const SAID: readonly (readonly [string, string])[] = [
  ['starts is missing or is not a str', '缺少“starts”，或其类型不是 str'],
  ['name needs zh and en, and nothing else', '“name”须有中文（zh）和英文（en）两种写法'],
  ['unknown: D99', '没有“D99”'],
  ['unknown role: king', '没有“king”'],
  ['unknown field colour, size', '没有“colour, size”这一项'],
  ['unknown target nobody; known: owner, competent', '没有派遣对象“nobody”，可用：owner, competent'],
  ['rules in a circle: a → b → a', 'rules 互相指来指去：a → b → a'],
  ['category code must be four digits in group 05: 5', '大类 05 的小类代码须为其下四位数字：5'],
  ['kind must be one of component, event, not thing', '“kind”须为以下之一：component, event, not thing'],
  ['area must be * or class:, village:, duty: or grid: and a code: moon', '区域“moon”写法不对：*、class:、village:、duty: 或 grid: 加代码'],
  ['length is a number and goes with type number', '“length”只用于类型 number'],
  ['field order_no is defined twice', '字段“order_no”定义了两次'],
]

test('a fault of a definition is told in Chinese, with what it names', () => {
  for (const [why, words] of SAID) expect(faultWords(why)).toBe(words)
  expect(faultWords('something nobody foresaw')).toBe('something nobody foresaw')
})
