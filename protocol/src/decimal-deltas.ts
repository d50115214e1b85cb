/**
 * Guarantee: what `encodeDecimals` accepts, `decodeDecimals` gives back bit for bit: each value was divided back and
 * compared before it was written. It refuses (undefined) what cannot be had so: NaN, infinities, −0, more than nine
 * decimals, differences beyond 32 bits.
 *
 * A value with d decimals is a whole number over 10^d; neighbours in time differ little, so the differences are short.
 */
import { strict as assert } from 'node:assert'
import { malformed } from './decode-error.ts'
import { putVarint, type Span, VARINT_BYTES_MAX, zigzag } from './varints.ts'

export const DECIMALS_MAX = 9
const POWERS = Float64Array.of(1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
const PROBED_VALUES = 16

export interface DecimalDeltas {
  readonly decimals: number
  /** What the first difference counts from. */
  readonly base: number
  /** Zigzag varints, one a value. */
  readonly deltas: Span
}

/** The whole number that stands for the value, or NaN when it does not give the value back. */
function scale(value: number, power: number): number {
  const scaled = Math.round(value * power)
  if (scaled / power !== value || Math.abs(scaled) > Number.MAX_SAFE_INTEGER) return Number.NaN
  return value === 0 && Object.is(value, -0) ? Number.NaN : scaled
}

/** The fewest decimals, from `from` on, that give the value back; beyond DECIMALS_MAX when none do. */
export function decimalsOf(value: number, from = 0): number {
  let decimals = from
  while (decimals <= DECIMALS_MAX && Number.isNaN(scale(value, POWERS[decimals] as number))) decimals++
  return decimals
}

/** @param bytes room for the differences, VARINT_BYTES_MAX a value */
export function encodeDecimals(values: Float64Array, bytes: Uint8Array): DecimalDeltas | undefined {
  let decimals = 0
  for (let i = 0; i < values.length && i < PROBED_VALUES; i++) decimals = decimalsOf(values[i] as number, decimals)
  assert(bytes.length >= values.length * VARINT_BYTES_MAX)
  while (decimals <= DECIMALS_MAX) {
    const power = POWERS[decimals] as number
    const first = values.length > 0 ? scale(values[0] as number, power) : 0
    const base = first === (first | 0) ? 0 : first
    let previous = base
    let at = 0
    let i = 0
    for (; i < values.length; i++) {
      const scaled = scale(values[i] as number, power)
      const delta = scaled - previous
      if (delta !== (delta | 0)) break
      previous = scaled
      at = putVarint(bytes, at, zigzag(delta))
    }
    if (i === values.length) return { decimals, base, deltas: { bytes, start: 0, end: at } }
    // Either this value needs more decimals, or its difference is too long, which more decimals would make longer still.
    const needed = decimalsOf(values[i] as number, decimals)
    if (needed === decimals) return undefined
    decimals = needed
  }
  return undefined
}

/** @param values is filled, as many as it holds */
export function decodeDecimals({ decimals, base, deltas }: DecimalDeltas, values: Float64Array): Float64Array {
  const { bytes, start, end } = deltas
  const count = values.length
  if (decimals > DECIMALS_MAX) throw malformed(`${decimals} decimals; at most ${DECIMALS_MAX} are in use`)
  if (!Number.isSafeInteger(base)) throw malformed(`the base of a decimal column is ${base}, no whole number`)
  const power = POWERS[decimals] as number
  let sum = base
  let at = start
  for (let i = 0; i < count; i++) {
    if (at >= end) throw malformed(`${i} differences where ${count} were announced`)
    let byte = bytes[at++] as number
    let bits = byte & 127
    for (let shift = 7; byte > 127; shift += 7) {
      if (shift > 28 || at >= end) throw malformed(`difference ${i} of ${count} has no end`)
      byte = bytes[at++] as number
      bits |= (byte & 127) << shift
    }
    sum += (bits >>> 1) ^ -(bits & 1)
    values[i] = sum / power
  }
  if (at !== end) throw malformed(`bytes are left after ${count} differences`)
  return values
}
