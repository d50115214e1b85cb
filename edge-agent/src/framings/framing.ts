/** From the bytes of a serial line to values, and back for acknowledgements; see docs/serial-framings.md. */

/** Bytes of one line or encoded frame, without its ending. */
export const FRAME_BYTES_MAX = 4_096

export type Frame =
  | { readonly value: unknown; readonly original: Uint8Array }
  | { readonly reason: string; readonly detail: string; readonly original: Uint8Array }

/** A range of sequences, both ends included. */
export type SequenceRange = readonly [first: number, last: number]

export interface Framing {
  /** What became complete with these bytes, good and refused, in the order of the line. Never throws. */
  push(bytes: Uint8Array): Frame[]
  /** The line was interrupted: gives up what is unfinished, and forgets what the device had announced. */
  reset(): Frame[]
  /** One or more complete lines or frames, each within `FRAME_BYTES_MAX`. */
  encodeAcknowledgement(ranges: readonly SequenceRange[]): Uint8Array
}
