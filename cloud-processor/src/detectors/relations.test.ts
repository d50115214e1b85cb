import type { RateLimit } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { counterResetDetector } from './counter-reset.ts'
import { describeDetector } from './detector.conformance.ts'
import type { Detector, SeriesContext, Verdict } from './detector.ts'
import { outOfRangeDetector } from './out-of-range.ts'
import { rateDetector } from './rate.ts'
import { EXAMPLE_SERIES, normal, seededRandom } from './simulated-series.ts'

const tank: SeriesContext = { ...EXAMPLE_SERIES, field: 'level', label: 'Level', unit: '%', decimals: 1 }
const meter: SeriesContext = { ...EXAMPLE_SERIES, field: 'energy_wh', label: 'Energy meter', unit: 'Wh', decimals: 0 }
const limit = (direction: RateLimit['direction'], amount = 5): RateLimit => ({
  ...{ direction, amount, per: 'min', over: undefined },
})

describeDetector('rate', () => rateDetector({ ...limit('either', 20), over: 10_000 }, EXAMPLE_SERIES))
describeDetector('out of range', () => outOfRangeDetector([2.2, 4.8], 'reject', EXAMPLE_SERIES))
// Healthy noise falls again and again, but not to half; a quarter of the modulus is never counted in one step.
describeDetector('counter reset', () => {
  const detector = counterResetDetector(Number.POSITIVE_INFINITY, EXAMPLE_SERIES)
  return { ...detector, observe: (state, timeMs, value) => detector.observe(state, timeMs, grown(timeMs, value)) }
})
/** A counter of milliseconds that has fallen while the troubled value is high. */
const grown = (timeMs: number, value: number): number =>
  Number.isFinite(value) ? (value > 5 ? 0 : Math.abs(timeMs)) : value

/** What is said of readings, one a second. */
function watch(detector: Detector<object>, count: number, value: (second: number) => number) {
  const state = detector.start()
  const said: { second: number; verdict: Verdict }[] = []
  for (let second = 0; second < count; second++) {
    const verdict = detector.observe(state, second * 1_000, value(second))
    if (verdict && second > 0) said.push({ second, verdict })
  }
  return said
}
const heard = (said: ReturnType<typeof watch>) => said.map(({ second, verdict }) => [second, verdict.anomalous])

