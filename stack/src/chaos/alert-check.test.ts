import { type AlertTransition, payloadOf } from '@tributary/cloud-processor'
import { describe, expect, test } from 'vitest'
import { type HeardAlert, type LedgerAnomaly, mistakesInAlerts, TOLD_MS_MAX } from './alert-check.ts'

const STARTED_MS = Date.UTC(2026, 5, 1, 12)
const anomaly: LedgerAnomaly = {
  type: 'anomaly',
  atMs: STARTED_MS,
  device: 'pump-1',
  field: 'temperature_c',
  kind: 'level_shift',
  by: 30,
  fromSequence: 100,
  fromMs: STARTED_MS,
  untilMs: STARTED_MS + 12_000,
}
const allCalm = [{ fromMs: STARTED_MS - 60_000, untilMs: STARTED_MS + 60_000 }]

const heard = (change: Partial<AlertTransition> = {}, delayMs = 1_500): HeardAlert => {
  const transition: AlertTransition = {
    episode: 'e1',
    rule: 'vibration.temperature_c.threshold_above_80',
    state: 'firing',
    severity: 'warning',
    site: 'workshop',
    device: 'pump-1',
    kind: 'vibration',
    field: 'temperature_c',
    detector: 'threshold_above_80',
    label: '',
    unit: '',
    value: 85,
    expected: null,
    lower: null,
    upper: 80,
    message: '',
    startedAtMs: STARTED_MS + 100,
    atMs: STARTED_MS + 100,
    notify: 'all',
    ...change,
  }
  const key = `${transition.episode}/${transition.state}`
  return { key, payload: payloadOf({ key, transition }), heardAtMs: transition.atMs + delayMs }
}
const resolved = (change: Partial<AlertTransition> = {}) =>
  heard({ state: 'resolved', atMs: STARTED_MS + 42_000, ...change })

describe('alerts are right when', () => {
  test('an anomaly is told once, and its end once', () => {
    expect(mistakesInAlerts([heard(), resolved()], [anomaly], allCalm)).toEqual([])
  })
  test('the same anomaly comes again later, as an episode of its own', () => {
    const later = { startedAtMs: STARTED_MS + 75_000, atMs: STARTED_MS + 75_000, episode: 'e2' }
    expect(mistakesInAlerts([heard(), resolved(), heard(later)], [anomaly], allCalm)).toEqual([])
  })
  test('nobody was told of what began during a fault, or just before', () => {
    expect(
      mistakesInAlerts(
        [],
        [anomaly],
        [
          { fromMs: STARTED_MS + 500, untilMs: STARTED_MS + 60_000 },
          { fromMs: STARTED_MS - 60_000, untilMs: STARTED_MS + 3_000 },
        ],
      ),
    ).toEqual([])
  })
})

describe('it is a mistake when', () => {
  const cases: [string, HeardAlert[], RegExp][] = [
    ['nobody was told', [], /nobody was told/],
    ['one episode is told under two keys', [heard(), { ...heard(), key: 'another' }], /told as firing twice/],
    [
      'one anomaly becomes two episodes',
      [heard(), resolved(), heard({ episode: 'e2', startedAtMs: STARTED_MS + 3_000 })],
      /told as 2 episodes/,
    ],
    [
      'two episodes of one series overlap',
      [heard(), resolved(), heard({ episode: 'e2', startedAtMs: STARTED_MS + 30_000 })],
      /overlap/,
    ],
    ['old data page', [heard({}, TOLD_MS_MAX + 1_000)], /a backfill pages/],
    [
      'a device is called silent',
      [heard(), heard({ episode: 'e3', detector: 'silence', field: '' })],
      /kept measuring/,
    ],
  ]
  for (const [name, told, expected] of cases)
    test(name, () => expect(mistakesInAlerts(told, [anomaly], allCalm).join('\n')).toMatch(expected))
})
