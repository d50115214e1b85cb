/** What `case.yaml` of a stream of batches may say. Times are durations since the start of the case ("90s", "5m"). */
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'

/** Time, and what was measured then. */
const samples = z.array(z.tuple([durationMs(), z.record(z.string(), z.union([z.number(), z.boolean(), z.string()]))]))

const batch = z.strictObject({
  agent: z.string().default('agent-1'),
  device: z.string().default('device-1'),
  /** The next one of its agent. */
  sequence: z.int().positive().optional(),
  /** It never comes. */
  lost: z.boolean().default(false),
  lane: z.enum(['live', 'backlog']).default('live'),
  samples: samples.default([]),
  /** Everything measured before is in this or an earlier sequence of the agent; when it is not said, up to its last sample. */
  complete_through: durationMs().optional(),
  /** When the stream received it; when it is not said, with the latest time of any batch before. */
  received: durationMs().optional(),
  /** What the agent had to roll up of an earlier sequence. */
  rolled_up: z.strictObject({ sequence: z.int().positive(), width: durationMs().default(10_000), samples }).optional(),
})
export type StreamBatch = z.output<typeof batch>

export const streamCaseSchema = z.strictObject({
  description: z.string().min(1),
  /** One of the shipped contracts. */
  kind: z.string(),
  /** How long windows stay in memory, and when a gap counts as missing. */
  memory: durationMs().default(600_000),
  missing_after: durationMs().default(600_000),
  /** In the order in which they come; `again: 2` is the second one once more. */
  batches: z.array(z.union([batch, z.strictObject({ again: z.int().positive() })])).min(1),
  /** These are compared: widths such as "1m", and fields such as "energy_wh_increase". */
  windows: z.strictObject({ widths: z.array(z.string()), fields: z.array(z.string()) }),
})
export type StreamCase = z.output<typeof streamCaseSchema>
