/** The file `alerts.yaml`: rules, what inhibits what, and how much people are told at once. */
import type { Contract, Contracts } from '@tributary/protocol'
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'
import {
  AGENT_UNREACHABLE,
  DETECTOR_FAMILIES,
  GATEWAY_UNREACHABLE,
  thresholdName,
  togetherName,
} from '../detectors/index.ts'
import { matcher, patterns } from './match.ts'
import { nearestName } from './nearest-name.ts'
import { ruleSchema } from './rule.ts'

const alertMatch = z
  .strictObject({
    rule: patterns,
    site: patterns,
    kind: patterns,
    device: patterns,
    field: patterns,
    detector: patterns,
  })
  .refine((match) => Object.values(match).some((one) => one !== undefined), 'must say what it matches')

const inhibitSchema = z.strictObject({
  /** While such an alert fires … */
  when: alertMatch,
  /** … nobody is told of such ones … */
  suppress: alertMatch,
  /** … that agree with it in these. The site always is the same. */
  same: z.array(z.enum(['site', 'device', 'kind', 'field'])).default(['site']),
})
export type InhibitRule = z.output<typeof inhibitSchema>

/** The first rule that matches decides; where none does, the contract's own rule stands. */
export const rulesSchema = z
  .strictObject({
    rules: z.array(ruleSchema).max(1_000).default([]),
    inhibit: z.array(inhibitSchema).max(200).default([]),
    /** Alerts of one rule at one site are told together: so long after the first, and news of them at most this often. */
    group: z.strictObject({ wait: durationMs().prefault('10s'), interval: durationMs().prefault('5m') }).optional(),
    /** So many notifications a receiver and hour; what is beyond them is told as one digest, this often. */
    limit: z
      .strictObject({ per_hour: z.int().min(1).max(100_000).default(200), digest: durationMs().prefault('10m') })
      .prefault({}),
    /** So many refused readings of a device and kind in a time are an alert of the detector `violations`; the first entry that matches counts. */
    violations: z
      .array(
        z.strictObject({
          match: z.strictObject({ site: patterns, kind: patterns, device: patterns }).default({}),
          count: z.int().min(1).max(1_000_000).default(10),
          within: durationMs()
            .refine((ms) => ms >= 10_000, 'must be at least 10s')
            .prefault('5m'),
        }),
      )
      .max(200)
      .default([]),
    /** An agent or a gateway of which nothing was heard for so long (and for five times as long as is usual between two words of it). */
    unreachable: z
      .strictObject({
        after: durationMs()
          .refine((ms) => ms >= 10_000, 'must be at least 10s')
          .prefault('60s'),
      })
      .prefault({}),
  })
  .superRefine(({ rules }, context) => {
    for (const [i, { name }] of rules.entries())
      if (rules.findIndex((other) => other.name === name) < i)
        context.addIssue({
          code: 'custom',
          path: ['rules', i, 'name'],
          message: 'must be a name that no other rule has',
        })
  })
export type RulesFile = z.output<typeof rulesSchema>

export const NO_RULES: RulesFile = rulesSchema.parse({})

/** What alerts may be about: a kind with its fields and detectors; links are of none. */
interface Subject {
  readonly kind: string
  readonly field: readonly string[]
  readonly detector: readonly string[]
}
const LINKS: Subject = { kind: '', field: [''], detector: ['link', AGENT_UNREACHABLE, GATEWAY_UNREACHABLE] }

const subjectOf = ({ kind, fields, thresholds, detectors }: Contract): Subject => ({
  kind,
  // Silence, and what watches several fields, is about none.
  field: ['', ...Object.keys(fields)],
  detector: [...DETECTOR_FAMILIES, ...thresholds.map(thresholdName), ...(detectors.together?.map(togetherName) ?? [])],
})

type MatchOfSubject = Partial<Record<keyof Subject, readonly string[] | undefined>>

/**
 * `rulesSchema` that also knows which kinds, fields, detectors and notifiers there are: what the processor reads the file with.
 * @param notifiers undefined: nobody knows which there are
 */
export function rulesSchemaFor(contracts: Contracts, notifiers: readonly string[] | undefined): z.ZodType<RulesFile> {
  const subjects = [LINKS, ...[...contracts.values()].map(subjectOf)]
  return rulesSchema.superRefine(({ rules, inhibit, violations }, context) => {
    const mistake = (path: PropertyKey[], message: string) =>
      context.addIssue({ code: 'custom', path: [...path], message })
    const check = (path: PropertyKey[], match: MatchOfSubject) => {
      for (const { key, message } of strangersIn(match, subjects)) mistake([...path, key], message)
    }
    for (const [i, rule] of rules.entries()) {
      check(['rules', i, 'match'], rule.match)
      if (notifiers === undefined) continue
      const named = { notify: rule.notify ?? [], escalate: rule.escalate?.notify ?? [] }
      for (const [key, names] of Object.entries(named))
        for (const name of names)
          if (!notifiers.includes(name))
            mistake(
              ['rules', i, key],
              `must name notifiers of the config (${notifiers.join(', ') || 'there are none'})`,
            )
    }
    for (const [i, { match }] of violations.entries()) check(['violations', i, 'match'], match)
    for (const [i, { when, suppress }] of inhibit.entries()) {
      check(['inhibit', i, 'when'], when)
      check(['inhibit', i, 'suppress'], suppress)
    }
  })
}

/** Patterns that can match nothing: no contract knows the name, or none of the kinds that stand beside it. */
function strangersIn(match: MatchOfSubject, subjects: readonly Subject[]): { key: keyof Subject; message: string }[] {
  const isKind = ({ kind }: Subject) => match.kind === undefined || match.kind.some((pattern) => matcher(pattern)(kind))
  const meant = subjects.filter(isKind)
  return (['kind', 'field', 'detector'] as const).flatMap((key) =>
    (match[key] ?? []).flatMap((pattern) => {
      // Of a kind that is unknown nobody can say which fields it has.
      const isNarrow = key !== 'kind' && meant.length > 0 && meant.length < subjects.length
      const near = isNarrow ? meant : subjects
      if (near.some((one) => [one[key]].flat().some(matcher(pattern)))) return []
      const meaning = nearestName(
        pattern,
        near.flatMap((one) => one[key]),
      )
      const whose = isNarrow ? meant.map(({ kind }) => kind || 'links').join(', ') : 'the contracts'
      const maybe = meaning ? `; did you mean ${meaning}?` : ''
      const message = `must match a ${key} of ${whose}; "${pattern}" matches none${maybe}`
      return [{ key, message }]
    }),
  )
}
