import { describe, expect, test } from 'vitest'
import { fullDetector, WARM_UP_READINGS } from './full.ts'
import { NEW_NORMAL_INTERVALS } from './outlier.ts'
import { ANOMALIES, type LabelledSeries, labelled } from './simulated-anomalies.ts'
import { EXAMPLE_SERIES, HEALTHY, normal, seededRandom } from './simulated-series.ts'

const T0 = Date.UTC(2026, 0, 5)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

interface Said {
  readonly at: number
  readonly anomalous: boolean
  readonly component: string
  readonly message: string
}

function listen({ timesMs, values }: Pick<LabelledSeries, 'timesMs' | 'values'>) {
  const detector = fullDetector({ ...EXAMPLE_SERIES, label: 'Level', unit: 'm', decimals: 2 })
  const state = detector.start()
  const said: Said[] = []
  const scores = values.map((value, at) => {
    const verdict = detector.observe(state, timesMs[at] as number, value)
    if (verdict && at > 0) said.push({ at, ...verdict })
    return state.alarm.score
  })
  return { said, scores, detector, state }
}
const evenly = (intervalMs: number, count: number, value: (i: number, timeMs: number) => number) => {
  const timesMs = Array.from({ length: count }, (_, i) => T0 + i * intervalMs)
  return { timesMs, values: timesMs.map((timeMs, i) => value(i, timeMs)) }
}
const begun = (said: readonly Said[]) => said.filter(({ anomalous }) => anomalous).map(({ at }) => at)

/** Area under precision and recall of readings ranked by their scores; the warm-up does not count. */
function averagePrecision({ anomalies }: LabelledSeries, scores: readonly number[]): number {
  const odd = new Uint8Array(scores.length)
  for (const [from, through] of anomalies) odd.fill(1, from, through + 1)
  const ranked = scores.map((score, i) => [score, odd[i] as number] as const).slice(WARM_UP_READINGS)
  ranked.sort(([a], [b]) => b - a)
  const all = ranked.reduce((sum, [, isOdd]) => sum + isOdd, 0)
  let found = 0
  return ranked.reduce((sum, [, isOdd], i) => {
    found += isOdd
    return sum + (isOdd * found) / (i + 1) / all
  }, 0)
}

describe('what the ensemble finds, however often it recurs', () => {
  const FLOORS: Record<string, number> = {
    'recurring spikes': 0.9,
    'spikes within the range of a day': 0.85,
    'recurring level shifts': 0.4,
    'steps to a new normal': 0.35,
    'one odd beat in a long pulse': 0.1,
    'one odd stretch of a long wave': 0.35,
    'changes of variance': 0.5,
    drifts: 0.4,
    'stuck for a while': 0.25,
    'a working day without work': 0.25,
    'spikes of a few steps in coarse values': 0.7,
    'spikes in noise with a long tail': 0.9,
    'spikes in readings at odd times, some missing': 0.85,
  }
  for (const family of Object.keys(ANOMALIES))
    test(`${family}: the highest score lies in one, nearly always, and readings rank by it`, () => {
      let precision = 0
      let within = 0
      for (const seed of [1, 2, 3]) {
        const series = labelled(family, seed)
        const { scores } = listen(series)
        const highest = scores.indexOf(Math.max(...scores))
        // A window that is compared as a whole ends after what is odd in it.
        const isWithin = series.anomalies.some(
          ([from, through]) => highest >= from - 30 && highest <= through + Math.max(30, through - from),
        )
        if (isWithin) within += 1
        precision += averagePrecision(series, scores) / 3
      }
      expect(within).toBeGreaterThanOrEqual(family === 'stuck for a while' ? 1 : 3)
      expect(precision).toBeGreaterThan(FLOORS[family] as number)
    })

  test('on healthy sensors it is quiet: fewer than three alarms in ten thousand readings', () => {
    let alarms = 0
    let readings = 0
    for (const make of Object.values(HEALTHY))
      for (const intervalMs of [1_000, MINUTE_MS]) {
        const value = make(seededRandom(5))
        const { said } = listen(evenly(intervalMs, 12_000, (_, timeMs) => value(timeMs)))
        alarms += begun(said).length
        readings += 12_000
      }
    console.log(`${alarms} false alarms of the ensemble in ${readings} readings`)
    expect(alarms).toBeLessThan((3 * readings) / 10_000)
  })
})

