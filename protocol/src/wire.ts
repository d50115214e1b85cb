/** Tags, texts and nested messages of protobuf, on protobufjs' minimal Reader and Writer. */
import { isUtf8 } from 'node:buffer'
import protobuf from 'protobufjs/minimal.js'
import { malformed, tooLarge } from './decode-error.ts'
import type { Span } from './varints.ts'

export type Reader = protobuf.Reader
export type Writer = protobuf.Writer
export const createWriter = (): Writer => protobuf.Writer.create()

/** Reads these very bytes, without a copy. */
export const createReader = (bytes: Uint8Array): Reader =>
  protobuf.Reader.create(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))

/** Wire types: the low three bits of a tag. */
export const VARINT = 0
export const FIXED64 = 1
export const LENGTH = 2
export const FIXED32 = 5

/**
 * Calls `onField` with each tag (field number × 8 + wire type) up to `end`; what it does not know (false) is skipped,
 * as protobuf wants it.
 */
export function readFields(reader: Reader, end: number, onField: (tag: number) => boolean): void {
  while (reader.pos < end) {
    const tag = reader.tag()
    if (tag >>> 3 === 0) throw malformed(`field number 0 at byte ${reader.pos}`)
    if (!onField(tag)) skipField(reader, tag & 7)
  }
  if (reader.pos !== end) throw malformed(`a message ends at byte ${end}, its last field at ${reader.pos}`)
}

function skipField(reader: Reader, wireType: number): void {
  if (wireType === VARINT) reader.skip()
  else if (wireType === FIXED64) reader.skip(8)
  else if (wireType === FIXED32) reader.skip(4)
  else if (wireType === LENGTH) reader.pos = readEnd(reader)
  else throw malformed(`wire type ${wireType} is not in use`)
}

/** Where the length-delimited field that begins here ends. */
export function readEnd(reader: Reader): number {
  const length = reader.uint32()
  const end = reader.pos + length
  if (end > reader.len) throw new RangeError(`index out of range: ${reader.pos} + ${length} > ${reader.len}`)
  return end
}

/** A view of the bytes of a length-delimited field, not a copy. */
export function readBytes(reader: Reader): Uint8Array {
  const end = readEnd(reader)
  const bytes = reader.buf.subarray(reader.pos, end)
  reader.pos = end
  return bytes
}

/** The bytes of a length-delimited field, where they lie. */
export function readSpan(reader: Reader): Span {
  const end = readEnd(reader)
  const span = { bytes: reader.buf, start: reader.pos, end }
  reader.pos = end
  return span
}

/** @param bytesMax limit of the text in UTF-8 */
export function readText(reader: Reader, bytesMax: number, what: string): string {
  const { bytes, start, end } = readSpan(reader)
  if (end - start > bytesMax) throw tooLarge(`${what} has ${end - start} bytes; ${bytesMax} are allowed`)
  const buffer = bytes as Buffer
  // Nearly every text here is short and ASCII: no view and no call for those.
  let at = start
  while (at < end && (buffer[at] as number) < 128) at++
  if (at === end) return buffer.toString('latin1', start, end)
  if (!isUtf8(buffer.subarray(start, end))) throw malformed(`${what} is not UTF-8`)
  return buffer.toString('utf8', start, end)
}

/** Short ASCII texts that were read, each where its hash says; another one takes its place. */
const NAMES_KNOWN = 1_024
const KNOWN_LENGTH_MAX = 64
const known = new Array<string>(NAMES_KNOWN).fill('')

/** As `readText`, for names that come again in every block: the same string each time, without making it anew. */
export function readName(reader: Reader, bytesMax: number, what: string): string {
  const from = reader.pos
  const end = readEnd(reader)
  const { buf, pos: start } = reader
  const length = end - start
  let hash = length
  let bits = 0
  for (let at = start; at < end; at++) {
    const byte = buf[at] as number
    hash = (Math.imul(hash, 31) + byte) | 0
    bits |= byte
  }
  reader.pos = from
  if (bits >= 128 || length > KNOWN_LENGTH_MAX) return readText(reader, bytesMax, what)
  const slot = hash & (NAMES_KNOWN - 1)
  const candidate = known[slot] as string
  if (candidate.length === length && isAt(candidate, buf, start)) {
    reader.pos = end
    return candidate
  }
  const text = readText(reader, bytesMax, what)
  known[slot] = text
  return text
}

function isAt(text: string, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false
  return true
}

/** A 64-bit varint that must be below 2^53. */
export function readSafeInteger(reader: Reader, what: string): number {
  const value = Number(reader.uint64())
  if (!Number.isSafeInteger(value)) throw malformed(`${what} is beyond 2^53`)
  return value
}

/** Writes a text as UTF-8, an unpaired surrogate as U+FFFD. Nothing is written for '', as proto3 has it. */
export function writeText(writer: Writer, field: number, text: string): void {
  if (text !== '') writeTag(writer, field, LENGTH).string(wellFormed(text))
}

const SURROGATE = /[\ud800-\udfff]/

/** The text with unpaired surrogates replaced. */
export const wellFormed = (text: string): string =>
  SURROGATE.test(text) ? Buffer.from(text, 'utf8').toString('utf8') : text

export const writeTag = (writer: Writer, field: number, wireType: number): Writer =>
  writer.uint32((field << 3) | wireType)

export function writeSpan(writer: Writer, field: number, { bytes, start, end }: Span): void {
  writeTag(writer, field, LENGTH).bytes(bytes.subarray(start, end))
}

export function writeBytes(writer: Writer, field: number, bytes: Uint8Array): void {
  writeTag(writer, field, LENGTH).bytes(bytes)
}

export function writeUnsigned(writer: Writer, field: number, value: number): void {
  if (value === 0) return
  writeTag(writer, field, VARINT)
  if (value <= 0xffffffff) writer.uint32(value)
  else writer.uint64(value)
}

export function writeDouble(writer: Writer, field: number, value: number): void {
  if (!Object.is(value, 0)) writeTag(writer, field, FIXED64).double(value)
}

export function writeMessage(writer: Writer, field: number, content: (writer: Writer) => void): void {
  writeTag(writer, field, LENGTH).fork()
  content(writer)
  writer.ldelim()
}
