/**
 * Forms as the server defines them: which fields show, what they may hold, what is missing. Pure; the same rules as
 * gis/forms.py, which judges in the end. A test compares the two on forms and values made at random.
 */
import type { Two } from './types'

export type FieldType = 'text' | 'number' | 'choice' | 'code' | 'date' | 'phone' | 'photo' | 'boolean'
export type Value = string | number | boolean | string[]
export type Values = Record<string, Value | null | undefined>
export type FaultCode = 'required' | 'unknown' | 'type' | 'length' | 'choice' | 'range' | 'date' | 'phone' | 'photo'

export interface FormChoice {
  value: string
  label: Two
  parent?: string
}

export interface FormField {
  name: string
  type: FieldType
  label: Two
  required?: boolean
  length?: number
  min?: number
  max?: number
  choices?: FormChoice[]
  list?: string
  within?: string
  source?: string
  hint?: Two
  personal?: boolean
  external?: boolean
  deferrable?: boolean
}

export interface FormRule {
  when: Record<string, Value | Value[]>
  show?: string[]
  require?: string[]
  fill?: Record<string, Value>
  restrict?: Record<string, string[]>
}

export interface FormSchema {
  code: string
  name: Two
  fields: FormField[]
  rules?: FormRule[]
  lists?: Record<string, FormChoice[]>
}

/** One field as it stands: shown, asked for, with the choices left and the value it has. */
export interface FieldState {
  field: FormField
  required: boolean
  choices: FormChoice[]
  /** The value in its one form; undefined where there is none or it has a fault. */
  value: Value | undefined
  /** Filled by a rule, not by the person. */
  filled: boolean
  fault: FaultCode | null
}

export interface FormState {
  /** The fields that show, in the form's order. */
  fields: FieldState[]
  values: Record<string, Value>
  faults: Record<string, FaultCode>
  /** Missing material that was promised. */
  promised: string[]
}

const LENGTH = 200
const PHOTOS = 9
const ANY = '*'
const SHA256 = /^[0-9a-f]{64}$/
const PHONE = /^[0-9０-９ +()（）－\u3000-]+$/
const DATE = /^\d{4}-\d{2}-\d{2}$/
// eslint-disable-next-line no-control-regex
const UNSTORABLE = /\0|[\ud800-\udfff]/u
const EDGES = /^[ \t\r\n\u00a0\u3000]+|[ \t\r\n\u00a0\u3000]+$/g

const listed = <T>(value: T | T[] | undefined): T[] => (value === undefined ? [] : Array.isArray(value) ? value : [value])
const trimmed = (value: unknown): unknown => (typeof value === 'string' ? value.replace(EDGES, '') : value)
const empty = (value: unknown): boolean =>
  value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0)

/** A telephone number in its one form: digits only, without the country's 86. */
export function plainPhone(text: string): string {
  const digits = text.normalize('NFKC').replace(/[^0-9]/g, '')
  if (digits.length <= 11 || !/^(86|0086)/.test(digits)) return digits
  return digits.replace(/^00/, '').replace(/^86/, '')
}

function isDate(text: string): boolean {
  if (!DATE.test(text) || text.startsWith('0000')) return false
  const moment = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(moment.getTime()) && moment.toISOString().startsWith(text)
}

