/** Dirty windows and a real InfluxDB: names, pages, an absent database; and a processor that is killed while it repairs. */
import { readFile } from 'node:fs/promises'
import { jetstream } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { contractSchema, encodeBatch, telemetrySubject } from '@tributary/protocol'
import { createLogger, createRandom, systemClock } from '@tributary/runtime'
import { freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createInfluxQuery, type InfluxQuery } from './influx-query.ts'
import { createInfluxSink } from './influx-sink.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'
import { CONTRACTS, type Surroundings, startSurroundings } from './processor-harness.ts'
import { recompute } from './recompute.ts'
import { createRepairer } from './repairer.ts'
import { batchOf, blockOf, mixedContract, readingsOf, type SampleValues } from './testing.ts'
import { writeRow } from './window-lines.ts'

const START_MS = 1_767_225_600_000
const HOUR_MS = 3_600_000
const SEED = 4_711
const log = createLogger('test', 'silent')
const signal = () => AbortSignal.timeout(30_000)

let influx: ManagedProcess & { url: string }
let processor: ManagedProcess
let admin: string
let connection: NatsConnection
let query: InfluxQuery

let surroundings: Surroundings | undefined
beforeAll(async () => {
  surroundings = await startSurroundings(
    'repair',
    () => `contracts: ${CONTRACTS}
checkpoint: { folder: state, interval: 100ms }
notifiers: [{ name: log, type: log }]
windows: { memory: 1m }
repair: { rest: 1s }
`,
  )
  ;({ influx, processor, admin, connection, query } = surroundings)
})
afterAll(async () => {
  await surroundings?.stop()
})

test('thousands of points a window, names with quotes and spaces, two windows that overlap: one question, and pages', async () => {
  const sink = createInfluxSink(
    { url: influx.url, database: 'odd', linesPerRequest: 5_000, backoff: { firstMs: 20, maxMs: 100 } },
    { clock: systemClock, log },
  )
  await sink.prepare(signal())
  const lines = new LineBuffer()
  const devices = ['O\'Hara "pump", =1', 'pump-2']
  const levelAt = (d: number, i: number) => ((i * 37 + d) % 1_000) / 4
  for (const [d, device] of devices.entries()) {
    const prefix = linePrefix('mixed', { site: "it's", device })
    for (let i = 0; i < 6_000; i++) {
      lines.begin(prefix)
      lines.float(fieldKey('level'), levelAt(d, i), 100)
      if (i % 2 === 0) lines.string(fieldKey('mode'), `mode "${i}"`)
      if (i % 3 === 0) lines.boolean(fieldKey('running'), i % 2 === 0)
      lines.end(prefix, START_MS + i * 10, 1, 0)
    }
  }
  await sink.write(lines, 'raw', signal())
  let questions = 0
  const ask = createInfluxQuery({ url: influx.url, database: 'odd' })
  const counted: InfluxQuery = Object.assign(
    (text: string, stop?: AbortSignal) => {
      questions += 1
      return ask(text, stop)
    },
    { close: ask.close },
  )
  const due = devices.flatMap((device) => [
    { site: "it's", device, kind: 'mixed', widthMs: 60_000, startMs: START_MS },
    { site: "it's", device, kind: 'mixed', widthMs: 10_000, startMs: START_MS + 20_000 },
    { site: "it's", device, kind: 'mixed', widthMs: 10_000, startMs: START_MS + HOUR_MS },
  ])
  const found = await recompute(counted, new Map([['mixed', mixedContract]]), due, signal())
  await ask.close()
  await sink.close()
  expect(found).toHaveLength(6)
  expect(found.filter(({ window }) => window.startMs === START_MS + HOUR_MS).map(({ row }) => row)).toEqual([
    undefined,
    undefined,
  ])
  for (const [d, device] of devices.entries())
    for (const [startMs, count, from] of [
      [START_MS, 6_000, 0],
      [START_MS + 20_000, 1_000, 2_000],
    ] as const) {
      const row = found.find(({ window }) => window.device === device && window.startMs === startMs)?.row
      const levels = Array.from({ length: count }, (_, i) => levelAt(d, from + i))
      const slot = Object.keys(mixedContract.fields).indexOf('level')
      const [n, mean, m2, min, max, last] = row?.cells.slice(slot * 7) ?? []
      const truth = levels.reduce((a, b) => a + b, 0) / count
      expect([n, min, max, last]).toEqual([count, Math.min(...levels), Math.max(...levels), levels.at(-1)])
      expect(mean).toBeCloseTo(truth, 9)
      expect((m2 as number) / levels.reduce((sum, level) => sum + (level - truth) ** 2, 0)).toBeCloseTo(1, 9)
      expect(row?.strings?.[Object.keys(mixedContract.fields).indexOf('mode')]).toBe(`mode "${from + count - 2}"`)
    }
  // Six pages of the minute for both devices, an empty seventh, and the rows.
  expect(questions).toBeLessThanOrEqual(8)
})

