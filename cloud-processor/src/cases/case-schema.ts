/** What `case.yaml` may say. Times and durations are written as in a config ("90s", "5m") and counted from the start of the case. */
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'
import { rulesSchema } from '../alerts/index.ts'

const span = z.strictObject({ from: durationMs(), for: durationMs() })
export type Span = z.output<typeof span>

const generatedField = z.strictObject({
  base: z.number(),
  /** Standard deviation of normal noise. */
  noise: z.number().nonnegative().default(0),
  /** A wave around the base. */
  wave: z.strictObject({ amplitude: z.number(), period: durationMs() }).optional(),
  seed: z.int().default(1),
  /** Values are rounded to multiples of this. */
  step: z.number().positive().optional(),
  /** Added while the span lasts. */
  add: z.array(span.extend({ by: z.number() })).default([]),
  /** The value that was at its beginning stays. */
  hold: z.array(span).default([]),
})
export type GeneratedField = z.output<typeof generatedField>

export const caseSchema = z
  .strictObject({
    description: z.string().min(1),
    /** One of the shipped contracts. */
    kind: z.string(),
    /** Instead of its detectors. */
    detectors: z.record(z.string(), z.unknown()).optional(),
    device: z.string().default('device-1'),
    for: durationMs(),
    /** Samples from a CSV file beside this one: first column `seconds`, then one a field; an empty cell is a missing field. */
    csv: z.string().optional(),
    /** Or samples at even times, made up. */
    generate: z
      .strictObject({
        every: durationMs(),
        fields: z.record(z.string(), generatedField),
        /** Other devices of the kind at the site, and their fields; of them only what `peers` says is told. */
        peers: z.record(z.string(), z.record(z.string(), generatedField)).default({}),
      })
      .optional(),
    /** The device sends nothing. */
    device_silent: z.array(span).default([]),
    /** The agent is off: neither samples nor promises. */
    agent_off: z.array(span).default([]),
    /** The link is down: what was measured meanwhile arrives at its end, in order, in the lane `backlog`. */
    link_down: z.array(span).default([]),
    /** Batches, and with them promises of completeness, come this often. */
    batch_every: durationMs().default(1_000),
    rules: rulesSchema.shape.rules,
    /** These windows are compared, too: widths such as "1m", and fields such as "energy_wh_increase". */
    windows: z.strictObject({ widths: z.array(z.string()), fields: z.array(z.string()) }).optional(),
  })
  .refine((one) => (one.csv === undefined) !== (one.generate === undefined), 'give either "csv" or "generate"')
export type Case = z.output<typeof caseSchema>
