import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createDealer, createRandom } from './random.ts'

test('whatever the seed, in 40 rounds each of up to 20 kinds comes at least twice', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 32 - 1), fc.integer({ min: 1, max: 20 }), (seed, kinds) => {
      const deal = createDealer(
        Array.from({ length: kinds }, (_, i) => i),
        createRandom(seed),
      )
      const times = new Map<number, number>()
      let before: number | undefined
      for (let round = 0; round < 40; round++) {
        const kind = deal()
        if (kinds > 1) expect(kind).not.toBe(before)
        before = kind
        times.set(kind, (times.get(kind) ?? 0) + 1)
      }
      expect(times.size).toBe(kinds)
      expect(Math.min(...times.values())).toBeGreaterThanOrEqual(2)
      expect(Math.max(...times.values()) - Math.min(...times.values())).toBeLessThanOrEqual(1)
    }),
  )
})

test('the same seed gives the same numbers, another seed others; all of them spread over the range', () => {
  const draw = (seed: number) => {
    const random = createRandom(seed)
    return Array.from({ length: 10_000 }, () => random.next())
  }
  expect(draw(7)).toEqual(draw(7))
  expect(draw(7).slice(0, 5)).not.toEqual(draw(8).slice(0, 5))
  const mean = draw(7).reduce((a, b) => a + b, 0) / 10_000
  expect(mean).toBeGreaterThan(0.48)
  expect(mean).toBeLessThan(0.52)
  expect(Math.max(...draw(8))).toBeLessThan(1)
})
