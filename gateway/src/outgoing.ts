/**
 * A record of the spool as it goes to JetStream: the batch as it came, unless this gateway drains a backlog of its own, or
 * the batch is longer than NATS takes.
 */
import {
  BATCH_FORMAT_VERSION,
  DEAD_LETTER_ORIGINAL_BYTES_MAX,
  decodeBatch,
  decodeHeader,
  encodeBatch,
  type Lane,
  rewriteSendFields,
  type Tombstone,
} from '@tributary/protocol'
import { decodeRecord } from './record.ts'

/** What waits at this gateway beside what the agent said when it sent the batch. */
export interface OwnBacklog {
  readonly batches: number
  readonly bytes: number
  readonly drainSeconds: number
}

export interface Outgoing {
  readonly agent: string
  readonly payload: Uint8Array
  /** Why the payload is not the batch as it came, apart from lane and backlog. */
  readonly replaced?: 'larger_than_nats_takes' | 'unreadable_and_cut'
}

/** What NATS counts beside the payload. */
const HEADER_BYTES = 64

/**
 * @param payloadBytesMax `max_payload` of the server
 * @param own undefined: nothing of this gateway's own waits, and the batch goes as it is
 * @returns undefined when the bytes are no record of ours
 */
export function outgoing(
  record: Uint8Array,
  payloadBytesMax: number | undefined,
  lane: Lane,
  own: ((agent: string) => OwnBacklog) | undefined,
): Outgoing | undefined {
  const received = decodeRecord(record)
  if (!received) return undefined
  const { agent, identity, batch } = received
  const bytesMax = payloadBytesMax === undefined ? Number.POSITIVE_INFINITY : payloadBytesMax - HEADER_BYTES
  if (!identity)
    return batch.length <= bytesMax
      ? { agent, payload: batch }
      : { agent, payload: batch.subarray(0, bytesMax), replaced: 'unreadable_and_cut' }
  const payload = own ? withBacklog(batch, lane, own(agent)) : batch
  if (payload.length <= bytesMax) return { agent, payload }
  return { agent, payload: deadLetterFor(batch, bytesMax), replaced: 'larger_than_nats_takes' }
}

/** As it came when its header has no room for that: one batch must not hold up all others. */
function withBacklog(batch: Uint8Array, lane: Lane, own: OwnBacklog): Uint8Array {
  try {
    const header = decodeHeader(batch)
    return rewriteSendFields(batch, {
      lane: lane === 'backlog' ? 'backlog' : header.lane,
      backlogBatches: header.backlogBatches + own.batches,
      backlogBytes: header.backlogBytes + own.bytes,
      drainSeconds: Math.max(header.drainSeconds, own.drainSeconds),
    })
  } catch {
    return batch
  }
}

/**
 * The same sequence, with the same count of readings, as one dead letter: what comes after it is not held up, and the account
 * balances. Its tombstones are kept: they speak of other sequences.
 */
function deadLetterFor(batch: Uint8Array, bytesMax: number): Uint8Array {
  const header = decodeHeader(batch)
  const kept = Math.min(DEAD_LETTER_ORIGINAL_BYTES_MAX, bytesMax >> 2)
  return encodeBatch({
    header: { ...header, formatVersion: BATCH_FORMAT_VERSION, sampleCount: 0 },
    blocks: [],
    deadLetters: [
      {
        input: '',
        device: '',
        reason: 'larger_than_nats_takes',
        detail: `a batch of ${batch.length} bytes; max_payload of nats-server allows ${bytesMax}: raise it to 2MB in nats-server.conf`,
        receivedAtMs: header.createdAtMs,
        original: batch.subarray(0, kept),
        originalBytes: batch.length,
        readingCount: header.readingCount,
      },
    ],
    tombstones: tombstonesOf(batch),
    rollups: [],
  })
}

function tombstonesOf(batch: Uint8Array): readonly Tombstone[] {
  try {
    return decodeBatch(batch).tombstones
  } catch {
    // What lies behind the header cannot be read, by nobody.
    return []
  }
}
