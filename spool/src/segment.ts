/** One file of the spool: its name, its header, and what is known of it in memory. Byte table: FORMAT.md. */
import { crc32 } from 'node:zlib'
import type { SpoolEpoch } from './identity.ts'

export const SEGMENT_HEADER_BYTES = 40
export const FORMAT_VERSION = 1
const MAGIC = Buffer.from('TRBSPOOL', 'latin1')
/** One index entry for so many bytes of a segment at most: 16 entries a segment whatever its size. */
const INDEX_ENTRIES = 16

/** Twenty digits, so that the order of the names is the order of the sequences. */
export const segmentName = (firstSequence: number): string => `${String(firstSequence).padStart(20, '0')}.seg`

/** @returns undefined when it is no segment's name */
export function parseSegmentName(name: string): number | undefined {
  const digits = /^(\d{20})\.seg$/.exec(name)?.[1]
  const sequence = Number(digits)
  return digits && Number.isSafeInteger(sequence) && sequence > 0 ? sequence : undefined
}

export function encodeSegmentHeader({ epoch, firstSequence }: SpoolEpoch, segmentFirstSequence: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt16LE(FORMAT_VERSION, 8)
  header.writeUInt16LE(SEGMENT_HEADER_BYTES, 10)
  header.write(epoch, 12, 8, 'hex')
  header.writeUIntLE(firstSequence, 20, 6)
  header.writeUIntLE(segmentFirstSequence, 26, 6)
  header.writeUInt32LE(crc32(header.subarray(0, 36)), 36)
  return header
}

/** @returns undefined when it is no header; one of a later version says only that */
export function decodeSegmentHeader(
  bytes: Uint8Array,
): { version: number; epoch: SpoolEpoch; firstSequence: number } | undefined {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (header.length < SEGMENT_HEADER_BYTES || MAGIC.compare(header, 0, MAGIC.length) !== 0) return undefined
  if (crc32(header.subarray(0, 36)) !== header.readUInt32LE(36)) return undefined
  return {
    version: header.readUInt16LE(8),
    epoch: { epoch: header.toString('hex', 12, 20), firstSequence: header.readUIntLE(20, 6) },
    firstSequence: header.readUIntLE(26, 6),
  }
}

export interface Segment {
  readonly path: string
  readonly epoch: string
  readonly firstSequence: number
  /** Everything before is on the disk and may be read. */
  endOffset: number
  /** Reads in a row that failed. */
  readFailures: number
  /** Pairs of sequence and offset, both rising. */
  readonly index: { sequence: number; offset: number }[]
}

export const createSegment = (path: string, epoch: string, firstSequence: number, endOffset: number): Segment => ({
  path,
  epoch,
  firstSequence,
  endOffset,
  readFailures: 0,
  index: [],
})

/** The spool's segments in order of sequence; the last one is written to. Bounded: a fixed number of entries a segment. */
export interface SegmentList {
  readonly all: readonly Segment[]
  readonly bytes: number
  /** The segment that holds a sequence, if any does. */
  find(sequence: number): Segment | undefined
  /** Highest sequence that a segment can hold: the next one begins there. */
  lastSequenceOf(segment: Segment): number
  add(segment: Segment): void
  remove(segment: Segment): void
  grow(segment: Segment, bytes: number): void
  /** Remembers where a record lies, when the last one remembered is far enough away. */
  note(segment: Segment, sequence: number, offset: number): void
  /** Offset from which every record with this or a higher sequence is seen. */
  offsetBefore(segment: Segment, sequence: number): number
}

export function createSegmentList(segmentBytesMax: number): SegmentList {
  const all: Segment[] = []
  let bytes = 0
  const spacingBytes = Math.ceil(segmentBytesMax / INDEX_ENTRIES)
  const indexOf = (sequence: number): number => {
    let low = 0
    let high = all.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((all[middle] as Segment).firstSequence <= sequence) low = middle + 1
      else high = middle
    }
    return low - 1
  }
  return {
    all,
    get bytes() {
      return bytes
    },
    find: (sequence) => all[Math.max(0, indexOf(sequence))],
    lastSequenceOf(segment) {
      const next = all[indexOf(segment.firstSequence) + 1]
      return next ? next.firstSequence - 1 : Number.MAX_SAFE_INTEGER
    },
    add(segment) {
      all.splice(indexOf(segment.firstSequence) + 1, 0, segment)
      bytes += segment.endOffset
    },
    remove(segment) {
      const at = all.indexOf(segment)
      if (at < 0) return
      all.splice(at, 1)
      bytes -= segment.endOffset
    },
    grow(segment, grownBytes) {
      segment.endOffset += grownBytes
      bytes += grownBytes
    },
    note({ index }, sequence, offset) {
      const last = index[index.length - 1]
      if (!last || (sequence > last.sequence && offset >= last.offset + spacingBytes)) index.push({ sequence, offset })
    },
    offsetBefore({ index }, sequence) {
      for (let i = index.length - 1; i >= 0; i--) {
        const entry = index[i] as { sequence: number; offset: number }
        if (entry.sequence <= sequence) return entry.offset
      }
      return SEGMENT_HEADER_BYTES
    },
  }
}