/** The value in its one form, or what is wrong with it. */
function judge(field: FormField, value: unknown, allowed: readonly FormChoice[]): { value?: Value; fault?: FaultCode } {
  switch (field.type) {
    case 'boolean':
      return typeof value === 'boolean' ? { value } : { fault: 'type' }
    case 'number':
      if (typeof value !== 'number' || !Number.isFinite(value)) return { fault: 'type' }
      return value < (field.min ?? -Infinity) || value > (field.max ?? Infinity) ? { fault: 'range' } : { value }
    case 'photo': {
      const sound = Array.isArray(value) && value.length <= PHOTOS && value.every((one) => typeof one === 'string' && SHA256.test(one))
      return sound ? { value: [...new Set(value as string[])] } : { fault: 'photo' }
    }
  }
  if (typeof value !== 'string' || UNSTORABLE.test(value)) return { fault: 'type' }
  if ([...value].length > (field.length ?? LENGTH)) return { fault: 'length' }
  switch (field.type) {
    case 'choice':
    case 'code':
      return allowed.some((choice) => choice.value === value) ? { value } : { fault: 'choice' }
    case 'date':
      return isDate(value) ? { value } : { fault: 'date' }
    case 'phone': {
      const digits = plainPhone(value)
      return PHONE.test(value) && digits.length >= 5 && digits.length <= 15 ? { value: digits } : { fault: 'phone' }
    }
  }
  return { value }
}

/** The fields so that each comes after those it depends on. The server has refused forms that go in a circle. */
function order(schema: FormSchema): FormField[] {
  const fields = new Map(schema.fields.map((field) => [field.name, field]))
  const done = new Set<FormField>()
  const visit = (field: FormField | undefined): void => {
    if (!field || done.has(field)) return
    if (field.within) visit(fields.get(field.within))
    for (const rule of schema.rules ?? [])
      if (changes(rule).includes(field.name)) for (const name of Object.keys(rule.when)) visit(fields.get(name))
    done.add(field)
  }
  schema.fields.forEach(visit)
  return [...done]
}

const changes = (rule: FormRule): string[] => [
  ...(rule.show ?? []),
  ...(rule.require ?? []),
  ...Object.keys(rule.fill ?? {}),
  ...Object.keys(rule.restrict ?? {}),
]

/** Judges values: what shows, filled and in its one form, and every fault. */
export function check(schema: FormSchema, given: Values, promises: readonly string[] = []): FormState {
  const held: Record<string, Value> = {}
  const faults: Record<string, FaultCode> = {}
  const states = new Map<string, FieldState>()
  const promised: string[] = []
  const rules = schema.rules ?? []
  const has = (name: string) => Object.hasOwn(held, name)
  const holds = (rule: FormRule): boolean =>
    Object.entries(rule.when).every(([name, wanted]) => {
      const values = listed(wanted as Value | Value[])
      return has(name) && (values.includes(ANY) || values.includes(held[name]!))
    })
  const known = new Set(schema.fields.map((field) => field.name))
  for (const name of Object.keys(given)) if (!known.has(name)) faults[name] = 'unknown'

  for (const field of order(schema)) {
    const { name } = field
    const active = rules.filter(holds)
    if (rules.some((rule) => rule.show?.includes(name)) && !active.some((rule) => rule.show?.includes(name))) continue
    const required = Boolean(field.required) || active.some((rule) => rule.require?.includes(name))
    const every = field.choices ?? (field.list ? (schema.lists?.[field.list] ?? []) : [])
    const above = field.within && has(field.within) ? held[field.within] : ''
    const choices = every
      .filter((choice) => !field.within || (choice.parent ?? '') === above)
      .filter((choice) => active.every((rule) => rule.restrict?.[name]?.includes(choice.value) ?? true))
    let value = trimmed(given[name])
    const filling = empty(value) ? active.find((rule) => rule.fill && Object.hasOwn(rule.fill, name)) : undefined
    if (filling) value = filling.fill![name]
    const state: FieldState = { field, required, choices, value: undefined, filled: Boolean(filling), fault: null }
    states.set(name, state)
    if (empty(value)) {
      if (!required) continue
      if (field.deferrable && promises.includes(name)) promised.push(name)
      else state.fault = faults[name] = 'required'
      continue
    }
    const judged = judge(field, value, choices)
    if (judged.fault) state.fault = faults[name] = judged.fault
    else state.value = held[name] = judged.value!
  }
  const shown = schema.fields.filter((field) => states.has(field.name)).map((field) => states.get(field.name)!)
  return { fields: shown, values: held, faults, promised: promised.sort() }
}
