/**
 * A record of the gateway's spool: who sent it, when it came, what it is, then the batch as it came. Big-endian.
 *
 * | offset | bytes | what |
 * |---|---|---|
 * | 0 | 1 | version of this frame, 1 |
 * | 1 | 1 | 1: the header could be read; 0: it could not, and the fields marked * are 0 |
 * | 2 | 6 | arrival, milliseconds since 1970 |
 * | 8 | 8 | epoch * |
 * | 16 | 6 | sequence * |
 * | 22 | 4 | readings * |
 * | 26 | 1 | length n of the agent's name |
 * | 27 | n | the agent as it was authenticated |
 * | 27 + n | | the batch |
 */
export interface ReceivedBatch {
  readonly agent: string
  readonly receivedAtMs: number
  /** Undefined when the header could not be read. */
  readonly identity: { readonly epoch: string; readonly sequence: number; readonly readingCount: number } | undefined
  readonly batch: Uint8Array
}

const VERSION = 1
const FIXED_BYTES = 27

export function encodeRecord({ agent, receivedAtMs, identity, batch }: ReceivedBatch): Buffer {
  const agentBytes = Buffer.byteLength(agent, 'utf8')
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + agentBytes + batch.length)
  bytes[0] = VERSION
  bytes[1] = identity ? 1 : 0
  bytes.writeUIntBE(Math.max(0, Math.floor(receivedAtMs)), 2, 6)
  bytes.fill(0, 8, 26)
  if (identity) {
    bytes.write(identity.epoch, 8, 8, 'hex')
    bytes.writeUIntBE(identity.sequence, 16, 6)
    bytes.writeUInt32BE(identity.readingCount, 22)
  }
  bytes[26] = agentBytes
  bytes.write(agent, FIXED_BYTES, 'utf8')
  bytes.set(batch, FIXED_BYTES + agentBytes)
  return bytes
}

/** @returns undefined when the bytes are no such record: something else wrote into the spool */
export function decodeRecord(payload: Uint8Array): ReceivedBatch | undefined {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  if (bytes.length < FIXED_BYTES || bytes[0] !== VERSION) return undefined
  const batchAt = FIXED_BYTES + (bytes[26] as number)
  if (bytes.length < batchAt) return undefined
  return {
    agent: bytes.toString('utf8', FIXED_BYTES, batchAt),
    receivedAtMs: bytes.readUIntBE(2, 6),
    identity:
      bytes[1] === 1
        ? {
            epoch: bytes.toString('hex', 8, 16),
            sequence: bytes.readUIntBE(16, 6),
            readingCount: bytes.readUInt32BE(22),
          }
        : undefined,
    batch: bytes.subarray(batchAt),
  }
}
