/** One bit an item, lowest bit of each byte first. */
import { malformed } from './decode-error.ts'

export const bitmapBytes = (count: number): number => (count + 7) >>> 3

/** @param flags anything but 0 counts as set */
export function packBits(flags: Uint8Array): Uint8Array {
  const bits = new Uint8Array(bitmapBytes(flags.length))
  for (let i = 0; i < flags.length; i++) if (flags[i] !== 0) bits[i >>> 3] = (bits[i >>> 3] as number) | (1 << (i & 7))
  return bits
}

/** @returns `count` items of 0 or 1 */
export function unpackBits(bits: Uint8Array, count: number): Uint8Array {
  if (bits.length !== bitmapBytes(count))
    throw malformed(`a bitmap of ${bits.length} bytes stands for ${count} samples`)
  const spare = count & 7
  if (spare !== 0 && (bits[bits.length - 1] as number) >>> spare !== 0)
    throw malformed('a bitmap has bits set beyond its last sample')
  const flags = new Uint8Array(count)
  for (let i = 0; i < count; i++) flags[i] = ((bits[i >>> 3] as number) >>> (i & 7)) & 1
  return flags
}

export function countSet(flags: Uint8Array): number {
  let count = 0
  for (let i = 0; i < flags.length; i++) if (flags[i] !== 0) count++
  return count
}
