/** Runs of 32-bit varints over plain bytes: what protobuf calls a packed field. */
import { malformed } from './decode-error.ts'

/** Bytes that a 32-bit varint takes at most. */
export const VARINT_BYTES_MAX = 5

/** Writes an unsigned 32-bit varint and returns the position after it. */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value > 127) {
    bytes[at++] = (value & 127) | 128
    value >>>= 7
  }
  bytes[at] = value
  return at + 1
}

/** Zigzag: small numbers of either sign become small unsigned ones (0, −1, 1, −2 → 0, 1, 2, 3). */
export const zigzag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0

/** A stretch of bytes: what a view would say, without the cost of making one. */
export interface Span {
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
}

export const EMPTY_SPAN: Span = { bytes: new Uint8Array(0), start: 0, end: 0 }

/** Reads exactly `count` unsigned varints, which must fill the span. */
export function readVarints({ bytes, start, end }: Span, count: number): Uint32Array {
  if (count > end - start) throw malformed(`${end - start} bytes cannot hold ${count} numbers`)
  const values = new Uint32Array(count)
  let at = start
  for (let i = 0; i < count; i++) {
    if (at >= end) throw malformed(`${i} numbers where ${count} were announced`)
    let byte = bytes[at++] as number
    let value = byte & 127
    for (let shift = 7; byte > 127; shift += 7) {
      if (shift > 28 || at >= end) throw malformed(`number ${i} of ${count} has no end`)
      byte = bytes[at++] as number
      value |= (byte & 127) << shift
    }
    values[i] = value
  }
  if (at !== end) throw malformed(`bytes are left after ${count} numbers`)
  return values
}
