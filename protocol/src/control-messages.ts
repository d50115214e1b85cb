/** Small JSON messages between processor, gateway and agents. Parsing refuses what does not fit; it never throws. */
import { z } from 'zod'
import { NAME_BYTES_MAX } from './limits.ts'

const agent = z.string().min(1).max(NAME_BYTES_MAX)
const epoch = z.string().regex(/^[0-9a-f]{16}$/)
const sequence = z.int().nonnegative()
const inOrder = ({ fromSequence, toSequence }: { fromSequence: number; toSequence: number }) =>
  fromSequence <= toSequence

/** What became of the readings of an epoch up to a sequence; stored are the rest. */
export const watermarkTotals = z.object({
  readings: z.int(),
  deadLettered: z.int(),
  shed: z.int(),
  missing: z.int(),
  /** No sample up to there has a later event time; null when there was none. */
  newestMs: z.number().nullable(),
  /** Windows of the agent that end by then were written; null when none were. */
  closedThroughMs: z.number().nullable(),
})
export type WatermarkTotals = z.infer<typeof watermarkTotals>

const watermark = z.object({ agent, epoch, sequence, totals: watermarkTotals.optional() })
/** Stored ranges that are named beyond a watermark. */
export const STORED_BEYOND_MAX = 8
const storedWatermark = watermark.extend({
  /** In the store, too, though something before it is missing: the lowest ranges, both ends included. A gap that never closes must not be kept for ever. */
  beyond: z
    .array(z.tuple([sequence, sequence]))
    .max(STORED_BEYOND_MAX)
    .optional(),
})

/** On `stored.v1.<site>`, processor → gateway: every sequence of the epoch up to here is in the store. */
export const storedWatermarks = z.object({ site: z.string(), watermarks: z.array(storedWatermark).max(10_000) })
export type StoredWatermarks = z.infer<typeof storedWatermarks>

/**
 * On `watermark.v1.<site>`, a request: which watermark of this epoch was told last? A processor that lost its state learns from
 * it what is in the store. Who does not know the epoch stays silent.
 */
export const watermarkQuestion = z.object({ agent, epoch })
export type WatermarkQuestion = z.infer<typeof watermarkQuestion>
/** The answer. */
export const keptWatermark = watermark
export type KeptWatermark = z.infer<typeof keptWatermark>

/** On `resend.v1.<site>`, processor → gateway: send these sequences again. */
export const resendRequest = z.object({ agent, epoch, fromSequence: sequence, toSequence: sequence })
export type ResendRequest = z.infer<typeof resendRequest>

/**
 * On `tributary/v1/<agent>/stored`, gateway → agent, at most once a second and after a subscription: every sequence of the
 * agent's epoch up to here is in the store. The gateway's epoch says whose word it is: a gateway with a new disk has another.
 */
export const storedRelay = z.object({ gatewayEpoch: epoch, epoch, sequence })
export type StoredRelay = z.infer<typeof storedRelay>

/** On `tributary/v1/<agent>/command`, gateway → agent: send again what the gateway was asked for and does not have. */
export const agentCommand = z.discriminatedUnion('type', [
  z
    .object({ type: z.literal('resend'), epoch, fromSequence: sequence.min(1), toSequence: sequence })
    .refine(inOrder, 'fromSequence must not be beyond toSequence'),
])
export type AgentCommand = z.infer<typeof agentCommand>

/** Chosen by the agent; the answer repeats it, so that a late one is not taken for another. */
const pingId = z.int().nonnegative()

/** On `tributary/v1/<agent>/clock`, agent → gateway: what time is it? */
export const clockPing = z.object({ type: z.literal('ping'), id: pingId })
export type ClockPing = z.infer<typeof clockPing>

/** On the same topic, gateway → agent. `wallMs`: milliseconds since 1970; `trusted`: whether the gateway's own clock is set. */
export const clockPong = z.object({ type: z.literal('pong'), id: pingId, wallMs: z.number(), trusted: z.boolean() })
export type ClockPong = z.infer<typeof clockPong>

export function parseControlMessage<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | undefined {
  try {
    return schema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8'))).data
  } catch {
    return undefined
  }
}
