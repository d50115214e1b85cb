/** What people ask of alerts and anomalies, on `telemetry.v1.<partition>.operator`: JSON. The answer says what became of it. */
import { z } from 'zod'
import { NAME_BYTES_MAX } from './limits.ts'

const text = z.string().max(500, 'must have at most 500 characters')
const id = z.string().regex(/^[0-9a-f]{8,16}$/)
/** Each entry is a name in which `*` stands for any text; an absent key applies to everything. */
const patterns = z
  .array(z.string().min(1, 'must not be empty').max(200, 'must have at most 200 characters'))
  .min(1)
  .max(50, 'must be at most 50 names')
  .optional()

export const silenceMatch = z.object({ site: patterns, device: patterns, rule: patterns, field: patterns })
export type SilenceMatch = z.infer<typeof silenceMatch>

const asked = {
  /** Names the run of the command that asks: a name such as those of sites. */
  request: z.string().min(1).max(NAME_BYTES_MAX),
  by: text,
  comment: text,
}
export const SILENCE_MS_MAX = 365 * 86_400_000

export const operatorRequest = z.discriminatedUnion('action', [
  z.object({ action: z.literal('acknowledge'), ...asked, episode: id }),
  z.object({
    action: z.literal('silence'),
    ...asked,
    id,
    match: silenceMatch,
    forMs: z.int().positive('must be longer than nothing').max(SILENCE_MS_MAX, 'must be a year at most'),
  }),
  z.object({ action: z.literal('end_silence'), ...asked, id }),
  /** Somebody looked at an anomaly: it was one, or it was none. */
  z.object({ action: z.enum(['confirm', 'dismiss']), ...asked, anomaly: id }),
])
export type OperatorRequest = z.infer<typeof operatorRequest>

export interface OperatorAnswer {
  readonly request: string
  readonly partition: number
  /** `done`; `unchanged`: it was so before; `unknown`: nothing of that id is here; `refused`: it cannot be done, `detail` says why. */
  readonly outcome: 'done' | 'unchanged' | 'unknown' | 'refused'
  readonly detail: string
}

export const receiverTest = z.object({ receiver: z.string().min(1).max(NAME_BYTES_MAX) })
/** What came of the test of a receiver: undefined when it took it. */
export interface ReceiverTestAnswer {
  readonly processor: string
  readonly receivers: readonly string[]
  /** False: no processor that answered knows the receiver. */
  readonly isKnown: boolean
  readonly tookMs: number
  /** What the receiver answered that took it, where it says something. */
  readonly said?: string | undefined
  /** What the receiver answered that did not take it. */
  readonly fault?: string | undefined
}
