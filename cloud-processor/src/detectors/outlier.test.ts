import { describe, expect, test } from 'vitest'
import { ORDINARY } from './detector.ts'
import { NEW_NORMAL_INTERVALS, NEW_NORMAL_MS, outlierDetector, WARM_UP_MS, WARM_UP_SAMPLES } from './outlier.ts'
import { EXAMPLE_SERIES, HEALTHY, type HealthySeries, normal, seededRandom } from './simulated-series.ts'

const T0 = Date.UTC(2026, 0, 5)

interface Said {
  readonly atMs: number
  readonly anomalous: boolean
  readonly message: string
  readonly upper: number | undefined
}

/** What the detector says of a series that is sampled evenly, times counted from its beginning. */
function listen(
  value: HealthySeries,
  { hertz, forMs, fromMs = T0 }: { hertz: number; forMs: number; fromMs?: number },
) {
  const detector = outlierDetector(EXAMPLE_SERIES)
  const state = detector.start()
  const said: Said[] = []
  for (let i = 0; i * 1_000 < forMs * hertz; i++) {
    const atMs = (i * 1_000) / hertz
    const verdict = detector.observe(state, fromMs + atMs, value(fromMs + atMs))
    if (verdict && i > 0)
      said.push({ atMs, anomalous: verdict.anomalous, message: verdict.message, upper: verdict.upper })
  }
  return said
}
const beginnings = (said: readonly Said[]) => said.filter((v, i) => v.anomalous && !said[i - 1]?.anomalous)

/** Normal noise around 5 with a deviation of 0.2, and an excursion by so many deviations. */
function excursion(seed: number, deviations: number, fromMs: number, untilMs: number): HealthySeries {
  const random = seededRandom(seed)
  return (timeMs) => 5 + 0.2 * (normal(random) + (timeMs - T0 >= fromMs && timeMs - T0 < untilMs ? deviations : 0))
}

describe('false alarms of the outlier detector on healthy sensors', () => {
  const HOUR_MS = 3_600_000
  for (const { hertz, hours, seeds } of [
    { hertz: 1 / 60, hours: 240, seeds: 20 },
    { hertz: 1, hours: 6, seeds: 20 },
    { hertz: 20, hours: 2, seeds: 4 },
    { hertz: 500, hours: 0.5, seeds: 2 },
  ])
    test(`${hertz < 1 ? 'one sample a minute' : `${hertz} samples a second`}: ${seeds} sensors of each sort, ${hours} h each`, () => {
      let total = 0
      const lines = Object.entries(HEALTHY).map(([name, make]) => {
        let alarms = 0
        for (let seed = 1; seed <= seeds; seed++) {
          const random = seededRandom(seed * 7_919)
          const fromMs = T0 + Math.round(24 * HOUR_MS * random())
          alarms += beginnings(listen(make(random), { hertz, forMs: hours * HOUR_MS, fromMs })).length
        }
        total += alarms
        const days = (hours * seeds) / 24
        return `  ${name.padEnd(34)} ${String(alarms).padStart(3)} in ${days.toFixed(1)} device-days, ${((alarms * 1e6) / (hours * 3_600 * hertz * seeds)).toFixed(2)} a million readings`
      })
      console.log(`false alarms at ${hertz.toFixed(2)} Hz\n${lines.join('\n')}`)
      const readings = Object.keys(HEALTHY).length * hours * 3_600 * hertz * seeds
      expect(total).toBeLessThanOrEqual(Math.max(2, (2 * readings) / 1e6))
    })
})

