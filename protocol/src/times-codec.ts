/** Fields 4 to 6 of a block, of samples as of windows: their times. */
import type { Budget } from './column-codec.ts'
import { malformed, tooLarge } from './decode-error.ts'
import { decodeTimeSteps, encodeTimeSteps } from './time-steps.ts'
import { EMPTY_SPAN, type Span } from './varints.ts'
import {
  FIXED64,
  LENGTH,
  type Reader,
  readBytes,
  readSpan,
  type Writer,
  writeBytes,
  writeDouble,
  writeSpan,
} from './wire.ts'

/** What was read of a block's times. */
export interface TimesFields {
  firstMs?: number
  steps?: Span
  doubles?: Uint8Array
}

/** @param scratch VARINT_BYTES_MAX bytes a time, for the while of the call */
export function encodeTimes(writer: Writer, timesMs: Float64Array, scratch: Uint8Array): void {
  const steps = encodeTimeSteps(timesMs, scratch)
  if (steps) {
    writeDouble(writer, 4, timesMs[0] ?? 0)
    if (steps.end > steps.start) writeSpan(writer, 5, steps)
  } else writeBytes(writer, 6, new Uint8Array(timesMs.buffer, timesMs.byteOffset, timesMs.byteLength))
}

/** @returns false when the tag is none of a time's */
export function readTimesField(reader: Reader, tag: number, fields: TimesFields): boolean {
  if (tag === ((4 << 3) | FIXED64)) fields.firstMs = reader.double()
  else if (tag === ((5 << 3) | LENGTH)) fields.steps = readSpan(reader)
  else if (tag === ((6 << 3) | LENGTH)) fields.doubles = readBytes(reader)
  else return false
  return true
}

/** @throws DecodeError before room is taken for more times than there are bytes or the batch may have */
export function decodeTimes(
  { firstMs = 0, steps = EMPTY_SPAN, doubles }: TimesFields,
  count: number,
  budget: Budget,
): Float64Array {
  budget.samples -= count
  if (budget.samples < 0) throw tooLarge('the batch has more samples than are allowed')
  if (doubles) {
    if (doubles.length !== count * 8) throw malformed(`${doubles.length} bytes where ${count} times were announced`)
    const timesMs = new Float64Array(count)
    new Uint8Array(timesMs.buffer).set(doubles)
    return timesMs
  }
  // Each sample but the first has a step of at least one byte.
  if (count - 1 > steps.end - steps.start)
    throw malformed(`${steps.end - steps.start} bytes of time steps for ${count} samples`)
  return decodeTimeSteps(firstMs, steps, budget.numbers.take(count))
}
