/** The shipped gateway under 100 agents with 50,000 readings/s in all: sustained or not, CPU a reading, memory. */
import { strict as assert } from 'node:assert'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { buildCommand } from '@tributary/cli/build'
import { fillSpool } from '@tributary/edge-agent/testing'
import { loadScenario, type Run } from '@tributary/firmware-sim'
import { hashPassword } from '@tributary/gateway'
import { type Batch, decodeBatch, encodeBatch, mqttTopic } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { readSpool } from '@tributary/spool'
import {
  answers,
  createManagedProcess,
  createNatsServer,
  findServer,
  freePort,
  type ManagedProcess,
  simulatedSamples,
} from '@tributary/stack'
import { connectAsync, type MqttClient } from 'mqtt'
import { stringify } from 'yaml'
import { mebibytes, quantile, type Report } from '../report.ts'

const clock = systemClock
const AGENTS = 100
const READINGS_PER_SECOND = 50_000
const READINGS_PER_BATCH = 1_000
const SECONDS = 30
const WARM_UP_SECONDS = 5
const IN_FLIGHT_MAX = 16

interface LoadAgent {
  readonly name: string
  readonly client: MqttClient
  readonly epoch: string
  sent: number
  acknowledged: number
  readings: number
}

/** A batch of simulated data, which each agent sends as its own again and again. */
async function readBatch(folder: string): Promise<Batch> {
  const scenario = await loadScenario('steady')
  const startedAtMs = clock.wallMs()
  const run: Run = { seed: 1, startedAtMs, rate: READINGS_PER_BATCH, scenario, firstSequences: {} }
  const options = { agent: 'pi', bootId: 'bench', readingsPerBatch: READINGS_PER_BATCH }
  const spool = { segmentBytesMax: 4 * 1024 ** 2, bytesMax: 16 * 1024 ** 2 }
  await fillSpool(join(folder, 'batch'), simulatedSamples(run, startedAtMs + 2_000), { ...options, spool }, clock)
  for await (const { payload } of readSpool(join(folder, 'batch'))) return decodeBatch(payload)
  throw new Error('no batch was made')
}

async function createGatewayProcess(
  folder: string,
  natsUrl: string,
  password: string,
): Promise<ManagedProcess & { mqttPort: number }> {
  const [mqttPort, adminPort] = [await freePort(), await freePort()]
  const hash = hashPassword(password)
  const names = Array.from({ length: AGENTS }, (_, i) => `pi-${i + 1}`)
  await writeFile(join(folder, 'agents.passwd'), names.map((name) => `${name}:${hash}\n`).join(''), { mode: 0o600 })
  await writeFile(
    join(folder, 'gateway.yaml'),
    stringify({
      gateway: 'gateway-1',
      site: 'bench',
      mqtt: { listen: `127.0.0.1:${mqttPort}` },
      credentials_file: 'agents.passwd',
      nats: { url: natsUrl },
      spool: { folder: 'spool', free_disk: '64MiB' },
      admin: { listen: `127.0.0.1:${adminPort}` },
    }),
  )
  const managed = createManagedProcess({
    name: 'gateway',
    program: process.execPath,
    arguments: [await buildCommand(join(folder, 'bundle')), 'gateway', '--config', join(folder, 'gateway.yaml')],
    // as the systemd unit sets it
    environment: { NODE_OPTIONS: '--max-semi-space-size=1', MALLOC_MMAP_THRESHOLD_: '1048576' },
    logFile: join(folder, 'gateway.log'),
    isReady: () => answers(`http://127.0.0.1:${adminPort}/readyz`),
  })
  return Object.assign(managed, { mqttPort })
}

export async function gatewayLoad(folder: string, report: Report): Promise<void> {
  await mkdir(folder)
  const nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  const password = 'bench'
  const gateway = await createGatewayProcess(folder, nats.url, password)
  const agents: LoadAgent[] = []
  try {
    await nats.start()
    await gateway.start()
    const url = `mqtt://127.0.0.1:${gateway.mqttPort}`
    const batch = await readBatch(folder)
    for (let i = 0; i < AGENTS; i++) {
      const name = `pi-${i + 1}`
      const options = { clientId: name, username: name, password, protocolVersion: 4 as const, reconnectPeriod: 0 }
      const client = await connectAsync(url, options)
      const epoch = (0xbe000000 + i).toString(16).padStart(16, '0')
      agents.push({ name, client, epoch, sent: 0, acknowledged: 0, readings: 0 })
    }
    const figures = await offer(agents, batch, gateway, report)
    await expectInStream(nats.url, agents)
    const what = `gateway, ${AGENTS} agents, ${READINGS_PER_SECOND} readings/s offered in batches of ${READINGS_PER_BATCH}`
    report.figure({
      what: `${what}: readings/s behind`,
      value: READINGS_PER_SECOND - figures.readingsPerSecond,
      unit: '',
      budget: READINGS_PER_SECOND * 0.01,
      beside: `PUBACK p50 ${figures.pubackMs(0.5).toFixed(0)} ms, p99 ${figures.pubackMs(0.99).toFixed(0)} ms; every batch is in the stream once`,
    })
    report.figure({
      what: 'gateway, CPU a reading',
      value: figures.cpuMicroseconds,
      unit: 'µs',
      beside: `${(figures.cpuMicroseconds * 1e-6 * READINGS_PER_SECOND * 100).toFixed(1)} % of a core`,
    })
    report.figure({ what: 'gateway, RSS at most', value: mebibytes(figures.rssBytesMax), unit: 'MiB', budget: 150 })
  } finally {
    await Promise.all(agents.map(({ client }) => client.endAsync(true)))
    await gateway.stop()
    await nats.stop()
  }
}

