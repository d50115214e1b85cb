/** The part of a batch that is read without inflating anything. */
import type { BatchHeader, ClockQuality, Lane } from './batch.ts'
import { epochFromBytes, epochToBytes } from './body-codec.ts'
import { DecodeError, malformed } from './decode-error.ts'
import { NAME_BYTES_MAX } from './limits.ts'
import {
  createReader,
  createWriter,
  FIXED64,
  LENGTH,
  readBytes,
  readFields,
  readSafeInteger,
  readText,
  VARINT,
  writeBytes,
  writeDouble,
  writeText,
  writeUnsigned,
} from './wire.ts'

/** The format version that this code writes. It reads this and every earlier one. */
export const BATCH_FORMAT_VERSION = 2

// Positions are the numbers on the wire: only ever add at the end.
const LANES: readonly Lane[] = ['live', 'backlog']
const CLOCK_QUALITIES: readonly ClockQuality[] = ['trusted', 'untrusted', 'corrected', 'estimated']

export function encodeHeader(header: BatchHeader): Uint8Array {
  const writer = createWriter()
  writeUnsigned(writer, 1, header.formatVersion)
  writeText(writer, 2, header.agent)
  writeBytes(writer, 3, epochToBytes(header.epoch))
  writeUnsigned(writer, 4, header.sequence)
  writeUnsigned(writer, 5, LANES.indexOf(header.lane))
  writeDouble(writer, 6, header.createdAtMs)
  writeDouble(writer, 7, header.completeThroughMs)
  writeText(writer, 8, header.bootId)
  writeUnsigned(writer, 9, CLOCK_QUALITIES.indexOf(header.clockQuality))
  writeUnsigned(writer, 10, header.sampleCount)
  writeUnsigned(writer, 11, header.readingCount)
  writeUnsigned(writer, 12, header.readingsTotal)
  writeUnsigned(writer, 13, header.backlogBatches)
  writeUnsigned(writer, 14, header.backlogBytes)
  writeDouble(writer, 15, header.drainSeconds)
  writeDouble(writer, 16, header.monotonicMs)
  return writer.finish()
}

export function decodeHeaderMessage(bytes: Uint8Array): BatchHeader {
  const reader = createReader(bytes)
  const header = {
    formatVersion: 0,
    agent: '',
    epoch: '',
    sequence: 0,
    lane: 'live' as Lane,
    createdAtMs: 0,
    completeThroughMs: 0,
    bootId: '',
    clockQuality: 'trusted' as ClockQuality,
    sampleCount: 0,
    readingCount: 0,
    readingsTotal: 0,
    backlogBatches: 0,
    backlogBytes: 0,
    drainSeconds: 0,
    monotonicMs: 0,
  }
  const oneOf = <T>(names: readonly T[], what: string): T => {
    const place = reader.uint32()
    const name = names[place]
    if (name === undefined) throw malformed(`${what} ${place} is not in use`)
    return name
  }
  readFields(reader, reader.len, (tag) => {
    switch (tag) {
      case (1 << 3) | VARINT:
        header.formatVersion = reader.uint32()
        // At once: a later version may give the rest another meaning.
        if (header.formatVersion > BATCH_FORMAT_VERSION)
          throw new DecodeError(
            'unknown_version',
            `format version ${header.formatVersion}; this program reads up to ${BATCH_FORMAT_VERSION}: update it`,
          )
        return true
      case (2 << 3) | LENGTH:
        header.agent = readText(reader, NAME_BYTES_MAX, "the agent's name")
        return true
      case (3 << 3) | LENGTH:
        header.epoch = epochFromBytes(readBytes(reader))
        return true
      case (4 << 3) | VARINT:
        header.sequence = readSafeInteger(reader, 'the sequence')
        return true
      case (5 << 3) | VARINT:
        header.lane = oneOf(LANES, 'lane')
        return true
      case (6 << 3) | FIXED64:
        header.createdAtMs = reader.double()
        return true
      case (7 << 3) | FIXED64:
        header.completeThroughMs = reader.double()
        return true
      case (8 << 3) | LENGTH:
        header.bootId = readText(reader, NAME_BYTES_MAX, 'the boot id')
        return true
      case (9 << 3) | VARINT:
        header.clockQuality = oneOf(CLOCK_QUALITIES, 'clock quality')
        return true
      case (10 << 3) | VARINT:
        header.sampleCount = reader.uint32()
        return true
      case (11 << 3) | VARINT:
        header.readingCount = reader.uint32()
        return true
      case (12 << 3) | VARINT:
        header.readingsTotal = readSafeInteger(reader, 'the total of readings')
        return true
      case (13 << 3) | VARINT:
        header.backlogBatches = readSafeInteger(reader, 'the backlog')
        return true
      case (14 << 3) | VARINT:
        header.backlogBytes = readSafeInteger(reader, 'the backlog')
        return true
      case (15 << 3) | FIXED64:
        header.drainSeconds = reader.double()
        return true
      case (16 << 3) | FIXED64:
        header.monotonicMs = reader.double()
        return true
      default:
        return false
    }
  })
  if (header.formatVersion === 0) throw malformed('the header has no format version')
  return header
}
