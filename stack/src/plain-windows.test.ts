import { contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { differenceOf, type ExpectedRow, plainWindows, type ReadingValue } from './plain-windows.ts'
import { readingsOf } from './window-readings.ts'

const contract = contractSchema.parse({
  kind: 'boiler',
  version: 1,
  description: 'x',
  interval: '1s',
  fields: {
    heat: { type: 'float', label: 'Heat', decimals: 1 },
    energy: { type: 'integer', label: 'Energy', role: 'counter', wraps_at: 1_000 },
    n: { type: 'integer', label: 'Number', role: 'sequence' },
    on: { type: 'boolean', label: 'On' },
    state: { type: 'string', label: 'State' },
    badge: { type: 'integer', label: 'Badge', sensitivity: 'mask' },
  },
})

const windows = (samples: [atMs: number, values: Record<string, ReadingValue>][], widthMs = 10_000) =>
  plainWindows(
    contract,
    readingsOf(samples.map(([timeMs, values]) => ({ timeMs, values: new Map(Object.entries(values)) }))),
    widthMs,
  )
const said = (row: ExpectedRow | undefined) =>
  Object.fromEntries([...(row ?? [])].flatMap(([field, { value, isOptional }]) => (isOptional ? [] : [[field, value]])))
const counted = (values: number[]) => said(windows(values.map((energy, i) => [i * 1_000, { energy }])).get(0))

describe('windows of readings', () => {
  test('each field says what its type and role have to say, whatever the order of the samples', () => {
    const all: [number, Record<string, ReadingValue>][] = [
      [1_000, { heat: 3, on: true, state: 'b', n: 1, badge: '***' }],
      [2_000, { heat: 1, on: false, state: 'a', n: 2 }],
      [12_000, { heat: 7.5 }],
      [9_999, { heat: 5, on: false, n: 3 }],
    ]
    const rows = windows(all)
    expect([...rows.keys()].sort()).toEqual([0, 10_000])
    expect(said(rows.get(0))).toEqual({
      ...{ heat_count: 3, heat_mean: 3, heat_min: 1, heat_max: 5, heat_stddev: 2, heat_last: 5 },
      ...{ heat_p50: 3, heat_p95: 5, heat_p99: 5 },
      ...{ n_count: 3, n_mean: 2, n_min: 1, n_max: 3, n_stddev: 1, n_last: 3 },
      ...{ on_count: 3, on_mean: 1 / 3, on_last: false },
      ...{ state_count: 2, state_last: 'a', badge_count: 1, badge_last: '***' },
    })
    expect(said(rows.get(10_000))).toMatchObject({ heat_count: 1, heat_stddev: 0, heat_p50: 7.5 })
    expect(windows(all.toReversed())).toEqual(rows)
    expect(said(windows(all, 60_000).get(0))).toMatchObject({ heat_count: 4, heat_last: 7.5, heat_p50: 3 })
  })

  test('a row of an hour says which of the day it is', () => {
    const rows = windows(
      [
        [5 * 3_600_000 + 1, { heat: 1 }],
        [26 * 3_600_000, { heat: 1 }],
        [-1, { heat: 1 }],
      ],
      3_600_000,
    )
    expect([...rows].map(([startMs, row]) => [startMs / 3_600_000, row.get('hour')?.value])).toEqual([
      [-1, 23],
      [5, 5],
      [26, 2],
    ])
    expect([...windows([[0, { heat: 1 }]], 900_000).values()].some((row) => row.has('hour'))).toBe(false)
    const [row] = rows.values()
    const right = new Map([...(row ?? [])].map(([field, { value }]) => [field, value]))
    expect(differenceOf(row as ExpectedRow, right)).toBeUndefined()
    expect(differenceOf(row as ExpectedRow, new Map([...right, ['hour', 22]]))).toBe('hour 22 instead of 23')
  })

  test('a counter counts from the last reading before its window', () => {
    const rows = windows([
      [1_000, { energy: 100 }],
      [8_000, { energy: 170 }],
      [31_000, { energy: 200 }],
      [33_000, { energy: 225 }],
    ])
    expect(said(rows.get(0))).toMatchObject({ energy_increase: 70, energy_rate: 10, energy_resets: 0 })
    expect(said(rows.get(30_000))).toMatchObject({ energy_increase: 55, energy_rate: 2.2, energy_resets: 0 })
    expect(said(windows([[1_000, { energy: 5 }]]).get(0))).not.toHaveProperty('energy_rate')
  })

  test('it wraps, is reset, or steps back', () => {
    expect(counted([950, 990, 20])).toMatchObject({ energy_increase: 70, energy_resets: 0 })
    expect(counted([600, 610, 20])).toMatchObject({ energy_increase: 30, energy_resets: 1 })
    expect(counted([600, 610, 500, 505])).toMatchObject({ energy_increase: 15, energy_resets: 1 })
  })

  test('percentiles of what was not rolled up say of how many readings they are', () => {
    const sample = (timeMs: number, heat: number) => ({ timeMs, values: new Map([['heat', heat]]) })
    const all = [sample(0, 1), sample(1, 2), sample(2, 3), sample(3, 4)]
    const row = plainWindows(contract, readingsOf(all), 10_000, readingsOf(all.slice(2))).get(0)
    expect(said(row)).toMatchObject({ heat_count: 4, heat_p50: 3, heat_p99: 4, heat_sketched: 2 })
  })
})

describe('a row', () => {
  const row = windows([
    [0, { heat: 100, on: true, state: 'a' }],
    [1, { heat: 200, on: true, state: 'b' }],
  ]).get(0) as ExpectedRow
  const right = new Map<string, unknown>([
    ...[...row].map(([field, { value }]): [string, unknown] => [field, value]),
    ...Object.entries({ time: 0, revision: 3, heat_sketched: null, rolled_up: null }),
  ])
  const with_ = (field: string, value: unknown) => differenceOf(row, new Map(right).set(field, value))

  test('that says what its readings are is right, within the error of a percentile', () => {
    expect(differenceOf(row, right)).toBeUndefined()
    expect(with_('heat_p50', 101)).toBeUndefined()
    expect(with_('heat_mean', 150 + 1e-8)).toBeUndefined()
  })
  test.each([
    ['heat_p50', 101.1, 'heat_p50 101.1 instead of 100'],
    ['heat_mean', 150.001, 'heat_mean 150.001 instead of 150'],
    ['heat_count', 3, 'heat_count 3 instead of 2'],
    ['heat_min', 100.1, 'heat_min 100.1 instead of 100'],
    ['heat_stddev', 70.71, 'heat_stddev 70.71 instead of 70.71067'],
    ['heat_last', null, 'heat_last is not there instead of 200'],
    ['heat_last', '200', 'heat_last 200 instead of 200'],
    ['on_last', false, 'on_last false instead of true'],
    ['state_last', 'a', 'state_last a instead of b'],
    ['energy_count', 1, 'energy_count 1, of which there are no readings'],
    ['heat_sketched', 1, 'heat_sketched 1 instead of 2'],
    ['state_count', 1, 'state_count 1 instead of 2'],
  ])('whose %s is %s is wrong', (field, value, difference) => {
    expect(with_(field, value)).toContain(difference)
  })
})
