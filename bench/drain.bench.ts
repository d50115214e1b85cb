/**
 * A day of an agent's readings (8.64 M: 100 a second) waits in its spool, and everything behind the agent comes back, as real
 * processes. How long until the last one is in InfluxDB, and what live readings feel of it. At the end every field of the day is
 * counted and summed, and so are its windows. Only when named, or with `--full`.
 */
import { strict as assert } from 'node:assert'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FilledSpool, fillSpool } from '@tributary/edge-agent/testing'
import { loadScenario, type Run } from '@tributary/firmware-sim'
import { systemClock } from '@tributary/runtime'
import {
  type AccountAnswer,
  askJson,
  createLatencyObserver,
  createPipeline,
  type LatencyObserver,
  type Pipeline,
} from '@tributary/stack'
import { stringify } from 'yaml'
import { createDay, type Day, expectDay, windowedReadings } from './drain/day.ts'
import { mebibytes, type Report } from './report.ts'

const clock = systemClock
const RATE = 100
const DAY_MS = 86_400_000
const READINGS_PER_BATCH = 1_000
/** The agent of the devices on MQTT. */
const AGENT = 'agent-2'
const KINDS = ['climate', 'vibration', 'power', 'tank']
const CLASSES = { climate: 'thermometer', vibration: 'pump', power: 'power_meter', tank: 'tank' } as const
const LIVE_AGE_MS_MAX = 3_000
const DRAIN_MS_MAX = 15 * 60_000
const CALM_MS = 20_000
const LOOK_MS = 250

