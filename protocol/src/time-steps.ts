/**
 * Times of a block as the first time and then changes of the interval: regular sampling is a run of zeros.
 * Guarantee as for decimals: what is accepted comes back exactly; the rest (undefined) travels as doubles.
 */

import { strict as assert } from 'node:assert'
import { malformed } from './decode-error.ts'
import { putVarint, readVarints, type Span, VARINT_BYTES_MAX, zigzag } from './varints.ts'

/**
 * @param bytes room for the steps, VARINT_BYTES_MAX a time
 * @returns zigzag varints, one for each time but the first
 */
export function encodeTimeSteps(timesMs: Float64Array, bytes: Uint8Array): Span | undefined {
  assert(bytes.length >= (timesMs.length - 1) * VARINT_BYTES_MAX)
  let at = 0
  let previousMs = timesMs[0] ?? 0
  let intervalMs = 0
  if (!Number.isSafeInteger(previousMs) || Object.is(previousMs, -0)) return undefined
  for (let i = 1; i < timesMs.length; i++) {
    const timeMs = timesMs[i] as number
    const nextIntervalMs = timeMs - previousMs
    const step = nextIntervalMs - intervalMs
    if (step !== (step | 0) || !Number.isSafeInteger(timeMs) || Object.is(timeMs, -0)) return undefined
    at = putVarint(bytes, at, zigzag(step))
    previousMs = timeMs
    intervalMs = nextIntervalMs
  }
  return { bytes, start: 0, end: at }
}

/** @param timesMs is filled, as many as it holds */
export function decodeTimeSteps(firstMs: number, steps: Span, timesMs: Float64Array): Float64Array {
  const count = timesMs.length
  if (count === 0) {
    if (steps.end > steps.start) throw malformed('time steps without samples')
    return timesMs
  }
  const zigzags = readVarints(steps, count - 1)
  let timeMs = firstMs
  let intervalMs = 0
  timesMs[0] = timeMs
  for (let i = 1; i < count; i++) {
    const bits = zigzags[i - 1] as number
    intervalMs += (bits >>> 1) ^ -(bits & 1)
    timeMs += intervalMs
    timesMs[i] = timeMs
  }
  return timesMs
}
