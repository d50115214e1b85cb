/**
 * A batch as bytes: protobuf (`proto/telemetry.proto`), the header outside and the body deflated.
 * Guarantee: `decodeBatch(encodeBatch(batch))` gives the same batch, bit for bit (a slot whose sample lacks the field comes back
 * as 0 or ''; presence that is complete as null). Decoding ends in a batch or a `DecodeError`, whatever the bytes.
 */
import { constants, crc32, deflateSync, inflateSync } from 'node:zlib'
import type { Batch, BatchHeader, SendFields } from './batch.ts'
import { faultOf, headerFault } from './batch-faults.ts'
import { type Body, decodeBody, encodeBody } from './body-codec.ts'
import { DecodeError, malformed, tooLarge } from './decode-error.ts'
import { BATCH_FORMAT_VERSION, decodeHeaderMessage, encodeHeader } from './header-codec.ts'
import { BATCH_BODY_BYTES_MAX, BATCH_BYTES_MAX } from './limits.ts'
import { createReader, createWriter, FIXED32, LENGTH, readBytes, readFields, VARINT, writeBytes } from './wire.ts'

export { BATCH_FORMAT_VERSION } from './header-codec.ts'

/** "TRB1", little-endian; with its tag in front these are the first five bytes of every batch. */
const MAGIC = 0x31425254
const FIRST_BYTES = Uint8Array.of(0x0d, 0x54, 0x52, 0x42, 0x31)

/** What a window of 12 bits sees at once. */
const SMALL_BODY_BYTES = 4096

interface Envelope {
  readonly header: Uint8Array
  readonly body: Uint8Array
  readonly bodyBytesInflated: number
}

/**
 * Encodes a batch.
 * @throws RangeError when it breaks a limit or contradicts itself, the counts of its header among that (`countSamples`, `countReadings`)
 */
export function encodeBatch(batch: Batch): Uint8Array {
  if (batch.header.formatVersion !== BATCH_FORMAT_VERSION)
    throw new RangeError(`format version ${batch.header.formatVersion}; only ${BATCH_FORMAT_VERSION} is written`)
  const fault = faultOf(batch)
  if (fault) throw new RangeError(fault.detail)
  const body = encodeBody(batch)
  if (body.length > BATCH_BODY_BYTES_MAX)
    throw new RangeError(`a body of ${body.length} bytes; ${BATCH_BODY_BYTES_MAX} are allowed`)
  return encodeEnvelope({
    header: encodeHeader(batch.header),
    body: deflate(body),
    bodyBytesInflated: body.length,
  })
}

/**
 * Reads the header without inflating the body: what the gateway's admission needs. Checks the lengths and both checksums.
 * @throws DecodeError and nothing else
 */
export function decodeHeader(bytes: Uint8Array): BatchHeader {
  return decoding(() => checkedHeader(decodeEnvelope(bytes)))
}

/**
 * Decodes the whole.
 * @throws DecodeError and nothing else, whatever the bytes
 */
export function decodeBatch(bytes: Uint8Array): Batch {
  return decoding(() => {
    const envelope = decodeEnvelope(bytes)
    const batch = { header: decodeHeaderMessage(envelope.header), ...inflateBody(envelope) }
    const fault = faultOf(batch)
    if (fault) throw new DecodeError(fault.tooLarge ? 'too_large' : 'malformed', fault.detail)
    return batch
  })
}

/**
 * The same batch with other send fields; the body is copied, not decoded.
 * @throws DecodeError when the bytes are no batch, RangeError when the fields are none
 */
export function rewriteSendFields(bytes: Uint8Array, fields: SendFields): Uint8Array {
  const [envelope, before] = decoding(() => {
    const parsed = decodeEnvelope(bytes)
    return [parsed, checkedHeader(parsed)] as const
  })
  const { lane, backlogBatches, backlogBytes, drainSeconds } = fields
  const header = { ...before, lane, backlogBatches, backlogBytes, drainSeconds }
  const fault = headerFault(header)
  if (fault) throw new RangeError(fault)
  return encodeEnvelope({ ...envelope, header: encodeHeader(header) })
}