export async function run(report: Report): Promise<void> {
  if (!report.options.long) return report.print('takes minutes: name it, or give --full')
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-drain-'))
  let failed = true
  try {
    await drain(folder, report)
    failed = false
  } finally {
    if (failed) report.print(`logs and data are kept in ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
}

async function drain(folder: string, report: Report): Promise<void> {
  const scenarioFile = join(folder, 'scenario.yaml')
  const devices = KINDS.flatMap((kind) =>
    [1, 2].map((i) => ({ name: `${kind}-${i}`, class: CLASSES[kind as keyof typeof CLASSES], mqtt: {} })),
  )
  await writeFile(scenarioFile, stringify({ name: 'drain', devices }))
  const pipeline = await createPipeline({ dataFolder: folder, scenarioFile, seed: 2, ratePerSecond: RATE })
  const { day, filled } = await fill(join(folder, `${AGENT}-spool`), scenarioFile, report)
  const agent = pipeline.agents[0]
  assert.equal(agent?.name, AGENT)
  try {
    await Promise.all([pipeline.nats.start(), pipeline.influx.start()])
    await Promise.all([pipeline.gateway.start(), pipeline.processor.start()])
    await pipeline.simulator.start()
    const cpuBefore = await cpuSeconds(pipeline)
    const startMs = clock.monotonicMs()
    const seconds = () => (clock.monotonicMs() - startMs) / 1000
    await agent.start()
    await liveAgain(pipeline)
    report.print(`live readings are queryable again ${seconds().toFixed(1)} s after the start of the agent`)
    const observing = new AbortController()
    const latency = createLatencyObserver(pipeline.query, KINDS, clock)
    const observer = latency.run(observing.signal)
    const rss = await waitUntilStored(pipeline, filled, report)
    const drainSeconds = seconds()
    const cpuAfter = await cpuSeconds(pipeline)
    const during = figuresOf(latency)
    await clock.sleep(CALM_MS)
    const calmMs = latency.recent(0.99, CALM_MS) ?? Number.NaN
    observing.abort(new DOMException('measured', 'AbortError'))
    await observer

    report.figure({
      what: `backlog of ${(day.readings / 1e6).toFixed(2)} M readings in ${filled.batches} batches in InfluxDB`,
      value: drainSeconds,
      unit: 's',
      budget: 120,
      beside: `${Math.round(day.readings / drainSeconds).toLocaleString('en-GB')} readings/s`,
    })
    report.figure({
      what: `live lane meanwhile, ${RATE} readings/s, measured to queryable: p99`,
      value: during.p99Ms / 1000,
      unit: 's',
      budget: 2,
      beside: `p50 ${(during.p50Ms / 1000).toFixed(2)} s; p99 in the ${CALM_MS / 1000} s after it ${(calmMs / 1000).toFixed(2)} s`,
    })
    for (const [name, before] of cpuBefore) {
      const used = (cpuAfter.get(name) ?? 0) - before
      const micro = (used * 1e6) / day.readings
      report.print(
        `${name.padEnd(12)} ${used.toFixed(1).padStart(5)} s of CPU (${((100 * used) / drainSeconds).toFixed(0)} % of a core, ${micro.toFixed(2)} µs a reading), ${mebibytes(rss.get(name) ?? 0).toFixed(0)} MiB at most`,
      )
    }
    await check(pipeline, day, report)
  } finally {
    await pipeline.stop()
  }
}

/** The day ends with the minute before this one, so that its windows hold nothing else. */
async function fill(folder: string, scenarioFile: string, report: Report): Promise<{ day: Day; filled: FilledSpool }> {
  const toMs = Math.floor(clock.wallMs() / 60_000) * 60_000 - 60_000
  const scenario = await loadScenario(scenarioFile)
  const run: Run = { seed: 1, startedAtMs: toMs - DAY_MS, rate: RATE, scenario, firstSequences: {} }
  const { samples, day } = createDay(run, toMs)
  const startMs = clock.monotonicMs()
  const counted = function* () {
    for (const sample of samples) {
      report.progress(`${Math.round((100 * (sample.measuredAtMs - day.fromMs)) / DAY_MS)} % of the day is in the spool`)
      yield sample
    }
  }
  const filled = await fillSpool(
    folder,
    counted(),
    {
      agent: AGENT,
      bootId: 'yesterday',
      readingsPerBatch: READINGS_PER_BATCH,
      spool: { segmentBytesMax: 8 * 1024 ** 2, bytesMax: 1024 ** 3 },
    },
    clock,
  )
  assert.equal(filled.readings, day.readings)
  report.print(
    `${day.readings.toLocaleString('en-GB')} readings in ${filled.batches} batches, ${mebibytes(filled.bytesUsed).toFixed(1)} MiB, put into the spool in ${((clock.monotonicMs() - startMs) / 1000).toFixed(0)} s`,
  )
  return { day, filled }
}

/** Resolves when each device's newest reading is a few seconds old at most. */
async function liveAgain({ query }: Pipeline): Promise<void> {
  const from = KINDS.map((kind) => `"${kind}"`).join(', ')
  for (const deadlineMs = clock.monotonicMs() + DRAIN_MS_MAX; clock.monotonicMs() < deadlineMs; ) {
    const series = await query(`SELECT last("sequence") FROM ${from} WHERE time > now() - 30s GROUP BY "device"`).catch(
      () => [],
    )
    const ages = series.map(({ values }) => clock.wallMs() - (values[0]?.[0] as number))
    if (ages.length === KINDS.length * 2 && Math.max(...ages) < LIVE_AGE_MS_MAX) return
    await clock.sleep(LOOK_MS)
  }
  throw new Error('live readings did not come back')
}

/** @returns by process, resident memory at most */
async function waitUntilStored(pipeline: Pipeline, filled: FilledSpool, report: Report): Promise<Map<string, number>> {
  const rss = new Map<string, number>()
  for (const deadlineMs = clock.monotonicMs() + DRAIN_MS_MAX; clock.monotonicMs() < deadlineMs; ) {
    const status = await askJson<{ storedThrough: number | null; backlogBatches: number }>(
      `${pipeline.urls.agents[0]}/status`,
    )
    if ((status?.storedThrough ?? 0) >= filled.batches) return rss
    for (const process of pipeline.processes)
      rss.set(process.name, Math.max(rss.get(process.name) ?? 0, (await process.rssBytes()) ?? 0))
    report.progress(
      `${status?.backlogBatches ?? '?'} batches wait at the agent, batch ${status?.storedThrough ?? 0} of ${filled.batches} is stored`,
    )
    await clock.sleep(LOOK_MS)
  }
  throw new Error(`not everything was stored within ${DRAIN_MS_MAX / 60_000} min`)
}

const figuresOf = (latency: LatencyObserver) => ({
  p50Ms: latency.quantile(0.5) ?? Number.NaN,
  p99Ms: latency.quantile(0.99) ?? Number.NaN,
})

async function cpuSeconds({ processes }: Pipeline): Promise<Map<string, number>> {
  const entries = processes.map(async (p): Promise<[string, number]> => [p.name, (await p.cpuSeconds()) ?? 0])
  return new Map(await Promise.all(entries))
}

/** Every field of the day, its windows, and the account. */
async function check(pipeline: Pipeline, day: Day, report: Report): Promise<void> {
  await expectDay(pipeline.query, day)
  // Booleans and strings have windows without counts.
  const expected = [...day.totals.values()].reduce((sum, total) => sum + (total.sum === undefined ? 0 : total.count), 0)
  let windowed = 0
  for (let i = 0; i < 60 && windowed !== expected; i++) {
    windowed = await windowedReadings(pipeline.query, day)
    if (windowed !== expected) await clock.sleep(1_000)
  }
  assert.equal(windowed, expected, 'readings in the windows of a minute')
  const account = await askJson<AccountAnswer>(`${pipeline.urls.processor}/account`)
  const row = account?.agents.find(({ agent }) => agent === AGENT)
  assert(row && row.stored >= day.readings)
  assert.deepEqual([row.missing, row.shed, row.deadLettered], [0, 0, 0], 'missing, shed, dead-lettered')
  report.print(
    'every field of every device was counted and summed in InfluxDB, and counted in its windows: as measured; missing 0',
  )
}
