/**
 * How long a processor takes to take a partition of 100,000 series over: real servers, the program as it is shipped, from its start until it is
 * ready, and until the next batch is stored; with the checkpoint in NATS, and in files. The state is that of three minutes, and
 * the account must go on from it to the reading. Only when named, or with `--full`.
 */
import { strict as assert } from 'node:assert'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { buildCommand } from '@tributary/cli/build'
import {
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createCheckpointBucket,
  createEffects,
  createFileCheckpointStore,
  createJetStreamCheckpointStore,
  decodeState,
  encodeState,
  readingsOf,
  stateFor,
  step,
} from '@tributary/cloud-processor/testing'
import { contractSchema, encodeBatch, partitionOf, telemetrySubject } from '@tributary/protocol'
import { createLogger, systemClock } from '@tributary/runtime'
import {
  type AccountAnswer,
  answers,
  askJson,
  createInfluxServer,
  createManagedProcess,
  createNatsServer,
  findServer,
  freePort,
} from '@tributary/stack'
import { mebibytes, type Report } from './report.ts'

const clock = systemClock
const SERIES = 100_000
const FIELDS = 4
const SECONDS = 180
const SAMPLE_EVERY_S = 5
const DEVICES_A_BATCH = 250
const BUDGET_S = 5
const SITE = 'bench'
const AGENT = 'agent-a'
/** The processor's default. */
const PUNCTUAL_MEMORY_MS = 60_000
const STORED_MS_MAX = 60_000

const definition = {
  kind: 'bench',
  version: 1,
  description: 'Four numbers.',
  interval: '1s',
  fields: Object.fromEntries(
    Array.from({ length: FIELDS }, (_, i) => [`field_${i}`, { type: 'float', label: `Field ${i}`, decimals: 2 }]),
  ),
  detectors: { outlier: ['field_0'], flatline: { field_1: '5m' }, silence: '1m' },
}

interface Surroundings {
  readonly folder: string
  /** The command's bundle. */
  readonly program: string
  readonly natsUrl: string
  readonly influxUrl: string
}

/** What a processor had saved, and what comes next. */
interface Prepared {
  readonly bytes: Uint8Array
  readonly next: readonly Uint8Array[]
  /** With the next ones. */
  readonly readings: number
}

function prepare(report: Report): Prepared {
  const startMs = Math.floor(clock.wallMs() / 60_000) * 60_000 - (SECONDS + 60) * 1_000
  const devices = Array.from({ length: SERIES / FIELDS }, (_, i) => `device-${i}`)
  let sequence = 0
  let readings = 0
  function* measuredAt(second: number) {
    for (let from = 0; from < devices.length; from += DEVICES_A_BATCH) {
      const blocks = devices.slice(from, from + DEVICES_A_BATCH).map((device, d) => {
        const measured = (f: number) => Math.round(2_000 + ((second * 7 + d * 3 + f) % 97)) / 100
        const values = Object.fromEntries(Array.from({ length: FIELDS }, (_, f) => [`field_${f}`, measured(f)]))
        return blockOf(device, 'bench', [{ timeMs: startMs + second * 1_000, values }])
      })
      const isLast = from + DEVICES_A_BATCH >= devices.length
      const completeThroughMs = startMs + (isLast ? second + SAMPLE_EVERY_S : second) * 1_000
      sequence += 1
      const batch = batchOf({ agent: AGENT, sequence, readingsBefore: readings, completeThroughMs, blocks })
      readings += readingsOf(blocks)
      yield batch
    }
  }
  const context = contextOf([contractSchema.parse(definition)], { punctualMemoryMs: PUNCTUAL_MEMORY_MS })
  const state = stateFor(context)
  const effects = createEffects()
  for (let second = 0; second < SECONDS; second += SAMPLE_EVERY_S) {
    report.progress(`${second} of ${SECONDS} s are measured`)
    for (const batch of measuredAt(second)) {
      const receivedAtMs = startMs + second * 1_000
      step(state, { site: SITE, agent: AGENT, streamSequence: sequence, receivedAtMs, batch }, context, effects)
      clearEffects(effects)
    }
  }
  const bytes = encodeState(state)
  const next = Array.from(measuredAt(SECONDS), encodeBatch)
  return { bytes, next, readings }
}

