/**
 * What a gateway and the site view beside it say to each other, over HTTP on this machine. Every request carries
 * `authorization: Bearer <token>`; the token lies in a file that both can read.
 *
 * | request | answer |
 * |---|---|
 * | `GET /batches` | a stream of frames, as below, until one of the two ends it |
 * | `GET /status` | the gateway's status, JSON |
 * | `POST /samples` (`derivedSamples`, JSON) | 204: they are on the gateway's disk; 400, 413, 429, 503 with `{error}`: they are not |
 *
 * A frame, big-endian:
 *
 * | offset | bytes | what |
 * |---|---|---|
 * | 0 | 4 | length of what follows |
 * | 4 | 4 | batches that this reader did not get so far, because it was slow |
 * | 8 | n | a batch as it came; none: a sign of life |
 */
import { z } from 'zod'
import { isName, NAME_RULE } from './addresses.ts'
import { identifier } from './contract-values.ts'
import { BATCH_BYTES_MAX, BLOCK_FIELDS_MAX, STRING_VALUE_BYTES_MAX } from './limits.ts'

const LENGTH_BYTES = 4
const HEAD_BYTES = 8
export const TAP_FRAME_BYTES_MAX = HEAD_BYTES + BATCH_BYTES_MAX
/** The reader hears something at least so often. */
export const TAP_SIGN_OF_LIFE_MS = 1_000
/** Samples in one request. */
export const DERIVED_SAMPLES_MAX = 500

export interface TapFrame {
  /** Batches that this reader did not get so far. */
  readonly dropped: number
  /** Undefined: a sign of life. */
  readonly batch: Uint8Array | undefined
}

/** A copy: what it is made of may go. */
export function encodeTapFrame({ dropped, batch }: TapFrame): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + (batch?.length ?? 0))
  frame.writeUInt32BE(frame.length - LENGTH_BYTES, 0)
  frame.writeUInt32BE(Math.min(dropped, 0xffffffff), LENGTH_BYTES)
  if (batch) frame.set(batch, HEAD_BYTES)
  return frame
}

/**
 * Takes a stream apart, piece by piece; holds one frame at most.
 * @returns a function that takes the next bytes and gives the frames that they complete; it throws RangeError when this is no such stream
 */
export function createTapFrameReader(): (bytes: Uint8Array) => TapFrame[] {
  let pending = Buffer.alloc(0)
  return (bytes) => {
    const all = pending.length === 0 ? Buffer.from(bytes) : Buffer.concat([pending, bytes])
    const frames: TapFrame[] = []
    let at = 0
    while (all.length - at >= LENGTH_BYTES) {
      const end = at + LENGTH_BYTES + all.readUInt32BE(at)
      if (end - at < HEAD_BYTES || end - at > TAP_FRAME_BYTES_MAX) throw new RangeError('no stream of batches')
      if (all.length < end) break
      const batch = end - at === HEAD_BYTES ? undefined : all.subarray(at + HEAD_BYTES, end)
      frames.push({ dropped: all.readUInt32BE(at + LENGTH_BYTES), batch })
      at = end
    }
    pending = all.subarray(at)
    return frames
  }
}

const value = z.union(
  [z.number(), z.boolean(), z.string().max(STRING_VALUE_BYTES_MAX)],
  'must be a number, a boolean or a text',
)

/** What a flow made of other samples, or found out by itself. */
export const derivedSample = z.strictObject({
  device: z.string().refine(isName, NAME_RULE),
  kind: identifier,
  /** Milliseconds since 1970. */
  timeMs: z.number().int().nonnegative(),
  fields: z
    .record(identifier, value)
    .refine(
      (fields) => Object.keys(fields).length >= 1 && Object.keys(fields).length <= BLOCK_FIELDS_MAX,
      `must be 1 to ${BLOCK_FIELDS_MAX} fields`,
    ),
})
export type DerivedSample = z.infer<typeof derivedSample>
export const derivedSamples = z.strictObject({ samples: z.array(derivedSample).min(1).max(DERIVED_SAMPLES_MAX) })
