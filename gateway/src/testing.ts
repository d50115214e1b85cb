/** What the gateway's tests share: a real nats-server, a gateway in this process, agents that are MQTT.js, batches. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import {
  BATCH_FORMAT_VERSION,
  type BatchHeader,
  decodeHeader,
  encodeBatch,
  mqttTopic,
  TELEMETRY_STREAM,
} from '@tributary/protocol'
import { createLogger, createMetrics, type LogLevel, type Metrics, parseConfig, systemClock } from '@tributary/runtime'
import { createNatsServer, findServer, freePort } from '@tributary/stack'
import { connectAsync, type MqttClient } from 'mqtt'
import { stringify } from 'yaml'
import { gatewayConfigSchema } from './config.ts'
import { hashPassword } from './credentials.ts'
import { createGateway, type Gateway } from './gateway.ts'
import { siteViewOf, siteViewSchema } from './site-view-config.ts'

export const SITE = 'workshop'
export const PASSWORD = 'correct horse'
const passwordHash = hashPassword(PASSWORD)

export async function temporaryFolder(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'tributary-gateway-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

export async function startNats(folder: string, port?: number, { asShipped = false } = {}) {
  const server = await createNatsServer(await findServer('nats-server'), folder, port ?? (await freePort()))
  if (asShipped) {
    const file = join(folder, 'nats-server.conf')
    await writeFile(file, (await readFile(file, 'utf8')).replace(/^max_payload.*$/m, ''))
  }
  await server.start()
  return server
}

export interface GatewayOptions {
  readonly folder: string
  readonly natsUrl: string
  readonly agents?: readonly string[]
  /** Merged over the sections of the config. */
  readonly sections?: Readonly<Record<string, Record<string, unknown>>>
  readonly mqttPort?: number
  readonly adminPort?: number
  /** Port of the tap, which is opened then. */
  readonly sitePort?: number
}

export function gatewayConfigText({
  folder,
  natsUrl,
  sections = {},
  mqttPort = 0,
  adminPort = 0,
}: GatewayOptions): string {
  return stringify({
    gateway: 'gw-1',
    site: SITE,
    credentials_file: join(folder, 'agents.passwd'),
    mqtt: { listen: `127.0.0.1:${mqttPort}`, ...sections['mqtt'] },
    nats: { url: natsUrl, ...sections['nats'] },
    stream: { max_bytes: '64MiB', ...sections['stream'] },
    spool: {
      folder: join(folder, 'spool'),
      budget: '64MiB',
      segment: '4MiB',
      free_disk: '1MiB',
      trim_every: '100ms',
      ...sections['spool'],
    },
    health: { interval: '1h', ...sections['health'] },
    admin: { listen: `127.0.0.1:${adminPort}`, ...sections['admin'] },
  })
}

export async function writeCredentials(folder: string, agents: readonly string[]): Promise<string> {
  const file = join(folder, 'agents.passwd')
  await writeFile(file, agents.map((agent) => `${agent}:${passwordHash}\n`).join(''))
  return file
}

/** A gateway in this process on free ports. */
export async function startGateway(
  options: GatewayOptions,
  level: LogLevel = 'silent',
): Promise<Gateway & { metrics: Metrics; end: () => Promise<void> }> {
  await writeCredentials(options.folder, options.agents ?? ['agent-1', 'agent-2'])
  const config = parseConfig('gateway.yaml', gatewayConfigText(options), gatewayConfigSchema)
  const metrics = createMetrics('gateway')
  const log = createLogger('gateway', level)
  const section = siteViewSchema.parse({ tap: `127.0.0.1:${options.sitePort ?? 0}` })
  const siteView =
    options.sitePort === undefined
      ? undefined
      : { config: siteViewOf(section, config, join(options.folder, 'gateway.yaml')) }
  const gateway = await createGateway(config, { clock: systemClock, log, metrics, siteView })
  await gateway.start(AbortSignal.timeout(20_000))
  return {
    ...gateway,
    metrics,
    mqttPort: gateway.mqttPort,
    adminPort: gateway.adminPort,
    sitePort: gateway.sitePort,
    end: () => gateway.stop(AbortSignal.timeout(5_000)),
  }
}

export const EPOCH = '00112233445566aa'

export function makeBatch(
  agent: string,
  sequence: number,
  header: Partial<BatchHeader> = {},
  samples = 3,
  valueAt = (i: number) => sequence * 10 + i,
): Buffer {
  const values = Float64Array.from({ length: samples }, (_, i) => valueAt(i))
  return Buffer.from(
    encodeBatch({
      header: {
        formatVersion: BATCH_FORMAT_VERSION,
        agent,
        epoch: EPOCH,
        sequence,
        lane: 'live',
        createdAtMs: 1_767_225_600_000 + sequence,
        completeThroughMs: 1_767_225_600_000 + sequence,
        bootId: 'boot-1',
        clockQuality: 'trusted',
        sampleCount: samples,
        readingCount: samples,
        readingsTotal: samples * sequence,
        backlogBatches: 0,
        backlogBytes: 0,
        drainSeconds: 0,
        monotonicMs: 0,
        ...header,
      },
      blocks: [
        {
          device: 'thermometer-1',
          kind: 'climate',
          timesMs: Float64Array.from({ length: samples }, (_, i) => 1_767_225_600_000 + sequence * samples + i),
          columns: [{ field: 'temperature', present: null, type: 'number', values }],
        },
      ],
      deadLetters: [],
      tombstones: [],
      rollups: [],
    }),
  )
}

