/** The file `alerts.yaml`: rules, what inhibits what, and how much people are told at once. */
import type { Contracts } from '@tributary/protocol'
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'
import { AGENT_UNREACHABLE, type DetectorFamily, GATEWAY_UNREACHABLE, thresholdName } from '../detectors/index.ts'
import { matcher, patterns } from './match.ts'
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
export const rulesSchema = z.strictObject({
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
export type RulesFile = z.output<typeof rulesSchema>

export const NO_RULES: RulesFile = rulesSchema.parse({})

/** `rulesSchema` that also knows which kinds, fields, detectors and notifiers there are: what the processor reads the file with. */
export function rulesSchemaFor(contracts: Contracts, notifiers: readonly string[]): z.ZodType<RulesFile> {
  const all = [...contracts.values()]
  const known: Record<'kind' | 'field' | 'detector', Set<string>> = {
    kind: new Set(['', ...all.map((c) => c.kind)]),
    field: new Set(['', ...all.flatMap((c) => Object.keys(c.fields))]),
    detector: new Set([
      ...(['threshold', 'outlier', 'flatline', 'silence', 'link', 'violations'] satisfies DetectorFamily[]),
      AGENT_UNREACHABLE,
      GATEWAY_UNREACHABLE,
      ...all.flatMap((c) => c.thresholds.map(thresholdName)),
    ]),
  }
  return rulesSchema.superRefine(({ rules, inhibit, violations }, context) => {
    const mistake = (path: PropertyKey[], message: string) =>
      context.addIssue({ code: 'custom', path: [...path], message })
    const check = (path: PropertyKey[], match: Partial<Record<keyof typeof known, readonly string[] | undefined>>) => {
      for (const key of ['kind', 'field', 'detector'] as const)
        for (const pattern of match[key] ?? [])
          if (![...known[key]].some(matcher(pattern)))
            mistake([...path, key], `must match a ${key} of the contracts; "${pattern}" matches none`)
    }
    for (const [i, rule] of rules.entries()) {
      if (rules.findIndex((other) => other.name === rule.name) < i)
        mistake(['rules', i, 'name'], 'must be a name that no other rule has')
      check(['rules', i, 'match'], rule.match)
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
