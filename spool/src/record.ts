/**
 * How one record lies in a segment, and how records are found again after bytes that are none. Byte table: FORMAT.md.
 *
 * The checksum covers length, sequence and payload and is seeded with the epoch, so that a record of another spool, or a
 * copy of a record inside a payload of another spool, is never taken for one of ours.
 */
import { crc32 } from 'node:zlib'

export const RECORD_HEADER_BYTES = 20
/** No record is longer, whatever a damaged length field says. */
export const RECORD_BYTES_MAX = 64 * 1024 ** 2
/** Not valid UTF-8, and not the start of a deflate or protobuf stream. */
export const RECORD_MARKER = Buffer.from([0xf5, 0x54, 0x52, 0xf6])

const CRC_AT = 4
const LENGTH_AT = 8
const SEQUENCE_AT = 12
const SCAN_BYTES = 256 * 1024
/** How far into a segment with a damaged header a record is looked for, to learn whose it is. */
const PROBE_BYTES = 1024 ** 2

/** What the checksum of every record of an epoch starts from. */
export const epochSeed = (epoch: string): number => crc32(epoch)

/** One buffer with a frame for each, ready to be written. */
export function encodeRecords(records: readonly { sequence: number; payload: Uint8Array }[], seed: number): Buffer {
  let bytes = 0
  for (const { payload } of records) bytes += RECORD_HEADER_BYTES + payload.length
  const out = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const { sequence, payload } of records) {
    out.set(RECORD_MARKER, at)
    out.writeUInt32LE(payload.length, at + LENGTH_AT)
    out.writeUIntLE(sequence, at + SEQUENCE_AT, 6)
    out.writeUInt16LE(0, at + SEQUENCE_AT + 6)
    const end = at + RECORD_HEADER_BYTES + payload.length
    out.set(payload, at + RECORD_HEADER_BYTES)
    out.writeUInt32LE(crc32(out.subarray(at + LENGTH_AT, end), seed), at + CRC_AT)
    at = end
  }
  return out
}

type Parsed =
  | { kind: 'record'; sequence: number; payload: Uint8Array; bytes: number }
  /** The window is too short: this many bytes are needed to tell. */
  | { kind: 'more'; bytes: number }
  /** The file ends before the record does. */
  | { kind: 'incomplete' }
  | { kind: 'damaged' }

function parseRecord(window: Buffer, at: number, remaining: number, seed: number): Parsed {
  const have = window.length - at
  const marked = Math.min(have, RECORD_MARKER.length)
  if (RECORD_MARKER.compare(window, at, at + marked, 0, marked) !== 0) return { kind: 'damaged' }
  if (remaining < RECORD_HEADER_BYTES) return { kind: 'incomplete' }
  if (have < RECORD_HEADER_BYTES) return { kind: 'more', bytes: RECORD_HEADER_BYTES }
  const length = window.readUInt32LE(at + LENGTH_AT)
  if (length > RECORD_BYTES_MAX) return { kind: 'damaged' }
  const bytes = RECORD_HEADER_BYTES + length
  if (bytes > remaining) return { kind: 'incomplete' }
  if (bytes > have) return { kind: 'more', bytes }
  if (crc32(window.subarray(at + LENGTH_AT, at + bytes), seed) !== window.readUInt32LE(at + CRC_AT))
    return { kind: 'damaged' }
  return {
    kind: 'record',
    sequence: window.readUIntLE(at + SEQUENCE_AT, 6),
    payload: window.subarray(at + RECORD_HEADER_BYTES, at + bytes),
    bytes,
  }
}

export interface ScannedRecord {
  readonly sequence: number
  readonly payload: Uint8Array
  /** Where its frame begins and where the next one does, in the file. */
  readonly offset: number
  readonly endOffset: number
}

export interface ScanResult {
  /** End of the last record that was seen; what follows up to the end is no record. */
  readonly endOffset: number
  /** Runs of bytes between records that are no records. */
  readonly damagedRuns: number
  /**
   * What follows the last record. `clean`: nothing. `torn`: the beginning of one record that the file is too short for, as a
   * write leaves it that was cut off. `damaged`: anything else.
   */
  readonly tail: 'clean' | 'torn' | 'damaged'
  /** The visitor had enough. */
  readonly stopped: boolean
}

/**
 * Visits every readable record between two offsets, in file order. Bytes that are no record are passed over up to the next
 * marker that begins one.
 * @param read bytes of the file; fewer than asked for only at its end
 * @param visit returns true to stop
 */
export async function scanRecords(
  read: (position: number, length: number) => Promise<Uint8Array>,
  range: { readonly from: number; readonly end: number; readonly seed: number; readonly chunkBytes?: number },
  visit: (record: ScannedRecord) => boolean | undefined,
): Promise<ScanResult> {
  const { end, seed, chunkBytes = SCAN_BYTES } = range
  let base = range.from
  let window: Buffer = Buffer.alloc(0)
  let at = range.from
  let goodEnd = range.from
  let damagedRuns = 0
  let tail: ScanResult['tail'] = 'clean'

  while (at < end) {
    let parsed = parseRecord(window, Math.min(at - base, window.length), end - at, seed)
    while (parsed.kind === 'more' || at - base >= window.length) {
      const bytes = Math.min(end - at, Math.max(chunkBytes, parsed.kind === 'more' ? parsed.bytes : 0))
      const loaded = await read(at, bytes)
      if (loaded.length < bytes) throw new Error(`the file ended ${bytes - loaded.length} bytes early`)
      window = Buffer.from(loaded.buffer, loaded.byteOffset, loaded.length)
      base = at
      parsed = parseRecord(window, 0, end - at, seed)
    }
    if (parsed.kind === 'record') {
      if (tail !== 'clean') damagedRuns += 1
      tail = 'clean'
      const offset = at
      at += parsed.bytes
      goodEnd = at
      if (visit({ sequence: parsed.sequence, payload: parsed.payload, offset, endOffset: at }))
        return { endOffset: goodEnd, damagedRuns, tail, stopped: true }
      continue
    }
    if (tail === 'clean') tail = parsed.kind === 'incomplete' ? 'torn' : 'damaged'
    const marker = window.indexOf(RECORD_MARKER, at - base + 1)
    // A marker may begin in the last three bytes of the window.
    at = marker >= 0 ? base + marker : Math.max(at + 1, Math.min(base + window.length - RECORD_MARKER.length + 1, end))
  }
  return { endOffset: goodEnd, damagedRuns, tail, stopped: false }
}

/** @returns which of the epochs the records at the beginning of a segment belong to */
export async function probeEpoch(
  read: (position: number, length: number) => Promise<Uint8Array>,
  bytes: number,
  candidates: Iterable<string>,
): Promise<string | undefined> {
  for (const epoch of candidates) {
    const range = { from: 0, end: Math.min(bytes, PROBE_BYTES), seed: epochSeed(epoch) }
    const { stopped } = await scanRecords(read, range, () => true)
    if (stopped) return epoch
  }
  return undefined
}