test.each([
  ['meters', START_MS],
  ['before_1970', -7_200_000],
])(
  '%s: a counter begins with its last reading before the window, however long ago and rolled up or not, and the next one is told',
  async (database, startMs) => {
    const meter = contractSchema.parse({
      ...{ kind: 'meter', version: 1, description: 'A meter.', interval: '1s' },
      fields: { energy: { type: 'integer', label: 'Energy', role: 'counter', wraps_at: 1_000 } },
    })
    const sink = createInfluxSink(
      { url: influx.url, database, linesPerRequest: 5_000, backoff: { firstMs: 20, maxMs: 100 } },
      { clock: systemClock, log },
    )
    await sink.prepare(signal())
    const lines = new LineBuffer()
    for (const [d, device] of ["o'1", 'm-2'].entries())
      for (const [seconds, value] of [
        [-9_000, 900],
        [3, 950],
        [8, 20],
        [33, 50 + d],
      ] as const) {
        const prefix = linePrefix('meter', { site: 'hall', device })
        lines.begin(prefix)
        lines.integer(fieldKey('energy'), value)
        lines.end(prefix, startMs + seconds * 1_000, 1, 0)
      }
    await sink.write(lines, 'raw', signal())
    const rolledUp = new LineBuffer()
    for (const [device, width, second, last, lastSecond] of [
      ["o'1", '10s', 20, 35, 28],
      ['m-2', '1m', -60, 920, -30],
    ] as const) {
      const prefix = linePrefix(`meter_${width}`, { site: 'hall', device })
      rolledUp.begin(prefix)
      const cells = [2, last, 0, last, last, last, startMs + lastSecond * 1_000]
      rolledUp.string(fieldKey('rolled_up'), JSON.stringify({ energy: cells }))
      rolledUp.end(prefix, startMs + second * 1_000, 1, 0)
    }
    await sink.write(rolledUp, 'rollup', signal())
    const ask = createInfluxQuery({ url: influx.url, database })
    const due = ["o'1", 'm-2'].flatMap((device) =>
      [0, 30_000].map((at) => ({ site: 'hall', device, kind: 'meter', widthMs: 10_000, startMs: startMs + at })),
    )
    const found = await recompute(ask, new Map([['meter', meter]]), due, signal())
    await ask.close()
    await sink.close()
    const written = found.map(({ window, series, windows, row, followersMs }) => {
      const rollups = new LineBuffer()
      const said = row as NonNullable<typeof row>
      writeRow(
        rollups,
        new Uint8Array(),
        series.layout.windowKeys,
        fieldKey('revision'),
        said,
        windows as NonNullable<typeof windows>,
      )
      const [, increase] = /energy_increase=([\d.]+)/.exec(rollups.line(0).toString()) ?? []
      return [window.device, window.startMs - startMs, Number(increase), followersMs.map((timeMs) => timeMs - startMs)]
    })
    expect(written.sort()).toEqual([
      ['m-2', 0, 100, [33_000]],
      ['m-2', 30_000, 31, []],
      ["o'1", 0, 120, [28_000]],
      ["o'1", 30_000, 15, []],
    ])
  },
)

test('the database is away: it is tried again with growing delays, and said once', async () => {
  const warnings: string[] = []
  const noting = {
    ...log,
    warn: (_: object, text: string) => void warnings.push(text),
    info: () => undefined,
    debug: () => undefined,
  }
  const port = await freePort()
  const asked: number[] = []
  const ask = createInfluxQuery({ url: `http://127.0.0.1:${port}`, database: 'tributary' })
  const stop = new AbortController()
  const repairer = createRepairer(
    { share: 0.1 },
    {
      query: Object.assign(
        (text: string, s?: AbortSignal) => {
          asked.push(systemClock.monotonicMs())
          return ask(text, s)
        },
        { close: ask.close },
      ),
      lists: [
        {
          due: [{ site: 'a', device: 'b', kind: 'mixed', widthMs: 10_000, startMs: START_MS }],
          contracts: new Map([['mixed', mixedContract]]),
          give: () => undefined,
        },
      ],
      clock: systemClock,
      log: noting as unknown as typeof log,
    },
  )
  const running = repairer.run(stop.signal)
  await systemClock.sleep(3_800)
  stop.abort()
  await running
  await ask.close()
  expect(asked.length).toBeGreaterThanOrEqual(2)
  expect(asked.length).toBeLessThanOrEqual(5)
  expect(warnings).toEqual(['dirty windows could not be recomputed; they stay dirty, and it is tried again'])
  expect(repairer.error).toMatch(/ECONNREFUSED|refused/)
})

const kind = 'tank'
const one = { site: 'workshop', agent: 'agent-a' }
const DEVICES = ['tank-1', 'tank-2', 'tank-3']
const levelAt = (d: number, n: number) => ((n * 7 + d * 13) % 9_000) / 100

