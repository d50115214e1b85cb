import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createStamper } from './stamper.ts'

test('no two samples of a series share a stamp, however the clock trembles; each stays near its arrival', () => {
  const start = 1_700_000_000_000
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 300 }), (steps) => {
      const stamper = createStamper()
      const seen = new Set<number>()
      let clock = start
      let before = 0
      for (const step of steps) {
        clock += step
        const stamp = stamper.stamp('a', 'k', clock)
        expect(seen.has(stamp)).toBe(false)
        expect(stamp).toBeGreaterThan(before)
        expect(stamp).toBeGreaterThanOrEqual(clock)
        seen.add(stamp)
        before = stamp
      }
    }),
  )
})

test('other series are stamped for themselves, and a clock that was set back is followed', () => {
  const stamper = createStamper()
  expect(stamper.stamp('a', 'k', 5_000_000)).toBe(5_000_000)
  expect(stamper.stamp('b', 'k', 5_000_000)).toBe(5_000_000)
  expect(stamper.stamp('a', 'k2', 5_000_000)).toBe(5_000_000)
  expect(stamper.stamp('a', 'k', 4_990_000)).toBe(5_000_001)
  expect(stamper.stamp('a', 'k', 1_000)).toBe(1_000)
})

test('what follows a correction follows the corrected stamps', () => {
  const stamper = createStamper()
  stamper.stamp('a', 'k', 5_000)
  stamper.stamp('a', 'k', 5_000)
  stamper.shift(1_000_000)
  expect(stamper.stamp('a', 'k', 1_005_000)).toBe(1_005_002)
})
