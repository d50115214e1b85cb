/**
 * Tributary beside the database alone and beside Node-RED, in one run on one machine: (a) influxd, sent the lines straight; (b)
 * Tributary, from the MQTT broker of the sensors to the database; (c) Node-RED on the same broker, with a function that collects points, and with
 * its join node. Rates and CPU of what each needs; then
 * the database is killed for two seconds while devices measure. Whatever is said to be stored was counted in the database, and
 * summed where nothing is missing. Broker and devices run on the same machine, and are charged to nobody.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, systemClock, UserError } from '@tributary/runtime'
import { createMosquitto, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { measureDirect } from './peers/direct.ts'
import { createNodeRed, installNodeRed, nodeRedVersions } from './peers/node-red.ts'
import { measureOutage, type OutageResult } from './peers/outage.ts'
import { createPublisher } from './pipeline/publisher.ts'
import { type Cost, costText, measureMaximum, rateText, type StoragePath } from './pipeline/storage-path.ts'
import { buildBundles, createTributary } from './pipeline/tributary.ts'
import { createWorkload } from './pipeline/workload.ts'
import { type Report, tableLines } from './report.ts'

const DEVICES = 50
const STEP_MS = 10
/** Of event time, before the start: what is published has been measured. */
const BEFORE_MS = 15 * 60_000
/** A second of a device that measures a hundred times a second. */
const SAMPLES_PER_MESSAGE = 100
const READINGS = 3_000_000
const READINGS_NODE_RED = 400_000
const READINGS_SINGLY = 200_000
const WARM_UP_READINGS = 400_000
const OUTAGE_READINGS_PER_SECOND = 10_000
const IN_FLIGHT_MAX = 10_000

interface Measured {
  readonly label: string
  readonly listed: Cost
  readonly singly: Cost
  readonly outage: OutageResult
}

