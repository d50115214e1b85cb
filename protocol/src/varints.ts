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

/** Reads exactly `count` unsigned varints, which must fill the bytes. */
export function readVarints(bytes: Uint8Array, count: number): Uint32Array {
  if (count > bytes.length) throw malformed(`${bytes.length} bytes cannot hold ${count} numbers`)
  const values = new Uint32Array(count)
  let at = 0
  for (let i = 0; i < count; i++) {
    let byte = bytes[at++] as number
    let value = byte & 127
    for (let shift = 7; byte > 127; shift += 7) {
      if (shift > 28 || at >= bytes.length) throw malformed(`number ${i} of ${count} has no end`)
      byte = bytes[at++] as number
      value |= (byte & 127) << shift
    }
    values[i] = value
    if (at >= bytes.length && i < count - 1) throw malformed(`${i + 1} numbers where ${count} were announced`)
  }
  if (at !== bytes.length) throw malformed(`bytes are left after ${count} numbers`)
  return values
}