describe('what the ensemble holds for normal', () => {
  test('nothing is said during the warm-up', () => {
    const random = seededRandom(3)
    const series = evenly(1_000, WARM_UP_READINGS, (i) => (i % 10 === 9 ? 50 : 5 + 0.1 * random()))
    const { said, scores } = listen(series)
    expect(said).toEqual([])
    expect(Math.max(...scores)).toBe(0)
  })

  test('a step is an anomaly, and the new normal when it has stayed for as long as `outlier` waits', () => {
    const random = seededRandom(4)
    const series = evenly(MINUTE_MS, 4_000, (i) => (i < 2_000 ? 10 : 20) + normal(random))
    const { said } = listen(series)
    const [first] = begun(said)
    expect(first).toBeGreaterThanOrEqual(2_000)
    expect(first).toBeLessThan(2_003)
    expect(said.at(-1)?.anomalous).toBe(false)
    expect(begun(said).at(-1)).toBeLessThan(2_000 + 2 * NEW_NORMAL_INTERVALS)
    expect(said.at(-1)?.at).toBeLessThan(2_000 + 3 * NEW_NORMAL_INTERVALS)
  })

  test('a series that stood still for long: its first move is an anomaly, a step of its last digit is none', () => {
    const constant = (by: number) => evenly(MINUTE_MS, 3_000, (i) => 20 + (i >= 2_000 ? by : 0))
    expect(begun(listen(constant(7)).said)).toEqual([2_000])
    expect(begun(listen(constant(0.01)).said)).toEqual([])
  })

  test('what happens at the same hour day by day is a habit after some days; at another hour, or larger, it is an anomaly', () => {
    const random = seededRandom(11)
    const perDay = 288
    const backups = (spikes: ReadonlyMap<number, number>) =>
      evenly(5 * MINUTE_MS, perDay * 14, (i) => {
        const size = spikes.get(i) ?? (i % perDay === 30 ? 12 : 0)
        return 20 + 0.3 * normal(random) + size
      })
    const daily = begun(listen(backups(new Map())).said)
    expect(daily.filter((at) => at < 5 * perDay).length).toBeGreaterThan(0)
    expect(daily.filter((at) => at >= 6 * perDay)).toEqual([])
    const atNoon = 12 * perDay + 144
    expect(begun(listen(backups(new Map([[atNoon, 12]]))).said)).toContain(atNoon)
    const larger = 13 * perDay + 30
    expect(begun(listen(backups(new Map([[larger, 60]]))).said)).toContain(larger)
  })

  test('when clocks change a day is an hour early, of which the views of hours say nothing', () => {
    const random = seededRandom(6)
    const day = (timeMs: number) => 10 + 8 * Math.sin((2 * Math.PI * timeMs) / DAY_MS) + 0.4 * normal(random)
    const changed = (hours: number) =>
      // At noon of the sine, where an hour is no jump.
      evenly(5 * MINUTE_MS, 288 * 30, (i, timeMs) => day(i < 288 * 20 + 72 ? timeMs : timeMs + hours * HOUR_MS))
    const alarmsByHour = (hours: number) =>
      listen(changed(hours)).said.filter(
        ({ at, anomalous, component }) => anomalous && component.startsWith('hour') && at >= 288 * 20 && at < 288 * 22,
      )
    expect(alarmsByHour(1)).toEqual([])
    expect(alarmsByHour(6).length).toBeGreaterThan(0)
  })

  test('after a gap a value within all that was learned is no anomaly, far from the last as it may be', () => {
    const random = seededRandom(7)
    const wave = (i: number) => 10 + 5 * Math.sin(i / 300) + 0.1 * normal(random)
    const series = evenly(1_000, 6_000, wave)
    // From a crest into a trough.
    const timesMs = series.timesMs.map((timeMs, i) => (i < 4_240 ? timeMs : timeMs + HOUR_MS))
    const values = series.values.map((value, i) => (i < 4_240 ? value : wave(i + 942)))
    const before = begun(listen(series).said).filter((at) => at >= 4_240 && at < 4_340)
    expect(begun(listen({ timesMs, values }).said).filter((at) => at >= 4_240 && at < 4_340)).toEqual(before)
  })
})

describe('what the ensemble says', () => {
  const sentence = (family: string, component: RegExp) => {
    for (let seed = 1; seed <= 10; seed++)
      for (const { anomalous, component: spoke, message } of listen(labelled(family, seed)).said)
        if (anomalous && component.test(spoke)) return message
    return 'nothing'
  }
  test('which view spoke, how far from what, and for how long nothing was like it', () => {
    expect(sentence('a working day without work', /^hour/)).toMatch(
      /^Level: \d+\.\d\d m, \d+\.\d\d (above|below) the usual for \d\d:00 UTC/,
    )
    expect(sentence('recurring spikes', /./)).toMatch(/^Level: -?\d+\.\d\d m, .*, (highest|lowest) in \d+ (min|h|d)/)
    expect(sentence('changes of variance', /^variab|^resid/)).toMatch(/usual/)
    expect(sentence('one odd stretch of a long wave', /shape/)).toMatch(
      /the course of the last (32|256) readings is unlike any before/,
    )
  })
})

describe('state of the ensemble', () => {
  test('16 KB of JSON at most, whatever the values', () => {
    for (const scale of [1, 1e-9, 1e300, 12_345.678_9]) {
      const random = seededRandom(8)
      const series = evenly(5 * MINUTE_MS, 288 * 40, (i) => scale * Math.sin(i / 45.8) * (1 - random() ** 2 / 3))
      const { state } = listen(series)
      const json = JSON.stringify(state)
      console.log(`state of the ensemble, values of ${scale}: ${json.length} bytes`)
      expect(json.length).toBeLessThanOrEqual(16 * 1_024)
      expect(json).not.toContain('null')
    }
  })
})
