/** Batches with a bit of everything, fixed for ever: what `fixtures/` holds as bytes. A case may be added, never changed. */
import type { Batch, BatchHeader, DeviceBlock, FieldColumn } from './batch.ts'
import { BATCH_FORMAT_VERSION } from './batch-codec.ts'
import { countReadings, countSamples } from './batch-faults.ts'
import type { RollupBlock } from './rollup.ts'

const NOON_MS = Date.UTC(2026, 5, 1, 12)

const numbers = (field: string, values: number[], present: number[] | null = null): FieldColumn => ({
  field,
  present: present && Uint8Array.from(present),
  type: 'number',
  values: Float64Array.from(values),
})

function batch(body: Partial<Omit<Batch, 'header'>>, header: Partial<Batch['header']> = {}): Batch {
  const whole = { blocks: [], deadLetters: [], tombstones: [], rollups: [], ...body }
  return {
    header: {
      formatVersion: BATCH_FORMAT_VERSION,
      agent: 'pi-7',
      epoch: '00c0ffee12345678',
      sequence: 42,
      lane: 'live',
      createdAtMs: NOON_MS + 1_000,
      completeThroughMs: NOON_MS + 900,
      bootId: '2f1c1a52-9d2a-4f6e-8c57-2a3f6d1f0b11',
      clockQuality: 'trusted',
      sampleCount: countSamples(whole.blocks),
      readingCount: countReadings(whole),
      readingsTotal: 123_456,
      backlogBatches: 0,
      backlogBytes: 0,
      drainSeconds: 0,
      monotonicMs: 0,
      ...header,
    },
    ...whole,
  }
}

const climate: DeviceBlock = {
  device: 'hall-1',
  kind: 'climate',
  timesMs: Float64Array.from({ length: 10 }, (_, i) => NOON_MS + i * 1000 + (i === 4 ? 3 : 0)),
  columns: [
    numbers('temperature_c', [21.31, 21.3, 21.28, 21.28, 21.3, 21.33, 21.4, 21.38, 21.35, 21.36]),
    numbers('humidity_percent', [45.1, 45.2, 45, 0, 45.1, 45.3, 0, 45.2, 45.2, 45.2], [1, 1, 1, 0, 1, 1, 0, 1, 1, 1]),
    numbers('pressure_hpa', [1013.25, 1013.26, 1013.25, 1013.24, 1013.22, 1013.25, 1013.3, 1013.28, 1013.25, 1013.25]),
    numbers(
      'sequence',
      [4_294_967_290, 4_294_967_291, 4_294_967_292, 4_294_967_293, 4_294_967_294, 4_294_967_295, 0, 1, 2, 3],
    ),
  ],
}

const tank: DeviceBlock = {
  device: 'tank-ost_2',
  kind: 'tank',
  timesMs: Float64Array.from([0, 1, 2, 3, 4], (i) => NOON_MS + i * 1000),
  columns: [
    numbers('level_percent', [79.98, 79.99, 80, 80.01, 80.02]),
    { field: 'pump_on', present: null, type: 'boolean', values: Uint8Array.of(1, 1, 0, 0, 1) },
    { field: 'state', present: null, type: 'string', values: ['filling', 'filling', 'idle', 'idle', 'filling'] },
    { field: 'note', present: Uint8Array.of(0, 1, 0, 0, 1), type: 'string', values: ['', 'Überlauf', '', '', ''] },
  ],
}

/** Numbers that no short form can hold. */
const odd: DeviceBlock = {
  device: 'odd',
  kind: 'odd',
  // Half milliseconds, backwards, and a gap of years.
  timesMs: Float64Array.of(NOON_MS + 0.5, NOON_MS, NOON_MS + 1e11),
  columns: [
    numbers('extremes', [Number.MAX_VALUE, 5e-324, Number.NaN]),
    numbers('infinities', [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, -0]),
    numbers('float32', [Math.fround(21.3), Math.fround(-0.1), Math.fround(1e10)]),
    numbers('far_integer', [9_007_199_254_740_991, 9_007_199_254_740_990, 9_007_199_254_740_000]),
    numbers('nano', [0.000000001, 0.000000002, -0.000000003]),
    // One field whose values changed type.
    numbers('mixed', [1.5, 0, 0], [1, 0, 0]),
    { field: 'mixed', present: Uint8Array.of(0, 0, 1), type: 'string', values: ['', '', 'n/a'] },
    { field: 'mixed', present: Uint8Array.of(0, 1, 0), type: 'boolean', values: Uint8Array.of(0, 1, 0) },
    numbers('never', [0, 0, 0], [0, 0, 0]),
  ],
}

