import { beforeEach, describe, expect, it, vi } from 'vitest'

import { setLanguage } from '../src/shared/i18n'
import { departments } from '../src/shared/names'
import { reasonsOf } from '../src/shared/trace'

// The language is remembered by the browser: here there is none.
vi.hoisted(() => {
  vi.stubGlobal('location', { search: '' })
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
  vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}) })
})

const MACHINE =
  'rule=C01 department=D27 key=component:01/village:110113003201/*/hotline target=@maintenance skipped=7:near(area),gas(component_unit)' +
  ' facts=component:0101/110113003001001/G01/110113003201/A/hotline/2 units=D19//D27'
const flat = (trace: string[]) => reasonsOf(trace).map(({ lead, parts }) => [lead, ...parts.map(({ label, name, code }) => [label, name, code].filter(Boolean).join(' '))].join('|'))

describe('the reasons of a routing', () => {
  beforeEach(() => {
    departments.value = [{ code: 'D27', name: '养护公司' }]
  })

  it('are in the language of the reader, with names and codes', () => {
    setLanguage('en')
    expect(flat(['事实：…', MACHINE])).toEqual([
      'Facts|Components 0101|Unit grid 110113003001001|Duty grid G01|Village 110113003201|Area class A|Hotline|Serious|Competent unit D19|Maintaining unit 养护公司 D27',
      'By rule|C01|Components 01|Village 110113003201|Hotline',
      'Department|Maintaining unit 养护公司 D27',
      'Not by the more specific rule|near|for another area only',
      'Not by the more specific rule|gas|for components of another unit only',
      '5 more specific rules do not apply',
    ])
  })

  it('say when no rule applied', () => {
    setLanguage('zh')
    expect(flat(['rule=- department=- skipped=0:- facts=event:0102/1/2/3/B/patrol/1']).at(-1)).toBe('没有适用的规则，由派遣员确定部门')
  })

  it('are told as they were written where the line for machines says too little', () => {
    expect(flat(['事实：旧', '依据规则 C01', 'rule=C01 department=D27 skipped=0:-'])).toEqual(['事实：旧', '依据规则 C01'])
  })
})
