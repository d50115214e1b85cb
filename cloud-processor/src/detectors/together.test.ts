import { describe, expect, test } from 'vitest'
import { describeJointDetector } from './detector.conformance.ts'
import type { SeriesContext } from './detector.ts'
import type { JointVerdict } from './joint-detector.ts'
import { EXAMPLE_SERIES, normal, seededRandom } from './simulated-series.ts'
import { TOGETHER_NEW_NORMAL_MS, TOGETHER_WARM_UP_MS, togetherDetector } from './together.ts'

const of = (field: string, label: string, unit: string, decimals: number): SeriesContext => ({
  ...EXAMPLE_SERIES,
  ...{ field, label, unit, decimals },
})
const MOTOR = [
  of('current_a', 'Current', 'A', 2),
  of('vibration_mm_s', 'Vibration velocity', 'mm/s', 2),
  of('temperature_c', 'Bearing temperature', '°C', 1),
]

/** A load that wanders between a fifth and nearly all, and what comes of it. */
function motor(seed: number) {
  const random = seededRandom(seed)
  let load = 0.5
  return (): [number, number, number] => {
    load += 0.03 * normal(random) + 0.01 * (0.55 - load)
    load = Math.min(0.95, Math.max(0.2, load))
    return [
      10 * load + 0.05 * normal(random),
      1 + 4 * load + 0.05 * normal(random),
      30 + 40 * load + 0.4 * normal(random),
    ]
  }
}

/** What is said of seconds of a motor. @param change of a sample before it is seen */
function watch(seconds: number, change: (sample: [number, number, number], second: number) => number[], seed = 1) {
  const detector = togetherDetector(MOTOR)
  const state = detector.start()
  const next = motor(seed)
  const said: { second: number; verdict: JointVerdict }[] = []
  for (let second = 0; second < seconds; second++) {
    const verdict = detector.observe(state, second * 1_000, change(next(), second))
    if (verdict && second > 0) said.push({ second, verdict })
  }
  return { said, state, detector }
}

const wave = (timeMs: number) => Math.sin(timeMs / 60_000)
// The first field has the trouble, and both go the way of the wave.
describeJointDetector(
  'together',
  () => togetherDetector(MOTOR.slice(0, 2)),
  (timeMs, value) => [value + wave(timeMs), 2 * wave(timeMs) + 0 * value],
)

