import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PackedReader, PackedWriter } from './packed-values.ts'
import { createSketch, sketchRun } from './sketch.ts'

test('numbers come back bit by bit, whatever they are', () => {
  const any = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.integer().map((n) => n / 1_000),
    fc.constantFrom(
      ...[-0, 0, Number.NaN, Infinity, -Infinity, 5e-324, 274_877_906.944, -274_877_906.943],
      2 ** 49,
      -(2 ** 49) + 1,
      0.001,
    ),
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
  expect(writer.finish().length).toBe(3 + 3 + 1 + 2)
})

test('values come back as they were, objects with their keys in their order', () => {
  const values = fc.anything({ withSparseArray: false, withNullPrototype: false, maxDepth: 4 })
  fc.assert(
    fc.property(fc.array(values.filter(isPlain), { maxLength: 20 }), (list) => {
      const writer = new PackedWriter()
      for (const value of list) writer.value(value)
      const reader = new PackedReader(writer.finish(), writer.shapes)
      for (const value of list) {
        const read = reader.value()
        expect(read).toEqual(value)
        expect(JSON.stringify(read)).toBe(JSON.stringify(value))
      }
    }),
    { numRuns: 500 },
  )
})

/** `__proto__` as a key would be another object's prototype; names of fields cannot be that. */
function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'bigint' && typeof value !== 'symbol'
  return Object.keys(value).every((key) => key !== '__proto__' && isPlain((value as Record<string, unknown>)[key]))
}

test('a second object of the same keys names none of them', () => {
  const writer = new PackedWriter()
  writer.value({ level: 1, isOpen: true })
  const first = writer.finish().length
  writer.value({ level: 2, isOpen: false })
  expect(writer.finish().length - first).toBe(3)
  expect(writer.shapes).toEqual([['level', 'isOpen']])
  expect(() => new PackedReader(writer.finish()).value()).toThrow('not there')
})
