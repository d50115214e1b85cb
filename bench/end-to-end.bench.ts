/**
 * From the measurement, published over MQTT, to the moment when a query finds it: at 10,000 readings/s with batching as it comes and
 * with `batch.age: 100ms`, and the rate that is sustained at most. Everything is counted and summed in the database afterwards.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { createLatencyObserver, createMosquitto, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { createPublisher } from './pipeline/publisher.ts'
import { costText, measureMaximum } from './pipeline/storage-path.ts'
import { expectStored, untilStored } from './pipeline/stored.ts'
import { type Bundles, buildBundles, createTributary } from './pipeline/tributary.ts'
import { createWorkload, KIND, READINGS_PER_SAMPLE } from './pipeline/workload.ts'
import type { Report } from './report.ts'

const clock = systemClock
const RATE = 10_000
const DEVICES = 50
/** All devices measure at once, 50 times a second. */
const EVERY_MS = (1000 * DEVICES * READINGS_PER_SAMPLE) / RATE
const WARM_UP_MS = 3_000
const MEASURED_MS = 10_000
const LOOK_MS = 20
const MAXIMUM_READINGS = 3_000_000
/** A second of a device that measures a hundred times a second. */
const SAMPLES_PER_MESSAGE = 100
const BEFORE_MS = 15 * 60_000
const WARM_UP_READINGS = 400_000
const IN_FLIGHT_MAX = 10_000

export async function run(report: Report): Promise<void> {
  if (!report.options.long) return report.print('takes a minute: name it, or give --full')
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-end-to-end-'))
  let failed = true
  const broker = await createMosquitto(await findServer('mosquitto'), folder, await freePort(), IN_FLIGHT_MAX)
  try {
    const bundles = await buildBundles(join(folder, 'bundles'))
    await broker.start()
    await latency(join(folder, 'default'), { bundles, broker, p50MsMax: 1_000, p99MsMax: 2_000 }, report)
    await latency(join(folder, 'hurried'), { bundles, broker, batchAge: '100ms', p99MsMax: 400 }, report)
    await maximum(join(folder, 'maximum'), bundles, broker, report)
    failed = false
  } finally {
    await broker.stop()
    if (failed) report.print(`logs and data are kept in ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
}

type Broker = ManagedProcess & { readonly url: string }

interface LatencyOptions {
  readonly bundles: Bundles
  readonly broker: Broker
  readonly batchAge?: string
  readonly p50MsMax?: number
  readonly p99MsMax: number
}

async function latency(
  folder: string,
  { bundles, broker, batchAge, p50MsMax, p99MsMax }: LatencyOptions,
  report: Report,
): Promise<void> {
  const options = { brokerUrl: broker.url, ...(batchAge === undefined ? {} : { batchAge }) }
  const path = await createTributary(folder, bundles, options)
  const workload = createWorkload(DEVICES, 0, 0)
  const observing = new AbortController()
  try {
    await path.start()
    const publisher = await createPublisher(broker.url)
    const measure = (durationMs: number) =>
      publisher.publishPaced({ everyMs: EVERY_MS, durationMs }, (dueMs) => workload.round(dueMs))
    await measure(WARM_UP_MS)
    const observer = createLatencyObserver(path.query, [KIND], clock, LOOK_MS)
    const running = observer.run(observing.signal)
    await measure(MEASURED_MS)
    await untilStored(path.query, workload, report.progress)
    observing.abort(new DOMException('measured', 'AbortError'))
    await running
    await publisher.close()
    await expectStored(path.query, workload)
    const what = `${RATE.toLocaleString('en-GB')} readings/s, ${batchAge ? `batch.age: ${batchAge}` : 'default batching'}, measured to queryable`
    const quantile = (share: number) => observer.quantile(share) ?? Number.NaN
    for (const [name, share, budget] of [
      ['p50', 0.5, p50MsMax],
      ['p99', 0.99, p99MsMax],
    ] as const)
      report.figure({
        what: `${what}: ${name}`,
        value: quantile(share),
        unit: 'ms',
        ...(budget === undefined ? {} : { budget }),
      })
  } finally {
    observing.abort(new DOMException('measured', 'AbortError'))
    await path.stop()
  }
}

async function maximum(folder: string, bundles: Bundles, broker: Broker, report: Report): Promise<void> {
  const { profileFolder } = report.options
  const path = await createTributary(folder, bundles, { brokerUrl: broker.url, isFast: true, profileFolder })
  const workload = createWorkload(DEVICES, clock.wallMs() - BEFORE_MS, EVERY_MS / 2)
  try {
    await path.start()
    const publisher = await createPublisher(broker.url)
    const measure = (readings: number) =>
      measureMaximum(path, publisher, workload, { readings, samplesPerMessage: SAMPLES_PER_MESSAGE, broker }, report)
    await measure(WARM_UP_READINGS)
    const cost = await measure(MAXIMUM_READINGS)
    report.print(`sustained at most, messages of ${SAMPLES_PER_MESSAGE} samples: ${costText(cost)}`)
    report.print('every field of every device was counted and summed in InfluxDB: as measured')
    await publisher.close()
  } finally {
    await path.stop()
  }
}