export function connectAgent(port: number, agent: string, options: Record<string, unknown> = {}): Promise<MqttClient> {
  return connectAsync(
    `mqtt://127.0.0.1:${port}`,
    {
      username: agent,
      password: PASSWORD,
      clientId: `${agent}-client`,
      reconnectPeriod: 0,
      connectTimeout: 10_000,
      ...options,
    },
    false,
  )
}

/** Resolves with the PUBACK. */
export const publishBatch = (client: MqttClient, agent: string, batch: Buffer) =>
  client.publishAsync(mqttTopic(agent, 'batch'), batch, { qos: 1 })

/** Polls until the condition holds; the last error or value stands in the message. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, msMax = 15_000): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + msMax
  while (!(await condition())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`not within ${msMax} ms: ${what}`)
    await systemClock.sleep(20)
  }
}

export interface StoredMessage {
  readonly subject: string
  readonly data: Buffer
}

/** Everything that was received has been forwarded, and something was. */
export const allForwarded = (gateway: Gateway): boolean => {
  const { sentThrough, nextSequence } = gateway.status().spool
  return nextSequence > 1 && sentThrough === nextSequence - 1
}

/** Takes everything out of the stream, as the processor would, until nothing has come for a while. */
export async function drainStream(natsUrl: string, idleMs = 300): Promise<StoredMessage[]> {
  const connection = await connect({ servers: natsUrl, maxReconnectAttempts: 0 })
  try {
    const manager = await jetstreamManager(connection)
    const name = `drain-${process.pid}`
    await manager.consumers.add(TELEMETRY_STREAM, { durable_name: name, ack_policy: AckPolicy.Explicit })
    const consumer = await jetstream(connection).consumers.get(TELEMETRY_STREAM, name)
    const messages: StoredMessage[] = []
    for (;;) {
      let count = 0
      for await (const message of await consumer.fetch({ max_messages: 500, expires: Math.max(1_000, idleMs) })) {
        messages.push({ subject: message.subject, data: Buffer.from(message.data) })
        message.ack()
        count += 1
        if (message.info.pending === 0) break
      }
      if (count === 0) break
      if ((await consumer.info()).num_pending === 0) break
    }
    await connection.flush()
    await manager.consumers.delete(TELEMETRY_STREAM, name)
    return messages
  } finally {
    await connection.close()
  }
}

export interface TestProcessor {
  /** What it took out of the stream, in that order. */
  readonly messages: readonly StoredMessage[]
  stop(): Promise<void>
}

/** Takes out of the stream what comes, at its pace, and acknowledges it, until it is stopped; it waits for NATS and the stream. */
export function startProcessor(natsUrl: string, batchesPerSecond = Number.POSITIVE_INFINITY): TestProcessor {
  const messages: StoredMessage[] = []
  const stopping = new AbortController()
  const name = 'test-processor'
  const take = async () => {
    const connection = await connect({ servers: natsUrl, maxReconnectAttempts: 0 })
    try {
      const manager = await jetstreamManager(connection)
      await manager.consumers.add(TELEMETRY_STREAM, { durable_name: name, ack_policy: AckPolicy.Explicit })
      const consumer = await jetstream(connection).consumers.get(TELEMETRY_STREAM, name)
      while (!stopping.signal.aborted) {
        const atOnce = Math.min(100, Math.max(1, Math.round(batchesPerSecond / 10)))
        for await (const message of await consumer.fetch({ max_messages: atOnce, expires: 1_000 })) {
          messages.push({ subject: message.subject, data: Buffer.from(message.data) })
          message.ack()
        }
        if (Number.isFinite(batchesPerSecond)) await systemClock.sleep(100, stopping.signal)
      }
    } finally {
      await connection.close()
    }
  }
  const run = async () => {
    while (!stopping.signal.aborted) {
      await take().catch(() => undefined)
      await systemClock.sleep(50, stopping.signal).catch(() => undefined)
    }
  }
  const running = run()
  return {
    messages,
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** Sequences of the agent's batches among the messages, in their order. */
export const sequencesOf = (messages: readonly StoredMessage[], agent: string): number[] =>
  messages.flatMap(({ subject, data }) => (subject.endsWith(`.${agent}`) ? [decodeHeader(data).sequence] : []))

/** Publishes a message of the processor's. */
export async function sayToGateway(natsUrl: string, subject: string, message: unknown): Promise<void> {
  const connection = await connect({ servers: natsUrl })
  connection.publish(subject, JSON.stringify(message))
  await connection.flush()
  await connection.close()
}