/** Offers batches at a steady pace, agent after agent; what comes back late is not made up for. */
async function offer(agents: readonly LoadAgent[], batch: Batch, gateway: ManagedProcess, report: Report) {
  const { readingCount } = batch.header
  const everyMs = (1000 * readingCount) / READINGS_PER_SECOND
  const latenciesMs: number[] = []
  const publish = (agent: LoadAgent) => {
    if (agent.sent - agent.acknowledged >= IN_FLIGHT_MAX) return
    agent.sent += 1
    agent.readings += readingCount
    const payload = encodeBatch({
      ...batch,
      header: {
        ...batch.header,
        agent: agent.name,
        epoch: agent.epoch,
        sequence: agent.sent,
        readingsTotal: agent.readings,
        createdAtMs: clock.wallMs(),
      },
    })
    const sentAtMs = clock.monotonicMs()
    agent.client.publish(mqttTopic(agent.name, 'batch'), Buffer.from(payload), { qos: 1 }, (error) => {
      if (error) return
      agent.acknowledged += 1
      latenciesMs.push(clock.monotonicMs() - sentAtMs)
    })
  }
  const acknowledged = () => agents.reduce((sum, agent) => sum + agent.acknowledged, 0) * readingCount
  const startMs = clock.monotonicMs()
  let rssBytesMax = 0
  let measured: { atMs: number; cpuSeconds: number; acknowledged: number } | undefined
  for (let i = 0; ; i++) {
    const elapsedMs = clock.monotonicMs() - startMs
    if (!measured && elapsedMs >= WARM_UP_SECONDS * 1000) {
      latenciesMs.length = 0
      const cpuSeconds = (await gateway.cpuSeconds()) ?? 0
      measured = { atMs: clock.monotonicMs(), cpuSeconds, acknowledged: acknowledged() }
    }
    if (elapsedMs >= (WARM_UP_SECONDS + SECONDS) * 1000) break
    if (i % 50 === 0) rssBytesMax = Math.max(rssBytesMax, (await gateway.rssBytes()) ?? 0)
    publish(agents[i % agents.length] as LoadAgent)
    await clock.sleep(startMs + (i + 1) * everyMs - clock.monotonicMs())
    report.progress(`${acknowledged()} readings acknowledged`)
  }
  assert(measured)
  const seconds = (clock.monotonicMs() - measured.atMs) / 1000
  const readings = acknowledged() - measured.acknowledged
  const cpuSeconds = ((await gateway.cpuSeconds()) ?? 0) - measured.cpuSeconds
  for (let i = 0; i < 500 && agents.some((agent) => agent.acknowledged < agent.sent); i++) await clock.sleep(20)
  for (const { name, sent, acknowledged: answered } of agents) assert.equal(answered, sent, `${name} waits for PUBACKs`)
  return {
    readingsPerSecond: readings / seconds,
    cpuMicroseconds: (cpuSeconds * 1e6) / readings,
    rssBytesMax,
    pubackMs: (share: number) => quantile(latenciesMs, share),
  }
}

/** Each batch of each agent, once. */
async function expectInStream(natsUrl: string, agents: readonly LoadAgent[]): Promise<void> {
  const connection = await connect({ servers: natsUrl })
  try {
    const manager = await jetstreamManager(connection)
    const counts = new Map<string, number>()
    for (let attempt = 0; attempt < 100; attempt++) {
      const { state } = await manager.streams.info('TELEMETRY', { subjects_filter: 'telemetry.v1.>' })
      counts.clear()
      for (const [subject, count] of Object.entries(state.subjects ?? {}))
        counts.set(subject.split('.').at(-1) ?? '', count)
      if (agents.every(({ name, sent }) => counts.get(name) === sent)) return
      await clock.sleep(100)
    }
    for (const { name, sent } of agents) assert.equal(counts.get(name), sent, `batches of ${name} in the stream`)
  } finally {
    await connection.close()
  }
}