describe('what the outlier detector finds', () => {
  for (const { hertz, ageMs, shift } of [
    { hertz: 1 / 10, ageMs: 6 * 3_600_000, shift: 8 },
    // In the first minute the limits are still wide.
    { hertz: 1, ageMs: 60_000, shift: 20 },
    { hertz: 1, ageMs: 3_600_000, shift: 5 },
    { hertz: 50, ageMs: 60_000, shift: 8 },
    { hertz: 500, ageMs: 120_000, shift: 5 },
  ]) {
    const when = `at ${hertz} Hz after ${ageMs / 60_000} min`
    test(`a single spike of 15 deviations ${when}, at once, from 20 of 20 sensors`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const value = excursion(seed, 15, ageMs, ageMs + 1)
        const said = listen(value, { hertz, forMs: ageMs + 2_000 + 100_000 / hertz })
        expect(beginnings(said).map(({ atMs }) => atMs)).toEqual([ageMs])
        expect(said.at(-1)?.anomalous).toBe(false)
      }
    })
    test(`a level shift of ${shift} deviations ${when}, within 12 samples or a second, and takes it for normal in the time stated`, () => {
      const newNormalMs = Math.max(NEW_NORMAL_MS, (NEW_NORMAL_INTERVALS * 1_000) / hertz)
      const foundWithinMs = Math.max(12_000 / hertz, 1_000)
      for (let seed = 1; seed <= 10; seed++) {
        const value = excursion(seed, shift, ageMs, Number.POSITIVE_INFINITY)
        const said = listen(value, { hertz, forMs: ageMs + newNormalMs * 1.5 })
        const [first] = beginnings(said)
        expect(first?.atMs).toBeGreaterThanOrEqual(ageMs)
        expect(first?.atMs).toBeLessThanOrEqual(ageMs + foundWithinMs)
        expect(said.at(-1)?.anomalous).toBe(false)
        expect(said.at(-1)?.atMs).toBeLessThanOrEqual(ageMs + foundWithinMs + newNormalMs * 1.02)
      }
    })
  }

  test('nothing during the warm-up, whichever takes longer', () => {
    const spikes = (hertz: number) => {
      const random = seededRandom(3)
      let i = 0
      return listen(() => (i++ % 10 === 9 ? 50 : 5 + 0.1 * random()), {
        hertz,
        forMs: Math.max((WARM_UP_SAMPLES * 1_000) / hertz, WARM_UP_MS - 1),
      })
    }
    for (const hertz of [0.1, 1, 100]) expect(spikes(hertz)).toEqual([])
  })

  test('a spike in coarse steps is found, and a step to the neighbour is not', () => {
    const random = seededRandom(5)
    const steps = (timeMs: number) => {
      const second = (timeMs - T0) / 1_000
      return second === 1_800 ? 24 : 20 + (Math.floor(second / 200) % 2) * 0.5 * (random() < 0.99 ? 1 : 0)
    }
    expect(beginnings(listen(steps, { hertz: 1, forMs: 3_600_000 })).map(({ atMs }) => atMs)).toEqual([1_800_000])
  })

  test('a frozen sensor does not make its noise look strange afterwards', () => {
    const random = seededRandom(6)
    const value = (timeMs: number) => {
      const second = (timeMs - T0) / 1_000
      return second > 60 && second < 600 ? 5.1 : 5 + 0.2 * normal(random)
    }
    expect(beginnings(listen(value, { hertz: 2, forMs: 1_800_000 }))).toEqual([])
  })

  test('after a gap the level is taken anew: what changed while nobody looked is no anomaly', () => {
    const random = seededRandom(7)
    const detector = outlierDetector(EXAMPLE_SERIES)
    const state = detector.start()
    const said: unknown[] = []
    for (let second = 0; second < 1_200; second++)
      said.push(detector.observe(state, T0 + second * 1_000, 5 + 0.2 * normal(random)))
    for (let second = 8_000; second < 9_200; second++)
      said.push(detector.observe(state, T0 + second * 1_000, 9 + 0.2 * normal(random)))
    expect(said.filter((v) => v !== undefined)).toEqual([ORDINARY])
    expect(detector.observe(state, T0 + 9_200_000, 14)?.anomalous).toBe(true)
  })

  test('what recurs for hours becomes a habit', () => {
    const random = seededRandom(8)
    const value = (timeMs: number) => 5 + 0.2 * normal(random) + (((timeMs - T0) / 1_000) % 600 === 599 ? 4 : 0)
    const hours = [...Array(4).keys()].map(
      (hour) =>
        beginnings(listen(value, { hertz: 1, forMs: 4 * 3_600_000 })).filter(
          ({ atMs }) => Math.floor(atMs / 3_600_000) === hour,
        ).length,
    )
    expect(hours[0]).toBe(6)
    expect(hours[3]).toBe(0)
  })

  test('says what, how far, from what', () => {
    const said = listen(excursion(9, 15, 1_800_000, 1_800_001), { hertz: 1, forMs: 1_801_000 })
    expect(said[0]?.message).toMatch(
      /^Vibration velocity: \d\.\d\d mm\/s, \d\.\d\d above the usual [45]\.\d\d ± 0\.4\d$/,
    )
    const shifted = listen(excursion(9, 4.5, 1_800_000, 9e9), { hertz: 1, forMs: 1_830_000 })
    expect(shifted[0]?.message).toMatch(
      /^Vibration velocity: 5\.\d\d mm\/s on average, 0\.\d\d above the usual \d\.\d\d ± 0\.4\d$/,
    )
  })
})
