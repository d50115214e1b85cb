/** Alert rules: those that people write in `alerts.yaml`, and behind them one for every threshold and detector of the contracts. */
import type { Contract, Contracts } from '@tributary/protocol'
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'
import { DETECTOR_FAMILIES, type DetectorFamily, thresholdName, togetherName } from '../detectors/index.ts'

export const SEVERITIES = ['info', 'warning', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

/** What a rule applies to; an absent key applies to everything. Each entry is a name in which `*` stands for any text. */
export interface RuleMatch {
  readonly site?: readonly string[] | undefined
  readonly kind?: readonly string[] | undefined
  readonly device?: readonly string[] | undefined
  readonly field?: readonly string[] | undefined
  /** A detector's family (`threshold`, `outlier`, …) or its full name (`threshold_above_7.1`). */
  readonly detector?: readonly string[] | undefined
}

export interface AlertRule {
  readonly name: string
  readonly match: RuleMatch
  /** Undefined: what the contract says of the threshold, else `warning`. */
  readonly severity?: Severity | undefined
  /** The anomaly must have gone on for this long. */
  readonly forMs: number
  /** The alert stays until the anomaly has been over for this long. */
  readonly keepFiringForMs: number
  /** Names of notifiers; undefined: all of them; empty: recorded, and nobody is told. */
  readonly notify?: readonly string[] | undefined
}

/** Keeps an alert from flapping where a verdict may come and go; the end of a silence or a flat line is certain. */
const KEEP_FIRING_MS: Readonly<Record<DetectorFamily, number>> = {
  threshold: 30_000,
  outlier: 60_000,
  flatline: 0,
  silence: 0,
  rate: 30_000,
  out_of_range: 30_000,
  counter_reset: 0,
  peers: 60_000,
  together: 60_000,
}
/** For a rule that does not say. */
const KEEP_FIRING_MS_DEFAULT = 30_000

const patterns = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)], { error: 'must be a name or a list of names' })
  .transform((given): readonly string[] => (typeof given === 'string' ? [given] : given))
  .optional()

const RULE_NAME = /^[a-z0-9][a-z0-9_.-]{0,62}$/

export const ruleSchema = z
  .strictObject({
    name: z.string().regex(RULE_NAME, 'must be lower-case letters, digits, "_", "-" and ".", at most 63'),
    match: z
      .strictObject({ site: patterns, kind: patterns, device: patterns, field: patterns, detector: patterns })
      .default({}),
    severity: z.enum(SEVERITIES).optional(),
    for: durationMs().optional(),
    keep_firing_for: durationMs().optional(),
    notify: z.array(z.string()).optional(),
  })
  .transform(
    (rule): AlertRule => ({
      name: rule.name,
      match: rule.match,
      severity: rule.severity,
      forMs: rule.for ?? 0,
      keepFiringForMs: rule.keep_firing_for ?? KEEP_FIRING_MS_DEFAULT,
      notify: rule.notify,
    }),
  )

/** The file `alerts.yaml`. The first rule that matches decides; where none does, the contract's own rule stands. */
export const rulesSchema = z.strictObject({ rules: z.array(ruleSchema).max(1_000).default([]) })
export type RulesFile = z.output<typeof rulesSchema>

/** `rulesSchema` that also knows which kinds, fields, detectors and notifiers there are: what `tributary check` uses. */
export function rulesSchemaFor(contracts: Contracts, notifiers: readonly string[]): z.ZodType<RulesFile> {
  const all = [...contracts.values()]
  const known: Record<'kind' | 'field' | 'detector', Set<string>> = {
    kind: new Set(all.map((c) => c.kind)),
    field: new Set(['', ...all.flatMap((c) => Object.keys(c.fields))]),
    detector: new Set([
      ...DETECTOR_FAMILIES,
      ...all.flatMap((c) => c.thresholds.map(thresholdName)),
      ...all.flatMap((c) => c.detectors.together?.map(togetherName) ?? []),
    ]),
  }
  return rulesSchema.superRefine(({ rules }, context) => {
    const mistake = (path: PropertyKey[], message: string) =>
      context.addIssue({ code: 'custom', path: ['rules', ...path], message })
    for (const [i, rule] of rules.entries()) {
      if (rules.findIndex((other) => other.name === rule.name) < i)
        mistake([i, 'name'], 'must be a name that no other rule has')
      for (const key of ['kind', 'field', 'detector'] as const)
        for (const pattern of rule.match[key] ?? [])
          if (![...known[key]].some(matcher(pattern)))
            mistake([i, 'match', key], `must match a ${key} of the contracts; "${pattern}" matches none`)
      for (const name of rule.notify ?? [])
        if (!notifiers.includes(name))
          mistake([i, 'notify'], `must name notifiers of the config (${notifiers.join(', ') || 'there are none'})`)
    }
  })
}

/** `pump-*` → a test for names. */
export function matcher(pattern: string): (name: string) => boolean {
  if (!pattern.includes('*')) return (name) => name === pattern
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const expression = new RegExp(`^${parts.join('.*')}$`)
  return (name) => expression.test(name)
}

/** The rule that a contract implies for one of its detectors. @param field '' for silence */
export function contractRule(
  contract: Contract | undefined,
  kind: string,
  field: string,
  detector: { readonly name: string; readonly family: DetectorFamily },
): AlertRule & { severity: Severity } {
  const threshold = contract?.thresholds.find((t) => t.field === field && thresholdName(t) === detector.name)
  return {
    name: [kind, field, detector.name].filter((part) => part !== '').join('.'),
    match: {},
    severity: threshold?.severity ?? 'warning',
    forMs: 0,
    keepFiringForMs: KEEP_FIRING_MS[detector.family],
  }
}