describe('together', () => {
  test('a field that leaves the others is named, with what they let expect; alone it would be quite ordinary', () => {
    const { said } = watch(4_000, ([a, v, t], s) => [a, v, s < 3_600 ? t : 66])
    const [first] = said
    expect(first?.second).toBeGreaterThanOrEqual(3_602)
    expect(first?.verdict).toMatchObject({ anomalous: true, component: 'temperature_c', value: 66 })
    expect(first?.verdict.message).toMatch(
      /^Bearing temperature: 66\.0 °C, \d+\.\d above the \d\d\.\d that Current \(\d\.\d\d A\) and Vibration velocity \(\d\.\d\d mm\/s\) let expect$/,
    )
    const { expected = 0, lower = 0, upper = 0 } = first?.verdict ?? {}
    expect([expected, lower, upper].every((one, i, all) => i === 0 || one !== all[0])).toBe(true)
    expect(upper).toBeLessThan(66)
    expect(upper - expected).toBeLessThan(8)
  })

  test('all of them together may go where they never were', () => {
    const jump = (from: number, to: number) => (sample: number[], s: number) =>
      s < from || s >= to
        ? sample
        : [10 * 1.6, 1 + 4 * 1.6, 30 + 40 * 1.6].map((one, i) => one + (sample[i] ?? 0) * 1e-3)
    expect(watch(5_000, jump(3_600, 4_200)).said).toEqual([])
  })

  test('healthy motors say nothing in a day, whatever the seed', () => {
    for (const seed of [1, 2, 3, 4]) expect(watch(86_400, (sample) => sample, seed).said).toEqual([])
  })

  test('it ends when the field is back, and is said again with a higher score only', () => {
    const { said } = watch(5_000, ([a, v, t], s) => [a, v, s >= 3_600 && s < 3_700 ? t + 10 + (s > 3_650 ? 30 : 0) : t])
    expect(said.at(-1)).toMatchObject({ verdict: { anomalous: false, message: '' } })
    expect(said.at(-1)?.second).toBeLessThan(3_710)
    const scores = said.slice(0, -1).map(({ verdict }) => verdict.score)
    expect(scores.length).toBeGreaterThan(1)
    expect([...scores].sort((x, y) => x - y)).toEqual(scores)
  })

  test('what grows over twenty minutes is told before it has grown', () => {
    const growing = watch(6_000, ([a, v, t], s) => [a, v, t + Math.max(0, Math.min(s - 3_600, 1_200)) / 100])
    expect(growing.said[0]?.verdict).toMatchObject({ anomalous: true, component: 'temperature_c' })
    expect(growing.said[0]?.second).toBeLessThan(3_600 + 900)
  })

  test('one wild sample, or two, is nothing that the relation tells', () => {
    expect(
      watch(4_000, ([a, v, t], s) => [a, s === 3_600 || s === 3_601 || s % 500 === 499 ? v + 9 : v, t]).said,
    ).toEqual([])
  })

  test('nonsense in all fields at once, and once, blinds it to nothing', () => {
    const glitch = ([a, v, t]: number[], s: number) => (s === 3_600 ? [1e6, -1e6, 1e9] : [a, v, s < 4_000 ? t : 66])
    const { said } = watch(4_100, glitch as (sample: number[], second: number) => number[])
    expect(said[0]?.second).toBeGreaterThanOrEqual(4_002)
    expect(said[0]?.verdict).toMatchObject({ anomalous: true, component: 'temperature_c' })
  })

  test('that nothing is heard of the others does not end an anomaly', () => {
    const alone = watch(5_000, ([a, v, t], s) => [
      ...(s < 3_700 || s > 4_500 ? [a, v] : [Number.NaN, Number.NaN]),
      s >= 3_600 && s < 4_600 ? t + 15 : t,
    ])
    const ends = alone.said.filter(({ verdict }) => !verdict.anomalous).map(({ second }) => second)
    expect(ends).toHaveLength(1)
    expect(ends[0]).toBeGreaterThanOrEqual(4_600)
  })

  test('what lasts becomes normal within the stated time, and is learned anew: the other way round it is told', () => {
    const hours = TOGETHER_NEW_NORMAL_MS / 1_000
    const { said } = watch(4 * hours, ([a, v, t], s) => [a, v, s >= hours && s < 3 * hours ? t + 10 : t])
    expect(said.map(({ second, verdict }) => [Math.floor(second / hours), verdict.anomalous])).toEqual([
      [1, true],
      [2, false],
      [3, true],
    ])
    expect(said[1]?.second).toBeLessThanOrEqual(2 * hours + 3)
    expect(TOGETHER_WARM_UP_MS).toBeLessThan(TOGETHER_NEW_NORMAL_MS)
  })

  test('constant, collinear and independent fields do no harm', () => {
    const random = seededRandom(9)
    const quiet = watch(20_000, ([a], s) => [s < 9_000 ? 0 : a, s < 9_000 ? 0 : 2 * a, 20 + 0.3 * normal(random)])
    expect(quiet.said).toEqual([])
    expect(quiet.state.covariance.every(Number.isFinite)).toBe(true)
    const off = watch(4_000, ([a], s) => [a, 2 * a + (s > 3_600 ? 3 : 0), 20])
    expect(off.said[0]?.verdict).toMatchObject({
      anomalous: true,
      component: expect.stringMatching(/current|vibration/),
    })
  })

  test('a field that comes seldom, or for a while not at all, stops neither learning nor judging', () => {
    const seldom = ([a, v, t]: number[], s: number) => [a, v, s % 5 === 0 ? t : Number.NaN] as number[]
    expect(watch(40_000, seldom).said).toEqual([])
    const gone = watch(4_400, ([a, v, t], s) => [a, s > 4_000 ? v + 2 : v, s > 3_600 ? Number.NaN : t])
    expect(gone.said[0]?.second).toBeGreaterThan(4_000)
    expect(gone.said[0]?.verdict).toMatchObject({ anomalous: true, component: 'vibration_mm_s' })
    expect(gone.said[0]?.verdict.message).toMatch(/that Current \(\d+\.\d\d A\) lets expect$/)
  })

  test('a person’s word makes it speak sooner or later', () => {
    const gap = (caution: 'confirm' | 'dismiss' | undefined) => {
      const { state, detector } = watch(3_600, (sample) => sample)
      if (caution) for (let i = 0; i < 4; i++) detector[caution]?.(state)
      for (let s = 3_600; s < 3_603; s++) detector.observe(state, s * 1_000, [5, 3, 51.5])
      const { lower = 0, upper = 0 } = detector.last(state)
      return upper - lower
    }
    expect(gap('confirm')).toBeLessThan(gap(undefined) / 2)
    expect(gap('dismiss')).toBeGreaterThan(gap(undefined) * 2)
  })

  test('the state of eight fields stays under two thousand bytes', () => {
    const series = Array.from({ length: 8 }, (_, i) => of(`field_${i}`, `Field ${i}`, '', 3))
    const detector = togetherDetector(series)
    const state = detector.start()
    const random = seededRandom(3)
    for (let s = 0; s < 2_000; s++)
      detector.observe(
        state,
        1.7e12 + s * 1_000,
        series.map((_, i) => 1e3 * (i + normal(random))),
      )
    expect(JSON.stringify(state).length).toBeLessThan(2_000)
  })
})
