import { expect, test } from 'vitest'
import { checkInterval } from './interval-check.ts'

const check = (timesMs: number[], previousMs = Number.NEGATIVE_INFINITY) => {
  const { tooSoon, tooLate } = checkInterval(Float64Array.from(timesMs), previousMs, 1000)
  return { tooSoon, tooLate }
}

test('samples at their interval, with some jitter, are neither too soon nor too late', () => {
  expect(check([0, 1000, 1900, 3100, 5100])).toEqual({ tooSoon: [], tooLate: [] })
})

test('a flood is thinned to what comes at half the interval', () => {
  expect(check([0, 100, 200, 499, 500, 900, 1000])).toEqual({ tooSoon: [1, 2, 3, 5], tooLate: [] })
})

test('the sample before is that of the batch before, and the first ever has none', () => {
  expect(check([10_000], 9_700)).toEqual({ tooSoon: [0], tooLate: [] })
  expect(check([10_000], 7_000)).toEqual({ tooSoon: [], tooLate: [0] })
  expect(check([10_000])).toEqual({ tooSoon: [], tooLate: [] })
})

test('history is not judged', () => {
  expect(check([5_000, 5_010, 9_000], 8_000)).toEqual({ tooSoon: [], tooLate: [] })
})

test('what each was compared with is said', () => {
  const { tooSoonAfterMs } = checkInterval(Float64Array.of(100, 1_000, 1_100, 2_000, 2_400), 0, 1_000)
  expect(tooSoonAfterMs).toEqual([0, 1_000, 2_000])
})
