/**
 * Two processors share a stream, each with half of the partitions and its state in NATS. Under load one of them is killed at
 * random moments, also while it starts, and a new one with another name takes its partitions over; at last one is replaced that
 * is alive. Its seed is printed: `SEED=… npx vitest run e2e/partitions.test.ts` does the same again.
 */
import { randomInt } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { createInfluxQuery, type InfluxQuery } from '@tributary/cloud-processor'
import { batchOf, blockOf } from '@tributary/cloud-processor/testing'
import { encodeBatch, partitionOf, TELEMETRY_STREAM, telemetrySubject } from '@tributary/protocol'
import { createRandom, systemClock } from '@tributary/runtime'
import {
  answers,
  checkWindows,
  createInfluxServer,
  createManagedProcess,
  createNatsServer,
  findServer,
  freePort,
  type ManagedProcess,
  repositoryFolder,
  tributaryProgram,
} from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runTributary, until } from './harness/run-tributary.ts'

const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31))
const HALVES = ['0-7', '8-15'] as const
const SITES = Array.from({ length: 12 }, (_, i) => ({ site: `site-${i}`, agent: `agent-${i}`, device: `tank-${i}` }))
const START_MS = 1_767_225_600_000
/** A batch holds a minute: so that in half a minute of the test windows of an hour close, too. */
const SAMPLE_MS = 2_000
const SAMPLES_A_BATCH = 30
const READINGS_A_BATCH = SAMPLES_A_BATCH * 3
const BATCH_EVERY_MS = 100
const KILLS = 5

/** What a device measured as its sample n: any stored value can be checked from its key. */
const levelAt = (device: string, n: number) => ((n * 7 + Number(device.slice(5)) * 131) % 9_000) / 100
const timeOf = (n: number) => START_MS + n * SAMPLE_MS

let folder: string
let nats: ManagedProcess & { url: string }
let influx: ManagedProcess & { url: string }
let connection: NatsConnection
let query: InfluxQuery
const launched: ManagedProcess[] = []
let names = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-partitions-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  influx = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await Promise.all([nats.start(), influx.start()])
  connection = await connect({ servers: nats.url })
  query = createInfluxQuery({ url: influx.url, database: 'tributary' })
})
afterAll(async () => {
  await query?.close()
  await connection?.close()
  await Promise.all(launched.map((one) => one.stop()))
  await Promise.all([nats?.stop(), influx?.stop()])
  await rm(folder, { recursive: true, force: true })
})

interface Worker {
  readonly name: string
  readonly process: ManagedProcess
  readonly url: string
  /** Resolves when it works, or has ended before. */
  readonly started: Promise<void>
}

async function launchProcessor(partitions: string): Promise<Worker> {
  const name = `processor-${++names}`
  const port = await freePort()
  const config = join(folder, `${name}.yaml`)
  await writeFile(
    config,
    `processor: ${name}
nats: { url: "${nats.url}" }
influx: { url: "${influx.url}" }
contracts: ${join(repositoryFolder, 'contracts')}
admin: { listen: "127.0.0.1:${port}" }
`,
  )
  const url = `http://127.0.0.1:${port}`
  const worker = createManagedProcess({
    name,
    program: process.execPath,
    arguments: [tributaryProgram, 'processor', '--config', config, '--partitions', partitions],
    logFile: join(folder, `${name}.log`),
    isReady: () => answers(`${url}/readyz`),
  })
  launched.push(worker)
  return { name, process: worker, url, started: worker.start().catch(() => undefined) }
}

const batchFor = ({ agent, device }: (typeof SITES)[number], sequence: number) => {
  const first = (sequence - 1) * SAMPLES_A_BATCH
  const samples = Array.from({ length: SAMPLES_A_BATCH }, (_, i) => ({
    timeMs: timeOf(first + i),
    values: { level_percent: levelAt(device, first + i), sequence: first + i, pump_on: i % 2 === 0 },
  }))
  return encodeBatch(
    batchOf({
      agent,
      sequence,
      readingsBefore: (sequence - 1) * READINGS_A_BATCH,
      completeThroughMs: timeOf(first + SAMPLES_A_BATCH),
      blocks: [blockOf(device, 'tank', samples)],
    }),
  )
}

