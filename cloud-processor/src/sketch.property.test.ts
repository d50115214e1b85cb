import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  BUCKETS_PER_SIGN_MAX,
  createSketch,
  mergeSketch,
  quantiles,
  RELATIVE_ERROR,
  rankOf,
  renumberSlots,
  type Sketch,
  sketchedCount,
  sketchRun,
} from './sketch.ts'

/** What buckets alone may err; the rest of the stated error is for rounding. */
const BUCKET_ERROR = RELATIVE_ERROR - 0.0005
const SHARES = [0, 0.01, 0.25, 0.5, 0.75, 0.95, 0.99, 1]

const sketchOf = (values: readonly number[], slot = 0): Sketch => {
  const sketch = createSketch()
  sketchRun(sketch, slot, Float64Array.from(values), null, null, 0, values.length)
  return sketch
}
const merged = (...sketches: readonly Sketch[]): Sketch => {
  const sum = createSketch()
  for (const sketch of sketches) mergeSketch(sum, sketch)
  return sum
}
const bytesOf = ({ entries, size }: Sketch): number[] => [...entries.subarray(0, 2 * size)]

/** Three decades, so that nothing is joined. */
const ordinary = fc.oneof(
  fc.double({ min: 1, max: 10_000, noNaN: true }),
  fc.double({ min: -10_000, max: -1, noNaN: true }),
  fc.integer({ min: -10_000, max: 10_000 }),
  fc.constant(0),
  fc.constant(-0),
)
/** Anything at all. */
const wild = fc.oneof(ordinary, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.maxSafeInteger())

test('a percentile lies within the stated error of the reading that has its rank', () => {
  fc.assert(
    fc.property(fc.array(ordinary, { minLength: 1, maxLength: 300 }), (values) => {
      const sorted = [...values].sort((a, b) => a - b)
      const ranks = SHARES.map((share) => rankOf(share, values.length))
      const found = new Float64Array(ranks.length)
      quantiles(sketchOf(values), 0, ranks, found)
      for (const [r, rank] of ranks.entries()) {
        const exact = sorted[rank] as number
        expect(Math.abs((found[r] as number) - exact)).toBeLessThanOrEqual(BUCKET_ERROR * Math.abs(exact))
      }
    }),
    { numRuns: 1_000 },
  )
})

test('every magnitude that a double has is within the error, alone', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const found = new Float64Array(1)
      quantiles(sketchOf([value]), 0, [0], found)
      const bound = Math.abs(value) < 2.3e-308 ? Math.abs(value) : BUCKET_ERROR * Math.abs(value)
      expect(Math.abs((found[0] as number) - value)).toBeLessThanOrEqual(bound)
    }),
    { numRuns: 5_000 },
  )
})

test('any order, and any way of merging, gives the same bytes as one pass', () => {
  fc.assert(
    fc.property(
      fc.array(wild, { maxLength: 200 }).chain((values) =>
        fc.record({
          values: fc.constant(values),
          shuffled: fc.shuffledSubarray(values, { minLength: values.length }),
          cuts: fc.tuple(fc.nat(values.length), fc.nat(values.length)),
        }),
      ),
      ({ values, shuffled, cuts }) => {
        const expected = bytesOf(sketchOf(values))
        expect(bytesOf(sketchOf(shuffled))).toEqual(expected)
        const [from, to] = [Math.min(...cuts), Math.max(...cuts)]
        const parts = () =>
          [shuffled.slice(0, from), shuffled.slice(from, to), shuffled.slice(to)].map((part) => sketchOf(part)) as [
            Sketch,
            Sketch,
            Sketch,
          ]
        const [a, b, c] = parts()
        expect(bytesOf(merged(merged(a, b), c))).toEqual(expected)
        expect(bytesOf(merged(a, merged(b, c)))).toEqual(expected)
        expect(bytesOf(merged(c, a, b))).toEqual(expected)
        expect(parts().map(bytesOf)).toEqual([a, b, c].map(bytesOf))
      },
    ),
    { numRuns: 1_000 },
  )
})

test('buckets are bounded; what is joined is told as one bound below the largest, and the large ones stay right', () => {
  fc.assert(
    fc.property(fc.array(wild, { minLength: 1, maxLength: 200 }), (values) => {
      const sketch = sketchOf([...values, 1e12, -1e12])
      expect(sketch.size).toBeLessThanOrEqual(2 * BUCKETS_PER_SIGN_MAX + 1)
      expect(sketchedCount(sketch, 0)).toBe(values.length + 2)
      const sorted = [...values, 1e12, -1e12].sort((a, b) => a - b)
      const found = new Float64Array(sorted.length)
      quantiles(sketch, 0, [...sorted.keys()], found)
      const largest = { high: sorted.at(-1) as number, low: sorted[0] as number }
      for (const [rank, exact] of sorted.entries()) {
        const joined = Math.abs(exact > 0 ? largest.high : largest.low) / 14_000
        const bound = Math.abs(exact) < joined ? joined : BUCKET_ERROR * Math.abs(exact)
        expect(Math.abs((found[rank] as number) - exact)).toBeLessThanOrEqual(bound)
      }
    }),
    { numRuns: 300 },
  )
})

test('many distinct readings stay within the limit', () => {
  const sketch = sketchOf(Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? 1 : -1) * 1.01 ** (i / 8)))
  expect(sketch.size).toBeLessThanOrEqual(2 * BUCKETS_PER_SIGN_MAX)
  expect(sketchedCount(sketch, 0)).toBe(20_000)
})

test('fields of a row share a sketch and know nothing of each other; a field that moved takes its readings along', () => {
  fc.assert(
    fc.property(fc.array(wild, { minLength: 1 }), fc.array(wild, { minLength: 1 }), (first, second) => {
      const both = merged(sketchOf(first, 1), sketchOf(second, 4))
      expect(sketchedCount(both, 1)).toBe(first.length)
      expect(sketchedCount(both, 4)).toBe(second.length)
      expect(sketchedCount(both, 0) + sketchedCount(both, 2) + sketchedCount(both, 5)).toBe(0)
      const found = new Float64Array(2)
      const alone = new Float64Array(2)
      const ranks = [0, second.length - 1]
      quantiles(both, 4, ranks, found)
      quantiles(sketchOf(second), 0, ranks, alone)
      expect(found).toEqual(alone)
      expect(bytesOf(renumberSlots(both, [0, 3, 2, 9, 0]))).toEqual(
        bytesOf(merged(sketchOf(first, 3), sketchOf(second))),
      )
      expect(bytesOf(renumberSlots(both, [0, undefined, 2, 9, 0]))).toEqual(bytesOf(sketchOf(second)))
    }),
  )
})

test('readings that are missing or refused are not counted', () => {
  const sketch = createSketch()
  const values = Float64Array.of(1, 2, 3, 4, 5)
  sketchRun(sketch, 0, values, Uint8Array.of(1, 0, 1, 1, 1), Uint8Array.of(0, 0, 1, 0, 0), 0, 4)
  expect(bytesOf(sketch)).toEqual(bytesOf(sketchOf([1, 4])))
})
