import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOCK_MS_MAX, noteExtremes, startExtremes, unmatchedMs } from './extremes.ts'

const DAY_MS = 86_400_000

test('how long nothing was as high or low, never too long and right to an eighth of what was seen', () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 * DAY_MS }), fc.integer({ min: -9, max: 9 })), {
    minLength: 1,
    maxLength: 200,
  })
  fc.assert(
    fc.property(steps, fc.boolean(), fc.boolean(), (given, upward, quick) => {
      const extremes = startExtremes()
      const seen: (readonly [number, number])[] = []
      let timeMs = 0
      for (const [stepMs, value] of given) {
        timeMs += quick ? stepMs % 100_000 : stepMs
        if (timeMs <= (seen.at(-1)?.[0] ?? -1)) continue
        noteExtremes(extremes, timeMs, value)
        seen.push([timeMs, value])
        const firstMs = seen[0]?.[0] as number
        const beyond = seen.findLast(([, other]) => (upward ? other > value : other < value))
        const trulyMs = timeMs - (beyond?.[0] ?? firstMs)
        const saidMs = unmatchedMs(extremes, timeMs, value, upward)
        expect(saidMs).toBeLessThanOrEqual(trulyMs)
        expect(saidMs).toBeGreaterThanOrEqual(
          Math.min(trulyMs, 15 * BLOCK_MS_MAX) - Math.min(BLOCK_MS_MAX, Math.max(60_000, (timeMs - firstMs) / 8)) - 1,
        )
        expect(extremes.highs.length + extremes.lows.length).toBe(32)
      }
    }),
    { numRuns: 300 },
  )
})
