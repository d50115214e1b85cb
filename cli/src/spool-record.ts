/** What one record of a spool is: an agent keeps batches as they are, a gateway with a frame around each. */
import { type BatchHeader, decodeHeader } from '@tributary/protocol'
import { messageOf } from '@tributary/runtime'
import type { SpoolInspection } from '@tributary/spool'

export type SpoolOwnerKind = 'agent' | 'gateway' | 'unknown'

export interface ReadRecord {
  readonly owner: SpoolOwnerKind
  /** The batch as it is sent. */
  readonly batch: Uint8Array
  /** Undefined when the batch cannot be read; `mistake` says why. */
  readonly header: BatchHeader | undefined
  readonly mistake: string | undefined
  /** When the batch was made, or without a header when the gateway took it; milliseconds since 1970. */
  readonly atMs: number | undefined
}

export async function readRecord(payload: Uint8Array): Promise<ReadRecord> {
  try {
    const header = decodeHeader(payload)
    return { owner: 'agent', batch: payload, header, mistake: undefined, atMs: header.createdAtMs }
  } catch (error) {
    const { decodeRecord } = await import('@tributary/gateway')
    const received = decodeRecord(payload)
    if (!received)
      return { owner: 'unknown', batch: payload, header: undefined, mistake: messageOf(error), atMs: undefined }
    try {
      const header = decodeHeader(received.batch)
      return { owner: 'gateway', batch: received.batch, header, mistake: undefined, atMs: header.createdAtMs }
    } catch (inner) {
      const { batch, receivedAtMs } = received
      return { owner: 'gateway', batch, header: undefined, mistake: messageOf(inner), atMs: receivedAtMs }
    }
  }
}

/** Whether the other end is not known to have it. */
export const isUnsent = ({ cursor }: SpoolInspection, sequence: number): boolean =>
  sequence > (cursor?.sentThrough ?? 0) &&
  !cursor?.sentRanges.some(({ from, to }) => from <= sequence && sequence <= to)
