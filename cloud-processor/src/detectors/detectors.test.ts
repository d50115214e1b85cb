import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { CAUTION_MAX } from './caution.ts'
import { describeDetector } from './detector.conformance.ts'
import { restoreState } from './detector.ts'
import { flatlineDetector } from './flatline.ts'
import { fullDetector } from './full.ts'
import { detectorsFor, exceeds, seriesContext, silenceFor } from './index.ts'
import { outlierDetector } from './outlier.ts'
import { EXAMPLE_SERIES, normal, seededRandom } from './simulated-series.ts'
import { thresholdDetector, thresholdName } from './threshold.ts'

const above = { field: 'velocity_rms_mm_s', above: 7.1, hysteresis: 0.5, severity: 'critical' } as const
const below = { field: 'velocity_rms_mm_s', below: 2.2, hysteresis: 0, severity: 'warning' } as const

describeDetector('threshold above', () => thresholdDetector(above, EXAMPLE_SERIES))
describeDetector('threshold below', () => thresholdDetector(below, EXAMPLE_SERIES))
describeDetector('flatline', () => flatlineDetector(10_000, EXAMPLE_SERIES))
describeDetector('outlier', () => outlierDetector(EXAMPLE_SERIES))
describeDetector('outlier in full', () => fullDetector(EXAMPLE_SERIES), 16 * 1_024)

describe('threshold', () => {
  test('says how far beyond, and clears only when the value came back by the hysteresis', () => {
    const detector = thresholdDetector(above, EXAMPLE_SERIES)
    const state = detector.start()
    const said = [7, 7.1, 7.9, 8.5, 7.0, 6.7, 7.05, 6.6, 7.05, 7.2].map((value, i) =>
      detector.observe(state, i * 1_000, value),
    )
    expect(said.map((v) => v?.anomalous)).toEqual([
      false,
      undefined,
      true,
      undefined,
      undefined,
      undefined,
      undefined,
      false,
      undefined,
      true,
    ])
    expect(said[2]).toMatchObject({
      message: 'Vibration velocity: 7.90 mm/s, 0.80 above the limit 7.1',
      score: 1,
      upper: 7.1,
    })
  })

  test('a lower limit without hysteresis clears at the limit', () => {
    const detector = thresholdDetector(below, EXAMPLE_SERIES)
    const state = detector.start()
    expect(detector.observe(state, 1, 1.9)?.message).toBe('Vibration velocity: 1.90 mm/s, 0.30 below the limit 2.2')
    expect(detector.observe(state, 2, 2.2)?.anomalous).toBe(false)
  })

  test('a whole number beyond a limit between two is not said to be apart by what it is not', () => {
    const series = { ...EXAMPLE_SERIES, label: 'Inputs down', unit: '', decimals: 0 }
    const detector = thresholdDetector({ ...above, above: 0.5 }, series)
    expect(detector.observe(detector.start(), 1, 1)?.message).toBe('Inputs down: 1, above the limit 0.5')
  })

  test('an old reading is judged by the limit alone', () => {
    expect([exceeds(above, 7.1), exceeds(above, 7.2), exceeds(below, 2.2), exceeds(below, 2.1)]).toEqual([
      false,
      true,
      false,
      true,
    ])
  })
})

describe('flatline', () => {
  const observe = (points: readonly (readonly [number, number])[]) => {
    const detector = flatlineDetector(10_000, EXAMPLE_SERIES)
    const state = detector.start()
    return points.map(([timeMs, value]) => detector.observe(state, timeMs, value))
  }
  test('speaks after the duration, once, and clears when the value moves', () => {
    const said = observe([...Array(15).keys()].map((i) => [i * 1_000, i < 13 ? 4 : 4.01] as const))
    expect(said.findIndex((v) => v?.anomalous)).toBe(10)
    expect(said[10]?.message).toBe(
      'Vibration velocity: 4.00 mm/s, unchanged for 10 s and 11 samples, since 1970-01-01 00:00:00 UTC',
    )
    expect(said.filter((v) => v !== undefined).length).toBe(3)
    expect(said[13]?.anomalous).toBe(false)
  })
  test('does not count the time in which no sample came', () => {
    expect(
      observe([
        [0, 4],
        [1_000, 4],
        [2_000, 4],
        [3_000, 4],
        [60_000, 4],
        [61_000, 4],
      ]).every((v) => !v?.anomalous),
    ).toBe(true)
  })
  test('a few samples far apart prove nothing', () => {
    expect(
      observe([
        [0, 4],
        [6_000, 4],
        [12_000, 4],
        [18_000, 4],
      ]).every((v) => !v?.anomalous),
    ).toBe(true)
  })
})

