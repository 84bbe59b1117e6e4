/** What the server says is wrong with a definition, in the reader's language; what is not here is shown as it is said. */
import { t, type MessageKey } from '../../shared/i18n'

/** The first that fits counts: the general ones stand behind those that say more. */
const FAULTS: readonly (readonly [RegExp, MessageKey])[] = [
  [/^must be a mapping$/, 'fault.mapping'],
  [/^(\S+) is missing or is not a (\S+)$/, 'fault.type'],
  [/^(\S+) needs zh and en, and nothing else$/, 'fault.words'],
  [/^(\S+) must be a list of texts, each once$/, 'fault.texts'],
  [/^(.+) in a circle: (.+)$/, 'fault.circle'],
  [/^unknown target ([^;]+); known: (.+)$/, 'fault.target'],
  [/^unknown field (.+)$/, 'fault.field'],
  [/^unknown(?: [^:]+)?: (.+)$/, 'fault.unknown'],
  [/^no such area in the town: (.+)$/, 'fault.area'],
  [/^a category without conditions$/, 'fault.conditions'],
  [/^the id is already that of (.+)$/, 'fault.id'],
  [/^rule (\S+) .* is already about/, 'fault.about'],
  [/^bindings\[(\d+)\] is already about the same$/, 'fault.bound'],
  [/^a list of bindings is needed$/, 'fault.bindings'],
  [/^a binding is a mapping with a workflow$/, 'fault.binding'],
  [/^(?:category must be \*, a kind, or a kind with 2 or 4 digits|no category): (.+)$/, 'fault.category'],
  [/^(?:area must be [^:]+(?::[^:]+)*|no area): (\S+)$/, 'fault.place'],
  [/^it ends before it starts$/, 'fault.ends'],
  [/^no date: (.+)$/, 'fault.date'],
  [/^a campaign needs categories and areas$/, 'fault.campaign'],
  [/^group code must be two digits and used once: (.+)$/, 'fault.group'],
  [/^category code used twice: (.+)$/, 'fault.twice'],
  [/^category code must be four digits in group (\S+): (.+)$/, 'fault.four'],
  [/^(\S+) must be one of (.+)$/, 'fault.one'],
  [/^category (\S+) has no name$/, 'fault.noname'],
  [/^a condition has 7 entries: (.+)$/, 'fault.condition'],
  [/^severity must be 1, 2 or 3: (.+)$/, 'fault.severity'],
  [/^needs conditions, each with its own code$/, 'fault.codes'],
  [/^a reason is needed$/, 'fault.reason'],
  [/^kind and code must say what folder and file name say$/, 'fault.folder'],
  [/^field (\S+) is defined twice$/, 'fault.defined'],
  [/^only one field is the channel\'s own number$/, 'fault.external'],
  [/^(\S+) is already the form of (.+)$/, 'fault.form'],
  [/^a field\'s name is lower-case letters/, 'fault.fieldname'],
  [/^(\S+) (?:is a number and )?goes with type (.+)$/, 'fault.goes'],
  [/^min is above max$/, 'fault.range'],
  [/^length must be from 1 to (\d+)$/, 'fault.length'],
  [/^needs choices, each with its own value/, 'fault.choices'],
  [/^a rule needs when, and what then$/, 'fault.rule'],
  [/^(\S+) has no choices to restrict$/, 'fault.restrict'],
  [/^(.+) is no value of (\S+)$/, 'fault.value'],
  [/^(?:question|option) (\S+) is (?:asked|offered) twice$/, 'fault.asked'],
  [/^never asked: (.+)$/, 'fault.reached'],
  [/^question (\S+) has no options$/, 'fault.options'],
  [/^an option leads to a next question or names a category/, 'fault.leads'],
  [/^must be above 0 and at most (.+)$/, 'fault.most'],
  [/^a (?:rule is a mapping|duty list needs a list of rules)$/, 'fault.duty'],
  [/^(\S+) must be a text(?:, not (.+))?$/, 'fault.text'],
  [/^co_departments must be a list of department codes$/, 'fault.helpers'],
  [/^exactly one must be in force$/, 'fault.force'],
]

export function faultWords(why: string): string {
  for (const [form, key] of FAULTS) {
    const found = form.exec(why)
    if (found) return t(key, { a: found[1] ?? '', b: found[2] ?? '' })
  }
  return why
}
