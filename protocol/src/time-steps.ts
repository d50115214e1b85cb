/**
 * Times of a block as the first time and then changes of the interval: regular sampling is a run of zeros.
 * Guarantee as for decimals: what is accepted comes back exactly; the rest (undefined) travels as doubles.
 */
import { malformed } from './decode-error.ts'
import { putVarint, readVarints, VARINT_BYTES_MAX, zigzag } from './varints.ts'

/** @returns zigzag varints, one for each time but the first */
export function encodeTimeSteps(timesMs: Float64Array): Uint8Array | undefined {
  const bytes = new Uint8Array(Math.max(0, timesMs.length - 1) * VARINT_BYTES_MAX)
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
  return bytes.subarray(0, at)
}

export function decodeTimeSteps(firstMs: number, steps: Uint8Array, count: number): Float64Array {
  if (count === 0) {
    if (steps.length > 0) throw malformed('time steps without samples')
    return new Float64Array(0)
  }
  const zigzags = readVarints(steps, count - 1)
  const timesMs = new Float64Array(count)
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
