/** What dashboards show beside readings and windows, through a processor that is killed, into a real InfluxDB, and out again by InfluxQL. */
import { type DeviceBlock, encodeBatch, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { normal, seededRandom } from './detectors/simulated-series.ts'
import { CONTRACTS, type Surroundings, startSurroundings } from './processor-harness.ts'
import { batchOf, blockOf } from './testing.ts'

/** Ten minutes to five. */
const START_MS = Date.UTC(2026, 0, 1, 4, 50)
const BATCH_S = 30
const BATCHES = 40
const MINUTE_MS = 60_000
/** Too warm from here for twenty seconds. */
const HOT_S = 700
const UNTRUSTED_BATCH = 30

let surroundings: Surroundings
beforeAll(async () => {
  surroundings = await startSurroundings(
    'dashboards',
    () => `contracts: ${CONTRACTS}
checkpoint: { folder: state, interval: 100ms }
notifiers: [{ name: log, type: log }]
`,
  )
})
afterAll(async () => {
  await surroundings?.stop()
})

const temperatureAt = (second: number) => {
  const random = seededRandom(second)
  return Math.round((second >= HOT_S && second < HOT_S + 20 ? 40 : 21 + 0.1 * normal(random)) * 100) / 100
}
const sampleAt = (second: number) => ({
  timeMs: START_MS + second * 1_000,
  values: { temperature_c: temperatureAt(second), humidity_percent: second === 100 ? 250 : 40, sequence: second },
})
function blockFor(sequence: number): DeviceBlock {
  const fromS = (sequence - 1) * BATCH_S
  const samples = Array.from({ length: BATCH_S }, (_, i) => sampleAt(fromS + i))
  // One that was on its way for ten minutes.
  if (sequence === BATCHES) samples.unshift({ ...sampleAt(500), timeMs: START_MS + 500_500 })
  const block = blockOf('room-1', 'climate', samples)
  return sequence === UNTRUSTED_BATCH ? { ...block, stampedByAgent: true } : block
}
const batches: Uint8Array[] = []
for (let sequence = 1, readingsBefore = 0; sequence <= BATCHES; sequence++) {
  const batch = batchOf({
    ...{ agent: 'agent-a', sequence, readingsBefore, blocks: [blockFor(sequence)] },
    completeThroughMs: START_MS + sequence * BATCH_S * 1_000,
    clockQuality: sequence === UNTRUSTED_BATCH ? 'untrusted' : 'trusted',
  })
  readingsBefore = batch.header.readingsTotal
  batches.push(encodeBatch(batch))
}
const publish = async (some: readonly Uint8Array[]) => {
  for (const bytes of some) await surroundings.client.publish(telemetrySubject('workshop', 'agent-a'), bytes)
}
async function rows(statement: string): Promise<Record<string, unknown>[]> {
  const found = await surroundings.query(statement)
  return found.flatMap(({ columns, values }) =>
    values.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]]))),
  )
}
async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 60_000
  while (!(await check().catch(() => false))) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`${what} did not come true`)
    await systemClock.sleep(100)
  }
}

test('twenty minutes of a room, half of them repeated, the processor killed in between', {
  timeout: 120_000,
}, async () => {
  const { processor } = surroundings
  await publish(batches.slice(0, 25))
  await until('some is stored', async () => (await rows('SELECT count(temperature_c) FROM climate')).length > 0)
  await processor.kill()
  await publish(batches.slice(10))
  await processor.start()
  await until('all is stored', async () => {
    const [{ count } = {}] = await rows('SELECT count(sequence) FROM climate')
    return count === BATCHES * BATCH_S + 1
  })
  await until('the first hour is closed', async () => (await rows('SELECT * FROM rollup.climate_1h')).length > 0)
})

test('data quality: one point an issue and batch, at the time of its first sample', async () => {
  const all = await rows('SELECT * FROM data_quality')
  const common = { device: 'room-1', site: 'workshop', kind: 'climate' }
  const firstOf = (sequence: number) => START_MS + (sequence - 1) * BATCH_S * 1_000
  expect(all).toEqual([
    {
      ...common,
      time: START_MS + 100_000,
      field: 'humidity_percent',
      issue: 'out_of_range',
      policy: 'reject',
      samples: 1,
    },
    { ...common, time: START_MS + 500_500, field: null, issue: 'late_beyond_memory', policy: null, samples: 1 },
    { ...common, time: firstOf(UNTRUSTED_BATCH), field: null, issue: 'time_untrusted', policy: null, samples: BATCH_S },
  ])
})

test('what was expected: a row a minute, around what was measured then', async () => {
  const all = await rows('SELECT * FROM rollup.climate_expected')
  expect(all.map(({ time }) => ((time as number) - START_MS) / MINUTE_MS)).toEqual(
    Array.from({ length: 19 }, (_, i) => i + 1),
  )
  for (const { time, device, site, temperature_c_lower: lower, temperature_c_upper: upper } of all) {
    expect({ device, site }).toEqual({ device: 'room-1', site: 'workshop' })
    const fromS = ((time as number) - START_MS) / 1_000
    for (let second = fromS; second < fromS + 60; second++) {
      const isHot = second >= HOT_S && second < HOT_S + 20
      const isWithin = temperatureAt(second) >= (lower as number) && temperatureAt(second) <= (upper as number)
      expect(isWithin, `second ${second}: ${lower} to ${upper}`).toBe(!isHot)
    }
  }
})

test('hours of the day: asked for as those of a place, constants folded', async () => {
  const hoursWhere = async (hour: string) =>
    (await rows(`SELECT hour, temperature_c_count FROM rollup.climate_1h WHERE "hour" = ${hour}`)).map(
      (row) => row['hour'],
    )
  expect(await hoursWhere('4')).toEqual([4])
  expect(await hoursWhere('((5 - 1 + 24) % 24)')).toEqual([4])
  expect(await hoursWhere('((2 - -2 + 24) % 24)')).toEqual([4])
  expect(await hoursWhere('((5 - 0 + 24) % 24)')).not.toContain(4)
})

test('an alert says how long it took to end', async () => {
  const [fired, resolved] = await rows(
    `SELECT * FROM alert WHERE rule =~ /climate/ AND detector = 'threshold_above_35'`,
  )
  expect(fired).toMatchObject({ state: 'firing', after_seconds: null })
  expect(resolved).toMatchObject({ state: 'resolved' })
  expect(resolved?.['after_seconds']).toBe(((resolved?.['time'] as number) - (fired?.['time'] as number)) / 1_000)
  expect(resolved?.['after_seconds']).toBeGreaterThanOrEqual(20)
})