test('readings hours late, the processor killed and the database stopped while they are repaired: every window is right, and none is dirty', async () => {
  await processor.start()
  const client = jetstream(connection)
  const random = createRandom(SEED)
  const truth = new Map<string, SampleValues[]>()
  let sequence = 0
  let readingsBefore = 0
  /** A sample each half second of every device; `missing` says which are left for later. */
  const send = async (samplesOf: (device: string, d: number) => SampleValues[], completeThroughMs: number) => {
    const blocks = DEVICES.map((device, d) => blockOf(device, kind, samplesOf(device, d)))
    for (const [d, device] of DEVICES.entries())
      truth.set(device, [...(truth.get(device) ?? []), ...samplesOf(device, d)])
    sequence += 1
    const batch = batchOf({ agent: one.agent, sequence, readingsBefore, completeThroughMs, blocks })
    readingsBefore += readingsOf(blocks)
    await client.publish(telemetrySubject(one.site, one.agent), encodeBatch(batch))
  }
  const samples = (d: number, from: number, to: number, keep: (n: number) => boolean): SampleValues[] =>
    Array.from({ length: to - from }, (_, i) => from + i)
      .filter(keep)
      .map((n) => ({
        timeMs: START_MS + n * 500,
        values: { level_percent: levelAt(d, n), sequence: n, pump_on: n % 2 === 0 },
      }))
  const isLate = (n: number) => n % 10 === 3 || (n >= 400 && n < 480)
  const minutes = 10
  const count = minutes * 120
  for (let from = 0; from < count; from += 120)
    await send((_, d) => samples(d, from, from + 120, (n) => !isLate(n)), START_MS + (from + 120) * 500)
  // Hours pass.
  await send((_, d) => samples(d, 3 * 7_200, 3 * 7_200 + 240, () => true), START_MS + 4 * HOUR_MS)
  await until('the first part is stored', async () => (await stored()) === readingsBefore)
  const late = Array.from({ length: minutes }, (_, i) => i * 120)
  for (const [i, from] of late.entries()) {
    await send((_, d) => samples(d, from, from + 120, isLate), START_MS + 4 * HOUR_MS)
    await systemClock.sleep(random.below(600))
    if (i % 3 === 1) {
      await processor.kill()
      if (i === 4) await influx.stop()
      const started = processor.start()
      if (i === 4) {
        await systemClock.sleep(2_500)
        await influx.start()
      }
      await started
    }
  }
  for (let kills = 0; kills < 3; kills++) {
    await systemClock.sleep(900 + random.below(900))
    await processor.kill()
    await processor.start()
  }
  await until('all is stored', async () => (await stored()) === readingsBefore)
  await until('nothing is dirty', async () => (await json<{ count: number }>('/dirty')).count === 0)
  const status = await json<{ repair: Record<string, unknown> }>('/status')
  expect(status.repair).toMatchObject({ waiting: 0, oldestSeconds: 0, error: null })
  expect(status.repair['repaired']).toBeGreaterThan(DEVICES.length * minutes)
  let checked = 0
  for (const [width, widthMs] of [
    ['10s', 10_000],
    ['1m', 60_000],
  ] as const)
    for (const device of DEVICES) {
      const [rows] = await query(`SELECT * FROM "rollup"."${kind}_${width}" WHERE "device" = '${device}'`)
      const byStart = new Map(rows?.values.map((row) => [row[0] as number, row]))
      const windows = new Map<number, SampleValues[]>()
      for (const sample of truth.get(device) ?? []) {
        const startMs = Math.floor(sample.timeMs / widthMs) * widthMs
        windows.set(startMs, [...(windows.get(startMs) ?? []), sample])
      }
      expect(byStart.size).toBe(windows.size)
      for (const [startMs, inside] of windows) {
        const said = (name: string) => byStart.get(startMs)?.[rows?.columns.indexOf(name) ?? -1]
        const levels = inside.map(({ values }) => values['level_percent'] as number)
        const last = inside.reduce((a, b) => (b.timeMs > a.timeMs ? b : a))
        const where = `${width} ${device} ${startMs}`
        expect(said('level_percent_count'), where).toBe(levels.length)
        expect(said('level_percent_mean'), where).toBeCloseTo(levels.reduce((a, b) => a + b, 0) / levels.length, 9)
        expect(said('level_percent_min'), where).toBe(Math.min(...levels))
        expect(said('level_percent_max'), where).toBe(Math.max(...levels))
        expect(said('level_percent_last'), where).toBe(last.values['level_percent'])
        expect(said('pump_on_last'), where).toBe(last.values['pump_on'])
        checked += 1
      }
    }
  expect(checked).toBe(DEVICES.length * (minutes * 7 + 12 + 2))
}, 180_000)

const json = async <T>(path: string): Promise<T> => (await (await fetch(`${admin}${path}`)).json()) as T
const stored = async () =>
  (await json<{ agents: { agent: string; stored: number }[] }>('/account')).agents.find(
    ({ agent }) => agent === one.agent,
  )?.stored

async function until(what: string, check: () => Promise<boolean>, waitMs = 60_000): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + waitMs
  while (!(await check().catch(() => false))) {
    if (systemClock.monotonicMs() > deadlineMs)
      throw new Error(
        `${what} did not come true; the log ends:\n${(await readFile(processor.logFile, 'utf8')).slice(-3_000)}`,
      )
    await systemClock.sleep(100)
  }
}
