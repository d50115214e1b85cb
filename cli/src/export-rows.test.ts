import type { Batch, RollupBlock } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { batchText } from './export-rows.ts'

const T = Date.UTC(2026, 4, 1)
const ALWAYS = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY }
const header = { agent: 'pi-1', epoch: '00c0ffee12345678', sequence: 7 } as Batch['header']

const batchWith = (parts: Partial<Batch>): Batch => ({
  header,
  blocks: [],
  deadLetters: [],
  tombstones: [],
  rollups: [],
  ...parts,
})

const tank = batchWith({
  blocks: [
    {
      device: 'tank-1',
      kind: 'tank',
      timesMs: Float64Array.of(T, T + 1_000),
      columns: [
        { field: 'level', present: null, type: 'number', values: Float64Array.of(1.5, 2) },
        { field: 'pump_on', present: Uint8Array.of(1, 0), type: 'boolean', values: Uint8Array.of(1, 0) },
        { field: 'note', present: Uint8Array.of(0, 1), type: 'string', values: ['', 'a "b", c\nd'] },
      ],
    },
  ],
})

const rollup: RollupBlock = {
  device: 'tank-1',
  kind: 'tank',
  widthMs: 10_000,
  fromSequence: 1,
  toSequence: 3,
  timesMs: Float64Array.of(T, T + 10_000),
  columns: [
    {
      field: 'level',
      type: 'number',
      counts: Float64Array.of(3, 0),
      lastOffsetsMs: Float64Array.of(9_000, 0),
      sums: Float64Array.of(12, 0),
      // 2, 4, 6: squared differences 8, times the count.
      spreads: Float64Array.of(24, 0),
      minimums: Float64Array.of(2, 0),
      maximums: Float64Array.of(6, 0),
      lasts: Float64Array.of(6, 0),
    },
    {
      field: 'pump_on',
      type: 'boolean',
      counts: Float64Array.of(4, 1),
      lastOffsetsMs: Float64Array.of(9_000, 0),
      trueCounts: Float64Array.of(1, 1),
      lasts: Uint8Array.of(0, 1),
    },
  ],
}

describe('readings', () => {
  test('a JSON line a sample, with the fields that it has', () => {
    const { lines, readings, windows } = batchText(tank, 'ndjson', ALWAYS)
    const at = { agent: 'pi-1', epoch: header.epoch, batch: 7, device: 'tank-1', kind: 'tank' }
    expect(
      lines
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { ...at, time_ms: T, fields: { level: 1.5, pump_on: true } },
      { ...at, time_ms: T + 1_000, fields: { level: 2, note: 'a "b", c\nd' } },
    ])
    expect([readings, windows]).toEqual([4, 0])
  })

  test('a CSV row a reading, quoted where it must be', () => {
    expect(batchText(tank, 'csv', ALWAYS).lines).toBe(
      `pi-1,00c0ffee12345678,7,tank-1,tank,${T},,level,1.5
pi-1,00c0ffee12345678,7,tank-1,tank,${T},,pump_on,true
pi-1,00c0ffee12345678,7,tank-1,tank,${T + 1_000},,level,2
pi-1,00c0ffee12345678,7,tank-1,tank,${T + 1_000},,note,"a ""b"", c\nd"
`,
    )
  })

  test('from is inclusive, to is not', () => {
    const count = (fromMs: number, toMs: number) => batchText(tank, 'csv', { fromMs, toMs }).readings
    expect([count(T, T + 1_000), count(T + 1, T + 1_001), count(T + 1_001, T + 9_000)]).toEqual([2, 2, 0])
  })
})

test('windows that stand for readings have the statistics of the processor’s', () => {
  const { lines, readings, windows } = batchText(batchWith({ rollups: [rollup] }), 'ndjson', ALWAYS)
  expect([readings, windows]).toEqual([0, 2])
  expect(
    lines
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toMatchObject([
    {
      time_ms: T,
      window_ms: 10_000,
      fields: {
        level_count: 3,
        level_mean: 4,
        level_min: 2,
        level_max: 6,
        level_stddev: 2,
        level_last: 6,
        pump_on_count: 4,
        pump_on_mean: 0.25,
        pump_on_last: false,
      },
    },
    { time_ms: T + 10_000, fields: { pump_on_count: 1, pump_on_mean: 1, pump_on_last: true } },
  ])
  expect(batchText(batchWith({ rollups: [rollup] }), 'csv', { fromMs: T + 12_000, toMs: T + 13_000 }).windows).toBe(1)
})

test('a batch with nothing within the bounds is empty text', () => {
  expect(batchText(tank, 'csv', { fromMs: T + 5_000, toMs: T + 6_000 })).toEqual({ lines: '', readings: 0, windows: 0 })
})