export async function run(report: Report): Promise<void> {
  if (!report.options.long) return report.print('takes some minutes and fetches Node-RED: name it, or give --full')
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-peers-'))
  let failed = true
  try {
    await compare(folder, report)
    failed = false
  } finally {
    if (failed) report.print(`logs and data are kept in ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
}

async function compare(folder: string, report: Report): Promise<void> {
  const nodeRed = await installNodeRed(report.print).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error
    report.print(`without Node-RED: ${messageOf(error)}${error.hint ? ` → ${error.hint}` : ''}`)
    return undefined
  })
  const bundles = await buildBundles(join(folder, 'bundles'))
  const brokerPort = await freePort()
  const broker = await createMosquitto(await findServer('mosquitto'), folder, brokerPort, IN_FLIGHT_MAX)
  await broker.start()
  try {
    const direct = await bestDirect(folder, report)
    const profileFolder = report.options.profileFolder
    const tributary = await measure(
      await createTributary(join(folder, 'tributary'), bundles, { brokerUrl: broker.url, isFast: true, profileFolder }),
      { broker, readings: READINGS, runs: 2, label: '(b) Tributary' },
      report,
    )
    const share = tributary.listed.readingsPerSecond / direct.readingsPerSecond
    report.figure({
      what: '(b) behind (a), the rate of influxd alone',
      value: 100 * (1 - share),
      unit: '%',
      budget: 40,
      beside: `(b)/(a) = ${share.toFixed(2)}, with broker and devices on the same machine`,
    })
    report.figure({
      what: '(b) lost in an outage of the database',
      value: tributary.outage.lost,
      unit: `of ${tributary.outage.published} readings`,
      budget: 0,
    })
    if (nodeRed === undefined) return printTable(direct, [tributary], report)
    report.print(nodeRedVersions)
    const peer = await measure(
      await createNodeRed(join(folder, 'node-red'), nodeRed, brokerPort, 'function'),
      { broker, readings: READINGS_NODE_RED, runs: 1, label: '(c) Node-RED' },
      report,
    )
    const joined = await measure(
      await createNodeRed(join(folder, 'node-red-join'), nodeRed, brokerPort, 'join'),
      { broker, readings: READINGS_NODE_RED, runs: 1, label: '(c) Node-RED with its join node' },
      report,
    )
    for (const [shape, ours, theirs] of [
      ['lists of samples', tributary.listed, peer.listed],
      ['lists of samples, join node', tributary.listed, joined.listed],
      ['one sample a message', tributary.singly, peer.singly],
      ['one sample a message, join node', tributary.singly, joined.singly],
    ] as const)
      report.figure({
        what: `CPU of (b) as a share of (c), ${shape}`,
        value: (100 * ours.microsecondsInAll) / theirs.microsecondsInAll,
        unit: '%',
        ...(shape === 'lists of samples' ? { budget: 10 } : {}),
        beside: `(c)/(b) = ${(theirs.microsecondsInAll / ours.microsecondsInAll).toFixed(1)} in CPU, ${(theirs.readingsPerSecond / ours.readingsPerSecond).toFixed(3)} in rate`,
      })
    printTable(direct, [tributary, peer, joined], report)
  } finally {
    await broker.stop()
  }
}

const workload = () => createWorkload(DEVICES, systemClock.wallMs() - BEFORE_MS, STEP_MS)

/** With one request under way and with two, as the faster. */
async function bestDirect(folder: string, report: Report): Promise<Cost> {
  const costs: Cost[] = []
  for (const writers of [1, 2]) {
    const options = { warmUpReadings: WARM_UP_READINGS, readings: READINGS, samplesPerMessage: SAMPLES_PER_MESSAGE }
    const cost = await measureDirect(join(folder, `direct-${writers}`), workload(), { ...options, writers }, report)
    report.print(`(a) influxd alone, ${writers} ${writers === 1 ? 'request' : 'requests'} under way: ${costText(cost)}`)
    costs.push(cost)
  }
  return fastest(costs)
}

interface MeasureOptions {
  readonly broker: ManagedProcess & { readonly url: string }
  readonly readings: number
  /** Of lists of samples; the fastest counts, as of the database alone. */
  readonly runs: number
  readonly label: string
}

async function measure(
  path: StoragePath,
  { broker, readings, runs, label }: MeasureOptions,
  report: Report,
): Promise<Measured> {
  const load = workload()
  try {
    await path.start()
    const publisher = await createPublisher(broker.url)
    const maximum = (count: number, samplesPerMessage: number) =>
      measureMaximum(path, publisher, load, { readings: count, samplesPerMessage, broker }, report)
    await maximum(WARM_UP_READINGS, SAMPLES_PER_MESSAGE)
    const singly = await maximum(READINGS_SINGLY, 1)
    report.print(`${label}, messages of one sample: ${costText(singly)}`)
    const costs: Cost[] = []
    for (let i = 0; i < runs; i++) {
      const cost = await maximum(readings, SAMPLES_PER_MESSAGE)
      report.print(`${label}, messages of ${SAMPLES_PER_MESSAGE} samples: ${costText(cost)}`)
      costs.push(cost)
    }
    const options = { readingsPerSecond: OUTAGE_READINGS_PER_SECOND, samplesPerMessage: SAMPLES_PER_MESSAGE }
    const outage = await measureOutage(path, publisher, load, options, report)
    report.print(
      `${label}, ${OUTAGE_READINGS_PER_SECOND.toLocaleString('en-GB')} readings/s, the database killed and away for ${(outage.downMs / 1000).toFixed(1)} s: ${outage.lost.toLocaleString('en-GB')} of ${outage.published.toLocaleString('en-GB')} readings are not in it`,
    )
    await publisher.close()
    return { label, listed: fastest(costs), singly, outage }
  } finally {
    await path.stop()
  }
}

const fastest = (costs: readonly Cost[]): Cost =>
  costs.reduce((best, cost) => (cost.readingsPerSecond > best.readingsPerSecond ? cost : best))

function printTable(direct: Cost, measured: readonly Measured[], report: Report): void {
  const microseconds = ({ microsecondsInAll }: Cost) => microsecondsInAll.toFixed(2)
  const rows = [
    ['', 'readings/s, lists', 'CPU µs', 'readings/s, singly', 'CPU µs', 'lost in the outage'],
    ['(a) influxd alone', rateText(direct), microseconds(direct), '', '', ''],
    ...measured.map(({ label, listed, singly, outage }) => [
      ...[label, rateText(listed), microseconds(listed), rateText(singly), microseconds(singly)],
      `${outage.lost} of ${outage.published}`,
    ]),
  ]
  report.print('')
  for (const line of tableLines(rows)) report.print(line)
}