describe('rate', () => {
  test('says within its span that a value rises faster than the limit, how fast, and from where', () => {
    const [first, over, ...more] = watch(
      rateDetector(limit('either'), tank),
      400,
      (s) => 20 + Math.max(0, Math.min(s, 180) - 60) / 10,
    )
    expect(first?.second).toBeLessThanOrEqual(60 + 60)
    expect(first?.verdict.message).toMatch(
      /^Level: 2\d\.\d %, rising by [56]\.\d a minute over the last \d\d s, from 20\.\d %; the limit is 5$/,
    )
    expect(first?.verdict).toMatchObject({ anomalous: true, score: 1 })
    const { lower = 0, expected = 0, upper = 0 } = first?.verdict ?? {}
    expect(lower).toBeLessThan(expected)
    expect(upper).toBeGreaterThan(expected)
    expect(over?.verdict.anomalous).toBe(false)
    expect(over?.second).toBeLessThanOrEqual(180 + 60)
    expect(more).toEqual([])
  })

  test('one direction is blind to the other', () => {
    const falling = (s: number) => 80 - s / 6
    expect(watch(rateDetector(limit('rising'), tank), 300, falling)).toEqual([])
    expect(heard(watch(rateDetector(limit('falling'), tank), 300, falling))).toEqual([[expect.any(Number), true]])
    expect(watch(rateDetector(limit('falling'), tank), 300, falling)[0]?.verdict.upper).toBeUndefined()
  })

  test('a counter that grows too fast is told; that it begins again is no rise, and ends the alarm', () => {
    const letters: SeriesContext = { ...EXAMPLE_SERIES, field: 'letters', label: 'Letters', unit: '', decimals: 0 }
    const counted = (a: number) =>
      a < 600 ? 0 : a < 1_200 ? a - 600 : a < 1_500 ? 600 : a < 1_600 ? 0 : (a - 1_600) / 20
    const said = watch(rateDetector({ ...limit('rising', 30), over: 300_000 }, letters), 4_000, counted)
    expect(said.map(({ verdict }) => verdict.anomalous)).toEqual([true, false])
    expect(said[0]?.second).toBeGreaterThan(700)
    expect(said[1]?.second).toBeLessThan(1_500)
    const restarted = watch(
      rateDetector({ ...limit('rising', 30), over: 300_000 }, letters),
      4_000,
      (s) => (s % 1_000) / 10,
    )
    expect(restarted, 'six a minute, and a restart now and then').toEqual([])
  })

  test('of a counter that wraps all the time the rise is told, once, and is not over before it is', () => {
    const pulses: SeriesContext = { ...EXAMPLE_SERIES, field: 'pulses', label: 'Pulses', unit: '', decimals: 0 }
    const counted = (s: number) => (20 * s + 20 * Math.max(0, Math.min(s, 2_000) - 500)) % 1_000
    const said = watch(rateDetector({ ...limit('rising', 25), per: 's' }, pulses, 1_000), 3_000, counted)
    expect(heard(said)).toEqual([
      [expect.any(Number), true],
      [expect.any(Number), false],
    ])
    expect(said[0]?.second).toBeLessThan(510)
    expect(said[1]?.second).toBeGreaterThanOrEqual(2_000)
    expect(said[0]?.verdict.message).toMatch(
      /^Pulses: \d+, rising by [234]\d\.\d a second over the last \d s, from \d+;/,
    )
  })

  test('noise between neighbours and wild values are no rate; a slope beneath both is', () => {
    const random = seededRandom(4)
    const noisy = (s: number) => 50 + normal(random) + (s % 40 === 20 ? 30 : 0)
    expect(watch(rateDetector(limit('either'), tank), 20_000, noisy)).toEqual([])
    const sloping = watch(rateDetector(limit('either'), tank), 600, (s) => noisy(s) + Math.max(0, s - 300) / 6)
    expect(sloping[0]?.verdict.anomalous).toBe(true)
    expect(sloping[0]?.second).toBeGreaterThan(300)
  })

  test('a gap is no rate, and samples that come seldom have one', () => {
    const detector = rateDetector(limit('either'), tank)
    const state = detector.start()
    for (let s = 0; s < 120; s++) detector.observe(state, s * 1_000, 20)
    for (let s = 4_000; s < 4_300; s++) expect(detector.observe(state, s * 1_000, 90)).toBeUndefined()
    const seldom = rateDetector({ ...limit('either', 1), per: 'h' }, { ...tank, intervalMs: 600_000 })
    const slow = seldom.start()
    const said = Array.from({ length: 40 }, (_, i) => seldom.observe(slow, i * 600_000, 20 + i / 3))
    expect(said.filter((one) => one?.anomalous)).toHaveLength(1)
  })
})

describe('counter reset', () => {
  test('each reset is told once, with where the counter stood; a wrap is none', () => {
    const wrapping = (s: number) => (s < 50 ? 65_500 + s : s < 100 ? s - 49 : s < 150 ? s - 99 : s - 149)
    const said = watch(counterResetDetector(65_550, meter), 200, wrapping)
    expect(heard(said)).toEqual([
      [100, true],
      [101, false],
      [150, true],
      [151, false],
    ])
    expect(said[0]?.verdict).toMatchObject({
      message: 'Energy meter: 1 Wh, began again: it stood at 50 Wh',
      expected: 50,
    })
    expect(heard(watch(counterResetDetector(Number.POSITIVE_INFINITY, meter), 60, wrapping))).toEqual([
      [50, true],
      [51, false],
    ])
  })

  test('a meter that is set back is told as that; falls one after another are one', () => {
    const said = watch(
      counterResetDetector(Number.POSITIVE_INFINITY, meter),
      8,
      (s) => [10, 20, 90, 80, 70, 71, 72, 73][s] as number,
    )
    expect(heard(said)).toEqual([
      [3, true],
      [5, false],
    ])
    expect(said[0]?.verdict.message).toBe('Energy meter: 80 Wh, stepped back by 10 Wh from 90 Wh')
  })
})

describe('out of range', () => {
  test('says what became of the value, and is over with the next one within', () => {
    const values = [20, 100, 100.5, 140, -3, 50]
    const said = watch(outOfRangeDetector([0, 100], 'flag', tank), 6, (s) => values[s] as number)
    expect(heard(said)).toEqual([
      [2, true],
      [5, false],
    ])
    expect(said[0]?.verdict).toMatchObject({
      ...{ lower: 0, upper: 100 },
      message: 'Level: 100.5 %, outside the range 0 to 100 % of its contract: stored and marked',
    })
  })
})