/** What every format version can say, as version 1 said it. */
const ofVersion1: Readonly<Record<string, Batch>> = {
  empty: batch({}, { sequence: 1, bootId: '', readingsTotal: 0 }),
  ordinary: batch({ blocks: [climate, tank] }),
  odd: batch({ blocks: [odd] }, { clockQuality: 'estimated', sequence: Number.MAX_SAFE_INTEGER }),
  losses: batch(
    {
      deadLetters: [
        {
          input: 'press-line',
          device: 'press-3',
          reason: 'bad_checksum',
          detail: 'CRC-16 is 1a2b, the line says 1a2c',
          receivedAtMs: NOON_MS + 12.5,
          original: Uint8Array.of(0x7b, 0x22, 0x74, 0xff, 0x00),
          originalBytes: 70_000,
          readingCount: 3,
        },
      ],
      tombstones: [
        { epoch: '00c0ffee12345678', fromSequence: 17, toSequence: 39, readingCount: 23_000, reason: 'disk_budget' },
      ],
    },
    {
      lane: 'backlog',
      clockQuality: 'corrected',
      backlogBatches: 5_000_000_000,
      backlogBytes: 2 ** 40,
      drainSeconds: 754.25,
    },
  ),
}

const hallWindows: RollupBlock = {
  device: 'hall-1',
  kind: 'climate',
  widthMs: 10_000,
  fromSequence: 17,
  toSequence: 39,
  timesMs: Float64Array.of(NOON_MS - 600_000, NOON_MS - 590_000, NOON_MS - 300_000),
  columns: [
    {
      field: 'temperature_c',
      type: 'number',
      counts: Float64Array.of(10, 0, 3),
      lastOffsetsMs: Float64Array.of(9_000, 0, 2_000.5),
      sums: Float64Array.of(213.05, 0, -0.1),
      spreads: Float64Array.of(0.0123456789, 0, 1e300),
      minimums: Float64Array.of(21.28, 0, -7.5),
      maximums: Float64Array.of(21.4, 0, 7.5),
      lasts: Float64Array.of(21.36, 0, 7.5),
    },
    {
      field: 'door_open',
      type: 'boolean',
      counts: Float64Array.of(10, 10, 0),
      lastOffsetsMs: Float64Array.of(9_000, 9_003, 0),
      trueCounts: Float64Array.of(3, 10, 0),
      lasts: Uint8Array.of(0, 1, 0),
    },
    {
      field: 'state',
      type: 'string',
      counts: Float64Array.of(0, 1, 2),
      lastOffsetsMs: Float64Array.of(0, 0, 1_000),
      lasts: ['', 'Überlauf', 'idle'],
    },
  ],
}

const inVersion = (given: Batch, formatVersion: number, header: Partial<BatchHeader> = {}): Batch => ({
  ...given,
  header: { ...given.header, formatVersion, ...header },
})
const all = (given: Readonly<Record<string, Batch>>, change: (one: Batch) => Batch): Record<string, Batch> =>
  Object.fromEntries(Object.entries(given).map(([name, one]) => [name, change(one)]))

const BOOTED_MS_AGO = 5_432_100.25

/** By format version: what its golden files decode to today. */
export const goldenBatchesOf: Readonly<Record<number, Readonly<Record<string, Batch>>>> = {
  1: all(ofVersion1, (one) => inVersion(one, 1)),
  2: {
    ...all(ofVersion1, (one) => inVersion(one, 2, { monotonicMs: BOOTED_MS_AGO })),
    stamped: inVersion(batch({ blocks: [climate, { ...tank, stampedByAgent: true }] }), 2, {
      clockQuality: 'untrusted',
    }),
    rolled_up: inVersion(
      batch({
        rollups: [
          hallWindows,
          { ...hallWindows, kind: 'tank', stampedByAgent: true, columns: [] },
          { ...hallWindows, device: 'hall-2', widthMs: 60_000, timesMs: new Float64Array(0), columns: [] },
        ],
        tombstones: [
          {
            epoch: '00c0ffee12345678',
            fromSequence: 17,
            toSequence: 39,
            readingCount: 23_000,
            reason: 'rolled_up_10s',
          },
        ],
      }),
      2,
      { monotonicMs: BOOTED_MS_AGO },
    ),
  },
}

/** Those of the version that is written. */
export const goldenBatches = goldenBatchesOf[BATCH_FORMAT_VERSION] as Readonly<Record<string, Batch>>

/** A batch as JSON, so that a difference can be read: typed arrays as lists, bytes as hexadecimal, what JSON lacks as text. */
export const toReadableJson = (value: Batch): string =>
  `${JSON.stringify(
    value,
    (key, item: unknown) => {
      if (key === 'original' && item instanceof Uint8Array) return Buffer.from(item).toString('hex')
      if (item instanceof Float64Array)
        return Array.from(item, (n) =>
          Number.isFinite(n) && !Object.is(n, -0) ? n : Object.is(n, -0) ? '-0' : String(n),
        )
      return item instanceof Uint8Array ? Array.from(item) : item
    },
    2,
  )}\n`