function encodeEnvelope({ header, body, bodyBytesInflated }: Envelope): Uint8Array {
  const writer = createWriter()
  writer.uint32((1 << 3) | FIXED32).fixed32(MAGIC)
  writer.uint32((2 << 3) | FIXED32).fixed32(crc32(header))
  writeBytes(writer, 3, header)
  writer.uint32((4 << 3) | FIXED32).fixed32(crc32(body))
  writer.uint32((5 << 3) | VARINT).uint32(bodyBytesInflated)
  writeBytes(writer, 6, body)
  const bytes = writer.finish()
  if (bytes.length > BATCH_BYTES_MAX)
    throw new RangeError(`a batch of ${bytes.length} bytes; ${BATCH_BYTES_MAX} are allowed`)
  return bytes
}

function decodeEnvelope(bytes: Uint8Array): Envelope {
  if (bytes.length > BATCH_BYTES_MAX) throw tooLarge(`${bytes.length} bytes; a batch has at most ${BATCH_BYTES_MAX}`)
  for (let i = 0; i < FIRST_BYTES.length && i < bytes.length; i++)
    if (bytes[i] !== FIRST_BYTES[i]) throw new DecodeError('not_a_batch', 'a batch begins with 0d 54 52 42 31')
  const reader = createReader(bytes)
  let header: Uint8Array | undefined
  let body: Uint8Array | undefined
  // Zero may be left out, as proto3 has it.
  let headerCrc = 0
  let bodyCrc = 0
  let bodyBytesInflated = 0
  try {
    readFields(reader, reader.len, (tag) => {
      if (tag === ((1 << 3) | FIXED32)) reader.fixed32()
      else if (tag === ((2 << 3) | FIXED32)) headerCrc = reader.fixed32()
      else if (tag === ((3 << 3) | LENGTH)) header = readBytes(reader)
      else if (tag === ((4 << 3) | FIXED32)) bodyCrc = reader.fixed32()
      else if (tag === ((5 << 3) | VARINT)) bodyBytesInflated = reader.uint32()
      else if (tag === ((6 << 3) | LENGTH)) body = readBytes(reader)
      else return false
      return true
    })
  } catch (error) {
    if (error instanceof RangeError)
      throw new DecodeError('cut_short', `the batch ends after ${bytes.length} bytes, inside a field`, { cause: error })
    throw error
  }
  if (!header || !body)
    throw new DecodeError('cut_short', `the batch ends after ${bytes.length} bytes, before its last field`)
  for (const [what, expected, part] of [
    ['header', headerCrc, header],
    ['body', bodyCrc, body],
  ] as const)
    if (crc32(part) !== expected) throw new DecodeError('bad_checksum', `the checksum of the ${what} is wrong`)
  return { header, body, bodyBytesInflated }
}

function checkedHeader(envelope: Envelope): BatchHeader {
  const header = decodeHeaderMessage(envelope.header)
  const fault = headerFault(header)
  if (fault) throw malformed(fault)
  return header
}

/** A small body gets a small window: setting up a large one would take longer than deflating it. */
function deflate(body: Uint8Array): Uint8Array {
  const small = body.length <= SMALL_BODY_BYTES
  return deflateSync(body, {
    level: constants.Z_BEST_SPEED,
    windowBits: small ? 12 : 15,
    memLevel: small ? 5 : 8,
    chunkSize: body.length + (body.length >>> 9) + 128,
  })
}

function inflateBody({ body, bodyBytesInflated }: Envelope): Body {
  if (bodyBytesInflated > BATCH_BODY_BYTES_MAX)
    throw tooLarge(`the body announces ${bodyBytesInflated} bytes; ${BATCH_BODY_BYTES_MAX} are allowed`)
  // Deflate makes at most 1032 bytes of one, so a short body cannot take much by announcing much.
  const chunkSize = Math.max(64, Math.min(bodyBytesInflated, body.length * 1032) + 1)
  const inflated = inflateSync(body, { maxOutputLength: Math.max(1, bodyBytesInflated), chunkSize })
  if (inflated.length !== bodyBytesInflated)
    throw malformed(`the body announces ${bodyBytesInflated} bytes and has ${inflated.length}`)
  return decodeBody(inflated)
}

/** Runs a decoder; what protobufjs, zlib or the runtime throw at hostile bytes becomes a DecodeError. */
function decoding<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof DecodeError) throw error
    throw new DecodeError('malformed', error instanceof Error ? error.message : String(error), { cause: error })
  }
}
