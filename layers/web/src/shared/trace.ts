/** Why a department got a case, in the reader's words: read from the line of a trace that is written for machines. */
import { t, word, type MessageKey } from './i18n'
import { nameOf } from './names'

/** A named thing with its code, as `责任网格 G01`. */
export interface Part {
  label?: string
  name?: string
  code?: string
}
export interface Reason {
  lead: string
  parts: Part[]
}

const UNITS = ['competent', 'owner', 'maintenance'] as const

/** The sentences of a trace. One of before the machines' line said everything is told as it was written. */
export function reasonsOf(trace: readonly string[]): Reason[] {
  const told = readOf(trace.at(-1) ?? '')
  const facts = told?.facts?.split('/')
  if (!told || !facts) return trace.filter((line) => !line.startsWith('rule=')).map((lead) => ({ lead, parts: [] }))
  const [category = '', grid = '', duty = '', village = '', areaClass = '', channel = '', severity = ''] = facts
  const units = told.units?.split('/') ?? []
  const found: Reason[] = [
    {
      lead: t('trace.facts'),
      parts: [
        categoryPart(category),
        { label: t('trace.grid'), code: grid },
        ...(duty ? [{ label: t('trace.duty'), code: duty }] : []),
        areaPart(`village:${village}`),
        { label: t('trace.class'), name: areaClass },
        { name: word('channel', channel) },
        { name: word('severity', severity) },
        ...units.flatMap((code, i) => (code ? [unitPart(t(`trace.${UNITS[i] ?? 'owner'}`), code)] : [])),
      ],
    },
  ]
  if (told.key) {
    const [about = '*', area = '*', unit = '*', source = '*'] = told.key.split('/')
    const rest = [...(unit === '*' ? [] : [unitPart(t('trace.competent'), unit)]), ...(source === '*' ? [] : [{ name: word('channel', source) }])]
    found.push({ lead: t('trace.by'), parts: [{ code: told.rule ?? '' }, categoryPart(about), areaPart(area), ...rest] })
    const target = told.target?.startsWith('@') ? word('trace', told.target.slice(1)) : ''
    found.push({ lead: t('trace.to'), parts: [unitPart(target, told.department ?? '')] })
  } else found.push({ lead: t('trace.none'), parts: [] })
  const [count = '0', ...listed] = (told.skipped ?? '').split(':')
  const passed = [...listed.join(':').matchAll(/([^,()]+)\((\w+)\)/g)]
  for (const [, rule = '', why = ''] of passed) found.push({ lead: t('trace.passed'), parts: [{ code: rule }, { name: word('trace.why', why) }] })
  if (Number(count) > passed.length) found.push({ lead: t('trace.more', { n: Number(count) - passed.length }), parts: [] })
  return found
}

function readOf(line: string): Record<string, string> | null {
  if (!line.startsWith('rule=')) return null
  return Object.fromEntries(line.split(' ').map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)]))
}

function categoryPart(category: string): Part {
  const [kind = '', code] = category.split(':')
  if (category === '*') return { name: t('trace.every') }
  if (!code) return { name: t('trace.kind', { kind: word('category', kind) }) }
  const name = nameOf('category', category)
  return { label: word('category', kind), name: name === category ? '' : name, code }
}

function areaPart(area: string): Part {
  const [level = '', code = ''] = area.split(':')
  if (area === '*') return { name: t('trace.town') }
  const label = t(`trace.${level}` as MessageKey)
  if (level !== 'village') return level === 'class' ? { label, name: code } : { label, code }
  const name = nameOf('village', code)
  return { label, name: name === code ? '' : name, code }
}

function unitPart(label: string, code: string): Part {
  const name = nameOf('department', code)
  return { label, name: name === code ? '' : name, code }
}