describe('detectorsFor', () => {
  const contract = contractSchema.parse({
    kind: 'vibration',
    version: 1,
    description: 'x',
    interval: '1s',
    fields: {
      velocity: { type: 'float', label: 'Velocity', unit: 'mm/s', decimals: 1 },
      running: { type: 'boolean', label: 'Running' },
      state: { type: 'string', label: 'State' },
    },
    thresholds: [
      { field: 'velocity', above: 4.5 },
      { field: 'velocity', above: 7.1, severity: 'critical' },
      { field: 'velocity', above: 7.1 },
      { field: 'running', below: 1 },
    ],
    detectors: { outlier: ['velocity'], flatline: { velocity: '30s' }, silence: '15s' },
  })
  const namesFor = (field: string) =>
    detectorsFor(contract, field, seriesContext(contract, 'plant', 'pump-1', field)).map((d) => d.name)

  test('gives each field what its contract asks for, each name once', () => {
    expect(namesFor('velocity')).toEqual(['threshold_above_4.5', 'threshold_above_7.1', 'outlier', 'flatline'])
    expect(namesFor('running')).toEqual(['threshold_below_1'])
    expect(namesFor('state')).toEqual([])
    expect(namesFor('unheard_of')).toEqual([])
    expect(thresholdName({ field: 'x', below: -5, hysteresis: 0, severity: 'info' })).toBe('threshold_below_-5')
  })
  test('gives a device its silence', () => {
    expect(silenceFor(contract, { device: 'pump-1', kind: 'vibration' })?.name).toBe('silence')
    const { silence: _, ...detectors } = contract.detectors
    expect(silenceFor({ ...contract, detectors }, { device: 'pump-1', kind: 'vibration' })).toBeUndefined()
  })
  test('knows unit, label and decimals of a series', () => {
    expect(seriesContext(contract, 'plant', 'pump-1', 'velocity')).toEqual({
      site: 'plant',
      device: 'pump-1',
      kind: 'vibration',
      field: 'velocity',
      label: 'Velocity',
      unit: 'mm/s',
      decimals: 1,
      intervalMs: 1_000,
    })
  })
})

describe('states of yesterday', () => {
  const detector = outlierDetector(EXAMPLE_SERIES)
  const yesterday = JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/outlier-1.json'), 'utf8'))
  test('one from before feedback keeps what it had learned', () => {
    const state = restoreState(detector, yesterday)
    expect(state).toMatchObject(yesterday)
    expect(state.caution).toBe(1)
    expect(detector.observe(state, yesterday.lastTimeMs + 1_000, 20)?.anomalous).toBe(true)
  })
  test('a part of another type, or of another length, is replaced by a fresh start', () => {
    for (const jump of [null, 7, [], { spread: 'x' }, { spread: 0, record: 0, peak: 0, more: 1 }])
      expect(restoreState(detector, { ...yesterday, jump })).toEqual(detector.start())
    const start = () => ({ seen: [0, 0, 0] })
    expect(restoreState({ start }, { seen: [1, 2] })).toEqual(start())
    expect(restoreState({ start }, { seen: [1, 2, 3] })).toEqual({ seen: [1, 2, 3] })
  })
})

describe('feedback', () => {
  test('dismissing makes a series less sensitive, confirming more, four times at most', () => {
    const detector = outlierDetector(EXAMPLE_SERIES)
    const upperAfter = (...words: ('confirm' | 'dismiss')[]) => {
      const random = seededRandom(3)
      const state = detector.start()
      for (let i = 0; i < 300; i++) detector.observe(state, i * 1_000, 5 + 0.2 * normal(random))
      for (const word of words) detector[word]?.(state)
      detector.observe(state, 300_000, 5)
      const { expected, upper } = detector.last(state)
      return (upper as number) - (expected as number)
    }
    const plain = upperAfter()
    expect(upperAfter('dismiss') / plain).toBeCloseTo(Math.SQRT2)
    expect(upperAfter('dismiss', 'confirm') / plain).toBeCloseTo(1)
    expect(upperAfter(...Array(9).fill('dismiss')) / plain).toBeCloseTo(CAUTION_MAX)
    expect(upperAfter(...Array(9).fill('confirm')) / plain).toBeCloseTo(1 / CAUTION_MAX)
  })
})