export async function run(report: Report): Promise<void> {
  if (!report.options.long) return report.print('takes a minute: name it, or give --full')
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-restart-'))
  const nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  const influx = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  try {
    await Promise.all([nats.start(), influx.start()])
    const program = await buildCommand(join(folder, 'command'))
    const prepared = prepare(report)
    for (const place of ['NATS', 'files'] as const)
      await measure(report, { folder, program, natsUrl: nats.url, influxUrl: influx.url }, place, prepared)
  } finally {
    await Promise.all([nats.stop(), influx.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}

async function measure(
  report: Report,
  { folder, program, natsUrl, influxUrl }: Surroundings,
  place: 'NATS' | 'files',
  { bytes, next, readings }: Prepared,
): Promise<void> {
  const partition = partitionOf(SITE)
  const connection = await connect({ servers: natsUrl })
  const client = jetstream(connection)
  const own = { owner: 'bench', log: createLogger('bench', 'silent') }
  const checkpoints = join(folder, 'checkpoints')
  const store =
    place === 'NATS'
      ? createJetStreamCheckpointStore(
          createCheckpointBucket(partition, { client, manager: await jetstreamManager(connection) }),
          partition,
          own,
        )
      : createFileCheckpointStore(checkpoints, partition, own)
  const since = async <T>(work: () => T | Promise<T>): Promise<[T, number]> => {
    const fromMs = clock.monotonicMs()
    const result = await work()
    return [result, clock.monotonicMs() - fromMs]
  }
  const contracts = contextOf([contractSchema.parse(definition)]).contracts
  const claimed = await store.claim(await store.load())
  const [, saveMs] = await since(() => store.save(bytes, claimed.revision))
  const [loaded, loadMs] = await since(() => store.load())
  const [, decodeMs] = await since(() => decodeState(loaded.bytes as Uint8Array, contracts))

  await mkdir(join(folder, 'contracts'), { recursive: true })
  await writeFile(join(folder, 'contracts', 'bench.yaml'), JSON.stringify(definition))
  const port = await freePort()
  const config = join(folder, 'processor.yaml')
  const checkpoint = place === 'NATS' ? {} : { folder: checkpoints }
  const settings = {
    processor: 'processor-1',
    nats: { url: natsUrl },
    influx: { url: influxUrl, database: `bench_${place.toLowerCase()}` },
    contracts: join(folder, 'contracts'),
    checkpoint,
    admin: { listen: `127.0.0.1:${port}` },
  }
  await writeFile(config, JSON.stringify(settings))
  const url = `http://127.0.0.1:${port}`
  const processor = createManagedProcess({
    name: 'processor',
    program: process.execPath,
    arguments: [program, 'processor', '--config', config, '--partitions', String(partition)],
    logFile: join(folder, 'processor.log'),
    isReady: () => answers(`${url}/readyz`),
  })
  try {
    const [, readyMs] = await since(() => processor.start())
    const cpuSeconds = (await processor.cpuSeconds()) ?? 0
    const fromMs = clock.monotonicMs()
    for (const batch of next) await client.publish(telemetrySubject(SITE, AGENT), batch)
    for (;;) {
      const stored = (await askJson<AccountAnswer>(`${url}/account`))?.total.stored ?? 0
      // Reports of the processor itself may be among them, when their site is in the same partition.
      if (stored >= readings) break
      assert(clock.monotonicMs() - fromMs < STORED_MS_MAX, `stored ${stored} of ${readings}`)
      await clock.sleep(20)
    }
    const storedMs = readyMs + clock.monotonicMs() - fromMs
    report.figure({
      what: `${SERIES / 1000},000 series, checkpoint in ${place} (${Math.round(mebibytes(bytes.length))} MiB): from its start until it is ready`,
      value: readyMs / 1000,
      unit: 's',
      budget: BUDGET_S,
      beside: `${cpuSeconds.toFixed(1)} s of CPU; loading ${(loadMs / 1000).toFixed(2)} s, decoding ${(decodeMs / 1000).toFixed(2)} s, saving ${(saveMs / 1000).toFixed(2)} s; until the next reading of each series is stored ${(storedMs / 1000).toFixed(1)} s; ${Math.round(mebibytes((await processor.rssBytes()) ?? 0))} MiB resident`,
    })
  } finally {
    await processor.stop()
    await connection.close()
  }
}