/** Publishes until told to stop: neighbours change places, and some come twice. @returns batches of each agent */
async function publishUntil(isDone: () => boolean): Promise<number> {
  const random = createRandom(SEED)
  const client = jetstream(connection)
  let sequence = 0
  for (; !isDone(); sequence += 2) {
    const nextMs = systemClock.monotonicMs() + 2 * BATCH_EVERY_MS
    for (const one of SITES)
      for (const number of [sequence + 2, sequence + 1]) {
        const bytes = batchFor(one, number)
        const subject = telemetrySubject(one.site, one.agent)
        await client.publish(subject, bytes)
        if (random.below(10) === 0) await client.publish(subject, bytes)
      }
    await systemClock.sleep(Math.max(0, nextMs - systemClock.monotonicMs()))
  }
  return sequence
}

test('killed five times and replaced once: the account is balanced, nothing twice, every window right', async () => {
  for (const half of HALVES)
    expect(SITES.filter(({ site }) => HALVES[partitionOf(site) < 8 ? 0 : 1] === half).length).toBeGreaterThan(2)
  console.log(`seed ${SEED}`)
  const random = createRandom(SEED)
  const workers = await Promise.all(HALVES.map(launchProcessor))
  await Promise.all(workers.map((one) => one.started))
  let done = false
  const publishing = publishUntil(() => done)
  try {
    for (let kills = 0; kills < KILLS; kills++) {
      await systemClock.sleep(500 + random.below(4_000))
      const victim = random.below(2)
      await workers[victim]?.process.kill()
      workers[victim] = await launchProcessor(HALVES[victim] as string)
    }
    await Promise.all(workers.map((one) => one.started))
    const replaced = workers[0] as Worker
    const successor = await launchProcessor(HALVES[0])
    workers[0] = successor
    await until(() => !replaced.process.running, 'the one that was replaced has ended')
    expect(await replaced.process.stop()).toBe(2)
    expect(await readFile(replaced.process.logFile, 'utf8')).toMatch(
      new RegExp(`partition \\d was taken over by ${successor.name}`),
    )
    await successor.started
    await systemClock.sleep(2_000)
  } finally {
    done = true
  }
  const batches = await publishing
  expect(batches).toBeGreaterThan(100)

  const manager = await jetstreamManager(connection)
  const left = async () => (await manager.streams.info(TELEMETRY_STREAM)).state.messages
  await until(async () => (await left()) <= 1, 'the stream is empty', 60_000)
  const ledger = await runTributary(['ledger', '--json', ...workers.flatMap(({ url }) => ['--processor', url])])
  expect([ledger.code, ledger.stderr]).toEqual([0, ''])
  const { agents } = JSON.parse(ledger.stdout) as { agents: { agent: string }[] }
  const readings = batches * READINGS_A_BATCH
  for (const { site, agent } of SITES)
    expect(agents.filter((one) => one.agent === agent)).toEqual([
      expect.objectContaining({
        site,
        produced: readings,
        stored: readings,
        deadLettered: 0,
        inFlight: 0,
        missing: 0,
        shed: 0,
        gaps: [],
      }),
    ])
  for (const { process: worker } of workers) {
    expect(worker.running).toBe(true)
    expect(await readFile(worker.logFile, 'utf8')).not.toContain('taken over')
  }
  for (const one of SITES) await checkStore(one, batches * SAMPLES_A_BATCH)
  const contractsFolder = join(repositoryFolder, 'contracts')
  const { checked: windowsChecked, wrong } = await checkWindows({ query, contractsFolder }, AbortSignal.timeout(60_000))
  expect(wrong.slice(0, 5)).toEqual([])
  expect(windowsChecked).toBeGreaterThan(SITES.length * 30)
  console.log(
    `seed ${SEED}: ${readings * SITES.length} readings, ${windowsChecked} windows, ${launched.length} processors`,
  )
}, 180_000)

/** Every sample once with its value. */
async function checkStore({ site, device }: (typeof SITES)[number], samples: number): Promise<void> {
  const [raw] = await query(`SELECT level_percent, sequence FROM tank WHERE device='${device}' AND site='${site}'`)
  expect(raw?.values.length, device).toBe(samples)
  for (const [timeMs, level, n] of (raw?.values ?? []) as [number, number, number][])
    if (level !== levelAt(device, n) || timeMs !== timeOf(n))
      throw new Error(`sample ${n} of ${device} is ${level} at ${timeMs}`)
}
