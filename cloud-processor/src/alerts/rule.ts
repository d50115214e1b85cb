/** Alert rules: one derived from every threshold and detector of the contracts, and those that people write in `alerts.yaml`. */
import type { Contracts } from '@tributary/protocol'
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'

export type Severity = 'info' | 'warning' | 'critical'

/** What a rule applies to; an absent key applies to everything. Each entry is a name in which `*` stands for any text. */
export interface RuleMatch {
  readonly site?: readonly string[] | undefined
  readonly kind?: readonly string[] | undefined
  readonly device?: readonly string[] | undefined
  readonly field?: readonly string[] | undefined
  /** A detector's family (`threshold`, `outlier`, `flatline`, `silence`) or its full name (`threshold_above_7.1`). */
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

const patterns = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
  .transform((given): readonly string[] => (typeof given === 'string' ? [given] : given))
  .optional()

export const ruleSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'lower-case letters, digits, "_", "-" and ".", at most 63'),
  match: z
    .strictObject({ site: patterns, kind: patterns, device: patterns, field: patterns, detector: patterns })
    .default({}),
  severity: z.enum(['info', 'warning', 'critical']).optional(),
  for: durationMs().optional(),
  keep_firing_for: durationMs().optional(),
  notify: z.array(z.string()).optional(),
})

/** The file `alerts.yaml`. The first rule that matches decides; where none does, the contract's own rule stands. */
export const rulesSchema = z.strictObject({ rules: z.array(ruleSchema).max(1_000).default([]) })
export type RulesFile = z.infer<typeof rulesSchema>

/** `rulesSchema` that also knows which kinds, fields, detectors and notifiers there are: what `tributary check` uses. */
export function rulesSchemaFor(_contracts: Contracts, _notifiers: readonly string[]): z.ZodType<AlertRule[]> {
  throw new Error('not written yet')
}
