import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeDecimals, encodeDecimals } from './decimal-deltas.ts'
import { VARINT_BYTES_MAX } from './varints.ts'

const encode = (values: readonly number[]) =>
  encodeDecimals(Float64Array.from(values), new Uint8Array(values.length * VARINT_BYTES_MAX))

/** Decimals and bytes of the differences; undefined when it was refused. */
const form = (values: readonly number[]) => {
  const encoded = encode(values)
  return encoded && { decimals: encoded.decimals, base: encoded.base, bytes: encoded.deltas.end - encoded.deltas.start }
}

test('what is accepted comes back bit for bit', () => {
  const value = fc.oneof(
    fc.tuple(fc.integer(), fc.integer({ min: 0, max: 9 })).map(([n, decimals]) => n / 10 ** decimals),
    fc.double(),
    fc.constantFrom(0, -0, Number.NaN, 2 ** 53, 2 ** 53 - 1, 0.1 + 0.2, 1e22, -1e-9),
  )
  let accepted = 0
  fc.assert(
    fc.property(fc.array(value, { maxLength: 6 }), (values) => {
      const encoded = encode(values)
      if (!encoded) return
      accepted++
      // Object.is for each: -0 is not 0.
      expect(Array.from(decodeDecimals(encoded, new Float64Array(values.length)))).toStrictEqual(values)
    }),
    { numRuns: 3000 },
  )
  expect(accepted).toBeGreaterThan(300)
})

test('every decimal of a sensor is accepted, with as many decimals as it has', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 6 }),
      fc.array(fc.integer({ min: -1_000_000_000, max: 1_000_000_000 }), { minLength: 1, maxLength: 50 }),
      (decimals, scaled) => {
        // As a device's text is read: the nearest double to the decimal.
        const values = scaled.map((n) => Number(`${n}e-${decimals}`)).map((n) => (n === 0 ? 0 : n))
        expect(encode(values)?.decimals).toBeLessThanOrEqual(decimals)
      },
    ),
  )
})

test('neighbours take a byte each', () => {
  expect(form([21.31, 21.3, 21.28, 21.4])).toEqual({ decimals: 2, base: 0, bytes: 2 + 1 + 1 + 1 })
  expect(form([5, 6, 7])).toEqual({ decimals: 0, base: 0, bytes: 3 })
})

test('more decimals are found wherever they first appear', () => {
  const values = new Array(100).fill(1.5)
  values[60] = 1.625
  expect(form(values)?.decimals).toBe(3)
})

test('a large first value becomes the base', () => {
  expect(form([9_007_199_254_740_000, 9_007_199_254_740_991])).toMatchObject({
    decimals: 0,
    base: 9_007_199_254_740_000,
  })
  expect(form([3_000_000_000, 3_000_000_001])).toMatchObject({ base: 3_000_000_000 })
})

test.each<[string, number[]]>([
  ['minus zero', [1, -0, 2]],
  ['NaN', [1, Number.NaN]],
  ['infinity', [Number.POSITIVE_INFINITY]],
  ['ten decimals', [0.1234567891]],
  ['a third', [1 / 3]],
  ['a value of 32 bits', [Math.fround(21.3)]],
  ['a difference beyond 32 bits', [0, 2 ** 31]],
  ['a difference beyond 32 bits, the other way', [0, -(2 ** 31) - 1]],
  ['whole numbers beyond 2^53', [2 ** 60]],
])('%s is left to another form', (_, values) => {
  expect(encode(values)).toBeUndefined()
})

test('the longest differences that fit', () => {
  const values = [-1, 2 ** 31 - 2, -2]
  const encoded = encode(values)
  expect(encoded && Array.from(decodeDecimals(encoded, new Float64Array(3)))).toEqual(values)
})
