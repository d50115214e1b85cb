import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PackedReader, PackedWriter } from './packed-numbers.ts'
import { createSketch, sketchRun } from './sketch.ts'

test('numbers come back bit by bit, whatever they are', () => {
  const any = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.integer().map((n) => n / 1_000),
    fc.constantFrom(-0, 0, Number.NaN, Infinity, -Infinity, 5e-324, 274_877_906.944, -274_877_906.943),
  )
  fc.assert(
    fc.property(fc.array(any, { maxLength: 50 }), fc.array(fc.maxSafeInteger().map(Math.abs)), (numbers, wholes) => {
      const writer = new PackedWriter()
      const sketch = createSketch()
      const values = Float64Array.from(numbers.filter(Number.isFinite))
      sketchRun(sketch, 3, values, null, null, 0, values.length)
      for (const value of numbers) writer.number(value)
      writer.sketch(sketch)
      for (const value of wholes) writer.whole(value)
      const reader = new PackedReader(writer.finish())
      expect(numbers.map(() => reader.number())).toEqual(numbers)
      const { entries, size } = reader.sketch()
      expect(entries.subarray(0, 2 * size)).toEqual(sketch.entries.subarray(0, 2 * sketch.size))
      expect(wholes.map(() => reader.whole())).toEqual(wholes)
      expect(() => reader.whole()).toThrow('end too early')
    }),
    { numRuns: 500 },
  )
})

test('a reading of few decimals takes few bytes', () => {
  const writer = new PackedWriter()
  for (const value of [21.37, -21.37, 0, 999]) writer.number(value)
  expect(writer.finish().length).toBe(3 + 3 + 1 + 4)
})
