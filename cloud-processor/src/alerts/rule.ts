/** Alert rules: those that people write in `alerts.yaml`, and behind them one for every threshold and detector of the contracts. */
import type { Contract } from '@tributary/protocol'
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'
import { type DetectorFamily, thresholdName } from '../detectors/index.ts'
import { patterns, type RuleMatch } from './match.ts'

export const SEVERITIES = ['info', 'warning', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

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
  /** These are told as well when nobody has acknowledged for so long. */
  readonly escalate?: { readonly afterMs: number; readonly notify: readonly string[] } | undefined
  /** Who was told is told again this often, until somebody acknowledges. */
  readonly repeatMs?: number | undefined
}

/** Keeps an alert from flapping where a verdict may come and go; the end of a silence or a flat line is certain. */
const KEEP_FIRING_MS: Readonly<Record<DetectorFamily, number>> = {
  threshold: 30_000,
  outlier: 60_000,
  flatline: 0,
  silence: 0,
  link: 0,
  violations: 0,
}
const REPEAT_MS_MIN = 60_000
/** For a rule that does not say. */
const KEEP_FIRING_MS_DEFAULT = 30_000

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
    escalate: z
      .strictObject({ after: durationMs(), notify: z.array(z.string()).min(1, 'must name notifiers') })
      .optional(),
    repeat: durationMs()
      .refine((ms) => ms >= REPEAT_MS_MIN, 'must be at least 1m')
      .optional(),
  })
  .transform(
    (rule): AlertRule => ({
      name: rule.name,
      match: rule.match,
      severity: rule.severity,
      forMs: rule.for ?? 0,
      keepFiringForMs: rule.keep_firing_for ?? KEEP_FIRING_MS_DEFAULT,
      notify: rule.notify,
      escalate: rule.escalate && { afterMs: rule.escalate.after, notify: rule.escalate.notify },
      repeatMs: rule.repeat,
    }),
  )

/** The rule that a contract implies for one of its detectors. @param kind '' for a link; @param field '' for that and for silence */
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
    severity: threshold?.severity ?? (detector.family === 'link' ? 'critical' : 'warning'),
    forMs: 0,
    keepFiringForMs: KEEP_FIRING_MS[detector.family],
  }
}
