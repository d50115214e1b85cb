import { describe, expect, test } from 'vitest'
import type { Band, Detector } from './detector.ts'
import { fullDetector, outlierDetector } from './index.ts'
import { EXAMPLE_SERIES, HEALTHY, normal, seededRandom } from './simulated-series.ts'

const T0 = Date.UTC(2026, 0, 5)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** The band as each minute begins beside the readings of that minute. */
function bands<State extends object>(
  detector: Detector<State>,
  value: (timeMs: number) => number,
  { everyMs = 1_000, forMs }: { everyMs?: number; forMs: number },
) {
  const state = detector.start()
  const minutes: { startMs: number; band: Band | undefined; values: number[] }[] = []
  for (let timeMs = T0; timeMs < T0 + forMs; timeMs += everyMs) {
    const startMs = Math.floor(timeMs / MINUTE_MS) * MINUTE_MS
    if (minutes.at(-1)?.startMs !== startMs)
      minutes.push({ startMs, band: detector.band?.(state, startMs), values: [] })
    const reading = value(timeMs)
    minutes.at(-1)?.values.push(reading)
    detector.observe(state, timeMs, reading)
  }
  return { minutes, state, told: minutes.filter(({ band }) => band !== undefined) }
}
const isWithin = ({ lower, upper }: Band, value: number) => lower <= value && value <= upper

describe.each([
  ['lite', 4, () => outlierDetector(EXAMPLE_SERIES) as Detector<object>],
  // It goes on learning: some dozen readings later its tail reaches as far.
  ['full', 1, () => fullDetector(EXAMPLE_SERIES) as Detector<object>],
] as const)('what is ordinary: %s', (_, minutesOutside, create) => {
  test.each(Object.entries(HEALTHY))('%s stays within, hour after hour', (_name, make) => {
    const { told } = bands(create(), make(seededRandom(7)), { forMs: 4 * HOUR_MS })
    const settled = told.slice(30)
    expect(settled.length).toBeGreaterThan(190)
    let outside = 0
    let count = 0
    for (const { band, values } of settled)
      for (const value of values) {
        count += 1
        if (!isWithin(band as Band, value)) outside += 1
      }
    expect(outside / count).toBeLessThan(0.005)
  })

  test('it is no wider than what it has learned asks for', () => {
    const { told } = bands(create(), HEALTHY['normal noise']?.(seededRandom(3)) as (timeMs: number) => number, {
      forMs: 2 * HOUR_MS,
    })
    for (const { band } of told.slice(30)) {
      const { lower, upper } = band as Band
      // Normal noise around 20, deviation 0.5.
      expect(upper - lower).toBeGreaterThan(6 * 0.5)
      expect(upper - lower).toBeLessThan(24 * 0.5)
      expect(Math.abs((lower + upper) / 2 - 20)).toBeLessThan(1)
    }
  })

  test('an excursion lies outside, for as long as it is none of what is learned', () => {
    const random = seededRandom(5)
    const fromMs = T0 + HOUR_MS
    const untilMs = fromMs + minutesOutside * MINUTE_MS
    const value = (timeMs: number) => 20 + 0.5 * normal(random) + (timeMs >= fromMs && timeMs < untilMs ? 15 : 0)
    const { told } = bands(create(), value, { forMs: 70 * MINUTE_MS })
    const odd = told.filter(({ startMs }) => startMs >= fromMs && startMs < untilMs)
    expect(odd).toHaveLength(minutesOutside)
    for (const { band, values } of odd) expect(values.some((one) => isWithin(band as Band, one))).toBe(false)
  })

  test('nothing is told before the warm-up, and telling changes nothing', () => {
    const detector = create()
    const value = HEALTHY['normal noise']?.(seededRandom(3)) as (timeMs: number) => number
    expect(detector.band?.(detector.start(), T0)).toBeUndefined()
    const { minutes, state } = bands(detector, value, { forMs: 10 * MINUTE_MS })
    expect(minutes[0]?.band).toBeUndefined()
    expect(minutes.at(-1)?.band).toBeDefined()
    const before = JSON.stringify(state)
    for (let hour = 0; hour < 24; hour++) detector.band?.(state, T0 + hour * HOUR_MS)
    expect(JSON.stringify(state)).toBe(before)
  })
})

test('full: what is usual at this hour is narrower than what is usual at all', () => {
  const random = seededRandom(9)
  const value = (timeMs: number) => 20 + 5 * Math.sin((2 * Math.PI * timeMs) / (24 * HOUR_MS)) + 0.1 * normal(random)
  const { told } = bands(fullDetector(EXAMPLE_SERIES), value, { everyMs: 5 * MINUTE_MS, forMs: 21 * 24 * HOUR_MS })
  const lastDay = told.slice(-288)
  for (const { band } of lastDay) expect((band as Band).upper - (band as Band).lower).toBeLessThan(6)
  const outside = lastDay.filter(({ band, values }) => !isWithin(band as Band, values[0] as number))
  expect(outside.length).toBeLessThan(3)
})
