/** Bytes and CPU time of a reading in the batch codec, beside JSON, at several shapes of a batch. */
import { strict as assert } from 'node:assert'
import {
  BATCH_FORMAT_VERSION,
  type Batch,
  checkBlock,
  countReadings,
  countSamples,
  type DeviceBlock,
  decodeBatch,
  decodeHeader,
  encodeBatch,
  type FieldColumn,
  readContracts,
} from '@tributary/protocol'
import type { Report } from './report.ts'

const SHAPES = [
  { devices: 1, samples: 250, what: '1,000 readings of one device' },
  { devices: 10, samples: 25, what: '1,000 readings of ten devices' },
  { devices: 4, samples: 1250, what: '20,000 readings of four devices' },
  { devices: 8, samples: 1, what: 'one sample of each of eight devices' },
]
const READINGS_PER_ROUND = 400_000
const ROUNDS = 15

export async function run({ print }: Report): Promise<void> {
  const climate = (await readContracts(new URL('../contracts', import.meta.url).pathname)).get('climate')
  assert(climate, 'contracts/climate.yaml is shipped')
  for (const { devices, samples, what } of SHAPES) {
    const batch = climateBatch(devices, samples)
    const { readingCount } = batch.header
    const bytes = encodeBatch(batch)
    const rows = samplesOf(batch)
    const json = JSON.stringify(rows)
    assert.deepEqual(decodeBatch(bytes), batch)
    const nanoseconds = (work: () => void) => cpuNanoseconds(work, READINGS_PER_ROUND / readingCount) / readingCount
    const encode = nanoseconds(() => encodeBatch(batch))
    const decode = nanoseconds(() => decodeBatch(bytes))
    const header = nanoseconds(() => decodeHeader(bytes)) * readingCount
    const jsonBoth = nanoseconds(() => JSON.parse(JSON.stringify(rows)))
    const check = nanoseconds(() => {
      for (const block of batch.blocks) assert.equal(checkBlock(climate, block, () => undefined).length, 0)
    })
    print(
      `${what}: ${(bytes.length / readingCount).toFixed(2)} bytes a reading (JSON ${(json.length / readingCount).toFixed(1)}), ` +
        `encode ${encode.toFixed(0)} + decode ${decode.toFixed(0)} = ${(encode + decode).toFixed(0)} ns a reading (JSON ${jsonBoth.toFixed(0)}), ` +
        `header alone ${(header / 1000).toFixed(1)} µs a batch, contract check ${check.toFixed(1)} ns a reading`,
    )
  }
}

/** CPU time of one call, the best of several rounds: what else runs on the machine disturbs it little. */
function cpuNanoseconds(work: () => void, calls: number): number {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    for (let i = 0; i < calls; i++) work()
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, ((user + system) * 1000) / calls)
  }
  return best
}

/** Slowly moving values with noise in their last digits, one sample a second with a millisecond of jitter. */
function climateBatch(devices: number, samples: number): Batch {
  let state = 7
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const noise = () => random() + random() + random() - 1.5
  const startMs = Date.UTC(2026, 5, 1)
  const numbers = (field: string, value: (i: number) => number, decimals: number): FieldColumn => ({
    field,
    present: null,
    type: 'number',
    values: Float64Array.from({ length: samples }, (_, i) => Math.round(value(i) * 10 ** decimals) / 10 ** decimals),
  })
  const blocks = Array.from(
    { length: devices },
    (_, d): DeviceBlock => ({
      device: `climate-${d}`,
      kind: 'climate',
      timesMs: Float64Array.from({ length: samples }, (_, i) => startMs + i * 1000 + Math.round(noise())),
      columns: [
        numbers('temperature_c', (i) => 21 + Math.sin(i / 50) + noise() * 0.05, 2),
        numbers('humidity_percent', (i) => 45 + Math.sin(i / 80) + noise() * 0.2, 1),
        numbers('pressure_hpa', (i) => 1013 + Math.sin(i / 300) + noise() * 0.05, 2),
        numbers('sequence', (i) => 100_000 + i, 0),
      ],
    }),
  )
  const body = { blocks, deadLetters: [], tombstones: [], rollups: [] }
  return {
    header: {
      formatVersion: BATCH_FORMAT_VERSION,
      agent: 'pi-7',
      epoch: '00c0ffee12345678',
      sequence: 42,
      lane: 'live',
      createdAtMs: startMs + samples * 1000,
      completeThroughMs: startMs + samples * 1000,
      bootId: '2f1c1a52-9d2a-4f6e-8c57-2a3f6d1f0b11',
      clockQuality: 'trusted',
      sampleCount: countSamples(blocks),
      readingCount: countReadings(body),
      readingsTotal: 123_456_789,
      backlogBatches: 0,
      backlogBytes: 0,
      drainSeconds: 0,
      monotonicMs: 0,
    },
    ...body,
  }
}

/** One object a sample, as a device would publish it. */
const samplesOf = ({ blocks }: Batch): object[] =>
  blocks.flatMap(({ device, kind, timesMs, columns }) =>
    Array.from(timesMs, (time_ms, i) => ({
      device,
      kind,
      time_ms,
      ...Object.fromEntries(columns.map(({ field, values }) => [field, values[i]])),
    })),
  )
