/** Small JSON messages between processor and gateway. Parsing refuses what does not fit; it never throws. */
import { z } from 'zod'
import { NAME_BYTES_MAX } from './limits.ts'

const agent = z.string().min(1).max(NAME_BYTES_MAX)
const epoch = z.string().regex(/^[0-9a-f]{16}$/)
const sequence = z.int().nonnegative()

/** On `stored.v1.<site>`, processor → gateway: every sequence of the epoch up to here is in the store. */
export const storedWatermarks = z.object({
  site: z.string(),
  watermarks: z.array(z.object({ agent, epoch, sequence })).max(10_000),
})
export type StoredWatermarks = z.infer<typeof storedWatermarks>

/** On `resend.v1.<site>`, processor → gateway: send these sequences again. */
export const resendRequest = z.object({ agent, epoch, fromSequence: sequence, toSequence: sequence })
export type ResendRequest = z.infer<typeof resendRequest>

export function parseControlMessage<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | undefined {
  try {
    return schema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8'))).data
  } catch {
    return undefined
  }
}
