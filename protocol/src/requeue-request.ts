/** A request to requeue or drop a dead letter, on `telemetry.v1.<partition>.<site>.<agent>.requeue`: JSON, the letter with it. */
import { z } from 'zod'
import type { DeadLetter } from './dead-letter.ts'
import { BATCH_BYTES_MAX, DEAD_LETTER_ORIGINAL_BYTES_MAX, NAME_BYTES_MAX } from './limits.ts'

const count = z.int().nonnegative()
const text = z.string().max(8_192)

const letter: z.ZodType<DeadLetter> = z.object({
  id: text.min(1),
  stage: z.enum(['edge', 'decode', 'contract', 'store']),
  reason: text.min(1),
  // The words of InfluxDB, which may repeat a line.
  detail: z.string().max(BATCH_BYTES_MAX / 4),
  site: text,
  agent: text,
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  sequence: count,
  device: text,
  kind: text,
  field: text,
  timeMs: z.number(),
  refusedAtMs: z.number(),
  readingCount: count,
  requeued: count.optional(),
  // base64 takes four bytes for three.
  original: z.base64().max(Math.ceil(DEAD_LETTER_ORIGINAL_BYTES_MAX / 3) * 4),
  originalBytes: count,
})

export const requeueRequest = z.object({
  /** Names the run of the command that asks, which looks for its answers by it. */
  request: z.string().min(1).max(NAME_BYTES_MAX),
  action: z.enum(['requeue', 'drop']),
  letter,
})
export type RequeueRequest = z.infer<typeof requeueRequest>
