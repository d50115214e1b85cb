/**
 * From the measurement that crosses a threshold to the webhook's receipt, beside 10,000 readings/s: with batching as it comes and with
 * `batch.age: 100ms`. Every crossing must be told, once; all readings are counted and summed in the database afterwards.
 */
import { strict as assert } from 'node:assert'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { createAlertReceiver, createMosquitto, findServer, freePort } from '@tributary/stack'
import { CROSSING_RULES, createCrossings } from './pipeline/crossings.ts'
import { createPublisher } from './pipeline/publisher.ts'
import type { StoragePath } from './pipeline/storage-path.ts'
import { expectStored, untilStored } from './pipeline/stored.ts'
import { type Bundles, buildBundles, createTributary } from './pipeline/tributary.ts'
import { createWorkload, READINGS_PER_SAMPLE } from './pipeline/workload.ts'
import { quantile, type Report } from './report.ts'

const clock = systemClock
const RATE = 10_000
const DEVICES = 50
const EVERY_MS = (1000 * DEVICES * READINGS_PER_SAMPLE) / RATE
const WARM_UP_MS = 5_000
const CROSSINGS = 210
const SLOWEST_SHOWN = 6
const DELIVERY_MS_MAX = 15_000
const IN_FLIGHT_MAX = 10_000

export async function run(report: Report): Promise<void> {
  if (!report.options.long) return report.print('takes minutes: name it, or give --full')
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-alerts-'))
  let failed = true
  const broker = await createMosquitto(await findServer('mosquitto'), folder, await freePort(), IN_FLIGHT_MAX)
  try {
    const bundles = await buildBundles(join(folder, 'bundles'))
    await broker.start()
    const options = { bundles, brokerUrl: broker.url }
    await latency(join(folder, 'default'), { ...options, p99MsMax: 2_000 }, report)
    await latency(join(folder, 'hurried'), { ...options, batchAge: '100ms', p99MsMax: 500 }, report)
    failed = false
  } finally {
    await broker.stop()
    if (failed) report.print(`logs and data are kept in ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
}

interface LatencyOptions {
  readonly bundles: Bundles
  readonly brokerUrl: string
  readonly batchAge?: string
  readonly p99MsMax: number
}

async function latency(
  folder: string,
  { bundles, brokerUrl, batchAge, p99MsMax }: LatencyOptions,
  report: Report,
): Promise<void> {
  /** Episode → when it was measured, and how many milliseconds later it was received. */
  const told = new Map<string, { readonly atMs: number; readonly latencyMs: number }>()
  const receiver = createAlertReceiver(({ payload }) => {
    const atMs = Date.parse(payload.startedAt)
    if (payload.state === 'firing') told.set(payload.episode, { atMs, latencyMs: clock.wallMs() - atMs })
  })
  await receiver.start()
  const alerts = { webhookUrl: receiver.url, rules: CROSSING_RULES }
  const path = await createTributary(folder, bundles, {
    ...{ brokerUrl, alerts },
    ...(batchAge === undefined ? {} : { batchAge }),
  })
  const workload = createWorkload(DEVICES, 0, 0)
  const crossings = createCrossings()
  try {
    await path.start()
    const publisher = await createPublisher(brokerUrl)
    const measure = (durationMs: number, round: (dueMs: number) => ReturnType<typeof workload.round>) =>
      publisher.publishPaced({ everyMs: EVERY_MS, durationMs }, round)
    await measure(WARM_UP_MS, (dueMs) => workload.round(dueMs))
    await measure(crossings.roundsFor(CROSSINGS) * EVERY_MS, (dueMs) => [
      ...workload.round(dueMs),
      ...crossings.round(dueMs),
    ])
    const untilMs = clock.monotonicMs() + DELIVERY_MS_MAX
    while (told.size < crossings.count && clock.monotonicMs() < untilMs) await clock.sleep(100)
    await untilStored(path.query, workload, report.progress)
    await publisher.close()
    await expectStored(path.query, workload)
    const firing = receiver.received.filter(({ payload }) => payload.state === 'firing')
    assert(crossings.count >= CROSSINGS)
    assert.equal(told.size, crossings.count, 'every crossing is told')
    assert.equal(firing.length + receiver.repeats, crossings.count, 'no crossing is told twice')
    const what = `${RATE.toLocaleString('en-GB')} readings/s beside, ${batchAge ? `batch.age: ${batchAge}` : 'default batching'}, measured to the webhook's receipt, ${crossings.count} crossings`
    const all = [...told.values()].map(({ latencyMs }) => latencyMs)
    report.figure({ what: `${what}: p50`, value: quantile(all, 0.5), unit: 'ms' })
    report.figure({ what: `${what}: p99`, value: quantile(all, 0.99), unit: 'ms', budget: p99MsMax })
    report.print(`slowest: ${slowest([...told.values()])}`)
    report.print(`beside it, as the processor says of itself: ${await whereTimeGoes(path)}`)
  } finally {
    await path.stop()
    await receiver.stop()
  }
}

/** Seconds after the first crossing, and how long it took. */
function slowest(told: readonly { readonly atMs: number; readonly latencyMs: number }[]): string {
  const firstMs = Math.min(...told.map(({ atMs }) => atMs))
  const most = [...told].sort((a, b) => b.latencyMs - a.latencyMs).slice(0, SLOWEST_SHOWN)
  return most.map(({ atMs, latencyMs }) => `${latencyMs} ms at ${((atMs - firstMs) / 1000).toFixed(1)} s`).join(', ')
}

/** Measured to stored, and what a checkpoint, behind which notifications leave, and a write took. */
async function whereTimeGoes({ query }: StoragePath): Promise<string> {
  const [series] = await query(
    'SELECT max("latency_p50_ms"), max("latency_p99_ms"), mean("checkpoint_ms"), max("checkpoint_ms"), max("influx_write_ms") FROM "processor_health"',
  )
  const [p50, p99, checkpoint, checkpointMax, write] = (series?.values[0] ?? [])
    .slice(1)
    .map((ms) => `${Math.round(Number(ms))} ms`)
  return `measured to stored p50 ${p50}, p99 ${p99}; a checkpoint ${checkpoint}, ${checkpointMax} at most; a write ${write} at most`
}
