/**
 * Cuts a stream of bytes at a delimiter. What is longer than the limit is given up to the next delimiter, and begins anew there;
 * so whatever noise does to one line or frame, the next one is whole.
 */
import { FRAME_BYTES_MAX } from './framing.ts'

export interface Piece {
  readonly bytes: Uint8Array
  /** Bytes between the two delimiters; more than `bytes` holds when it was too long. */
  readonly length: number
}

export interface DelimitedReader {
  push(bytes: Uint8Array): Piece[]
  /** What is unfinished, if anything. */
  reset(): Piece | undefined
}

/** @param slack bytes beyond the limit that belong to the ending, such as the `\r` of `\r\n` */
export function createDelimitedReader(delimiter: number, slack: number): DelimitedReader {
  const kept = Buffer.alloc(FRAME_BYTES_MAX + slack)
  let length = 0

  const keep = (bytes: Uint8Array) => {
    if (length < kept.length) kept.set(bytes.subarray(0, kept.length - length), length)
    length += bytes.length
  }
  const take = (): Piece => {
    const piece = { bytes: Uint8Array.prototype.slice.call(kept, 0, Math.min(length, kept.length)), length }
    length = 0
    return piece
  }
  return {
    push(bytes) {
      const pieces: Piece[] = []
      let start = 0
      for (let end = bytes.indexOf(delimiter); end !== -1; end = bytes.indexOf(delimiter, start)) {
        keep(bytes.subarray(start, end))
        pieces.push(take())
        start = end + 1
      }
      keep(bytes.subarray(start))
      return pieces
    },
    reset: () => (length === 0 ? undefined : take()),
  }
}
