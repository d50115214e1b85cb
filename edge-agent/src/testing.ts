/** The world around an agent, for tests: a serial cable, a gateway, the agent as a process. Real ones, as far as this machine goes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readSync, writeSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import {
  BATCH_FORMAT_VERSION,
  type Batch,
  type BatchHeader,
  type ClockPong,
  clockPing,
  decodeBatch,
  encodeBatch,
  parseControlMessage,
  parseMqttTopic,
} from '@tributary/protocol'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'
import { Aedes, type AuthenticateError, type Client } from 'aedes'
import koffi from 'koffi'
import { createAgent } from './agent.ts'
import { type AgentConfig, agentConfigSchema } from './config.ts'
import type { AgentStatus } from './status.ts'

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'tributary-agent-'))

/** Polls until the condition holds; fails, with what it was, after the deadline. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, msMax = 20_000): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + msMax
  while (!(await condition())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`not within ${msMax} ms: ${what}`)
    await systemClock.sleep(10)
  }
}

export interface Cable {
  /** What the agent opens. */
  readonly path: string
  /** Writes what fits at once. */
  write(bytes: Uint8Array | string): number
  /** Everything that came from the agent so far. */
  received(): Buffer
  unplug(): void
}

/** The far end of a serial cable: the master of a pseudo-terminal, raw and non-blocking. */
export function openCable(): Cable {
  const libc = koffi.load(null)
  const master = libc.func('int posix_openpt(int)')(
    constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK,
  ) as number
  if (master < 0) throw new Error('no pseudo-terminal left')
  libc.func('int grantpt(int)')(master)
  libc.func('int unlockpt(int)')(master)
  const path = libc.func('const char *ptsname(int)')(master) as string
  const termios = Buffer.alloc(256)
  libc.func('int tcgetattr(int, _Out_ uint8_t *)')(master, termios)
  libc.func('void cfmakeraw(_Inout_ uint8_t *)')(termios)
  libc.func('int tcsetattr(int, int, uint8_t *)')(master, 0, termios)
  // Held open, so that the terminal survives while the agent has it closed.
  const slave = openSync(path, constants.O_RDWR | constants.O_NOCTTY)
  let received = Buffer.alloc(0)
  let plugged = true
  return {
    path,
    write: (bytes) => {
      try {
        return writeSync(master, Buffer.from(bytes as string))
      } catch {
        return 0
      }
    },
    received() {
      const chunk = Buffer.alloc(4_096)
      try {
        for (let length = readSync(master, chunk); length > 0; length = readSync(master, chunk))
          received = Buffer.concat([received, chunk.subarray(0, length)])
      } catch {
        // Nothing there.
      }
      return received
    },
    unplug() {
      if (!plugged) return
      plugged = false
      closeSync(slave)
      closeSync(master)
    },
  }
}

export interface TestGateway {
  readonly port: number
  readonly batches: Batch[]
  readonly connections: number
  /** While true no PUBACK is sent. */
  mute: boolean
  /** A PUBACK comes so much later. */
  answerMs: number
  /** Batches that came again. */
  readonly repeats: number
  readonly lastRepeat: Batch | undefined
  disconnectAll(): void
  /** Publishes to the agents that listen. */
  say(topic: string, message: unknown): void
  /** What it says of its clock; undefined: nothing, like a gateway of before. */
  clock: { wallMs: () => number; trusted: boolean } | undefined
  stop(): Promise<void>
}

/** A gateway as the agent sees it: a broker that takes batches. Each batch is kept once, by its sequence. */
export async function startGateway(options: { port?: number; password?: string } = {}): Promise<TestGateway> {
  const broker = await Aedes.createBroker()
  const batches: Batch[] = []
  const seen = new Set<string>()
  const gateway = {
    mute: false,
    answerMs: 0,
    connections: 0,
    repeats: 0,
    lastRepeat: undefined as Batch | undefined,
    clock: { wallMs: systemClock.wallMs, trusted: true } as TestGateway['clock'],
  }
  if (options.password !== undefined)
    broker.authenticate = (_client, _username, password, done) => {
      if (password?.toString() === options.password) return done(null, true)
      done(Object.assign(new Error('wrong password'), { returnCode: 4 }) as AuthenticateError, false)
    }
  broker.on('client', () => {
    gateway.connections++
  })
  broker.authorizePublish = (client: Client | null, packet, done) => {
    if (gateway.mute) return
    const channel = parseMqttTopic(packet.topic)?.channel
    const ping = channel === 'clock' ? parseControlMessage(clockPing, packet.payload as Buffer) : undefined
    if (ping && gateway.clock) {
      const { wallMs, trusted } = gateway.clock
      const pong: ClockPong = { type: 'pong', id: ping.id, wallMs: wallMs(), trusted }
      const { topic } = packet
      client?.publish(
        { cmd: 'publish', topic, payload: JSON.stringify(pong), qos: 0, dup: false, retain: false },
        () => undefined,
      )
    }
    if (channel === 'batch') {
      const batch = decodeBatch(packet.payload as Buffer)
      const key = `${batch.header.epoch}/${batch.header.sequence}`
      if (seen.has(key)) {
        gateway.repeats++
        gateway.lastRepeat = batch
      } else batches.push(batch)
      seen.add(key)
    }
    if (gateway.answerMs === 0) done(null)
    else systemClock.after(gateway.answerMs, () => done(null))
  }
  const { server, stop, disconnectAll } = await listen(broker, options.port ?? 0)
  return Object.assign(gateway, {
    port: (server.address() as AddressInfo).port,
    batches,
    say: (topic: string, message: unknown) =>
      broker.publish(
        { cmd: 'publish', topic, payload: JSON.stringify(message), qos: 0, dup: false, retain: false },
        () => undefined,
      ),
    disconnectAll,
    stop,
  })
}

/** Any broker, for sensors. */
export async function startBroker(port = 0): Promise<{ port: number; broker: Aedes; stop(): Promise<void> }> {
  const broker = await Aedes.createBroker()
  const { server, stop } = await listen(broker, port)
  return { port: (server.address() as AddressInfo).port, broker, stop }
}

async function listen(
  broker: Aedes,
  port: number,
): Promise<{ server: Server; disconnectAll(): void; stop(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    broker.handle(socket)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const disconnectAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    server,
    disconnectAll,
    stop: () =>
      new Promise((resolve) => {
        disconnectAll()
        server.close(() => broker.close(() => resolve()))
      }),
  }
}

export interface TestRelay {
  readonly port: number
  /** From now on nothing passes in this direction, on any connection there is; nobody is told. New connections work. */
  silence(direction: 'toGateway' | 'toAgent' | 'both'): void
  stop(): Promise<void>
}

/** A TCP link to a port of this machine that can go silent, without FIN or RST. */
export async function startRelay(targetPort: number): Promise<TestRelay> {
  const pairs = new Set<{ agent: Socket; gateway: Socket; toGateway: boolean; toAgent: boolean }>()
  const server = createServer({ noDelay: true }, (agent) => {
    const gateway = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    const pair = { agent, gateway, toGateway: true, toAgent: true }
    pairs.add(pair)
    const silent = () => !pair.toGateway || !pair.toAgent
    agent.on('data', (bytes) => pair.toGateway && gateway.write(bytes))
    gateway.on('data', (bytes) => pair.toAgent && agent.write(bytes))
    for (const [socket, other] of [
      [agent, gateway],
      [gateway, agent],
    ] as const) {
      socket.on('error', () => undefined)
      // What one end does behind a silence, the other never hears.
      socket.once('close', () => (silent() ? undefined : other.destroy()))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    silence(direction) {
      for (const pair of pairs) {
        if (direction !== 'toAgent') pair.toGateway = false
        if (direction !== 'toGateway') pair.toAgent = false
      }
    },
    stop: () =>
      new Promise((resolve) => {
        for (const { agent, gateway } of pairs) for (const socket of [agent, gateway]) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

/** Appends a batch without samples, as the batch writer would. */
export const appendBatch = (spool: Spool, header: Partial<BatchHeader> = {}): Promise<number> =>
  spool.append(
    encodeBatch({
      header: {
        formatVersion: BATCH_FORMAT_VERSION,
        agent: 'pi-1',
        epoch: spool.epoch,
        sequence: spool.nextSequence,
        lane: 'live',
        createdAtMs: systemClock.wallMs(),
        completeThroughMs: systemClock.wallMs(),
        bootId: 'boot',
        clockQuality: 'trusted',
        sampleCount: 0,
        readingCount: 0,
        readingsTotal: 0,
        backlogBatches: 0,
        backlogBytes: 0,
        drainSeconds: 0,
        monotonicMs: 0,
        ...header,
      },
      blocks: [],
      deadLetters: [],
      tombstones: [],
      rollups: [],
    }),
  )

/** The config of an agent whose gateway is at the port, for a part of it alone. */
export const uplinkConfig = (
  port: number,
  { gateway = {}, spool = {} }: { gateway?: Record<string, unknown>; spool?: Record<string, unknown> } = {},
): AgentConfig =>
  agentConfigSchema.parse({
    agent: 'pi-1',
    spool: { folder: join(temporaryFolder(), 'spool'), budget: '64MiB', ...spool },
    gateway: { url: `mqtt://127.0.0.1:${port}`, password: 'secret', ...gateway },
    inputs: [{ name: 'host', type: 'host' }],
  })

export interface TestAgent {
  /** As `/status` answers it. */
  status(): Promise<AgentStatus>
  metrics(): Promise<string>
  readonly log: readonly Record<string, unknown>[]
  stop(): Promise<void>
}

/** The whole agent, in this process. `inputs` and more as in the config file, already parsed from YAML. */
export async function startAgent(settings: {
  folder: string
  gatewayPort: number
  inputs: unknown[]
  batch?: Record<string, unknown>
}): Promise<TestAgent> {
  const adminPort = await freePort()
  const config = agentConfigSchema.parse({
    agent: 'pi-1',
    spool: { folder: join(settings.folder, 'spool'), budget: '64MiB', durability: '20ms', free_disk: '1MiB' },
    batch: { age: '50ms', ...settings.batch },
    gateway: { url: `mqtt://127.0.0.1:${settings.gatewayPort}` },
    admin: { listen: `127.0.0.1:${adminPort}` },
    inputs: settings.inputs,
  })
  const log: Record<string, unknown>[] = []
  const write = (line: string) => {
    log.push(JSON.parse(line) as Record<string, unknown>)
  }
  const agent = createAgent(config, {
    clock: systemClock,
    log: createLogger('pi-1', 'debug', { write }),
    metrics: createMetrics('pi-1'),
  })
  await agent.start(AbortSignal.timeout(10_000))
  const ask = (path: string) => fetch(`http://127.0.0.1:${adminPort}${path}`)
  return {
    log,
    status: async () => (await (await ask('/status')).json()) as AgentStatus,
    metrics: async () => (await ask('/metrics')).text(),
    stop: () => agent.stop(AbortSignal.timeout(10_000)),
  }
}

export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

export interface AgentProcess {
  readonly child: ChildProcess
  /** What it said on standard error so far. */
  log(): string
  output(): string
  /** Resolves with the exit code; null after a signal. */
  readonly exited: Promise<number | null>
}

/** Starts the bundled agent as a process of its own, in a folder where there is nothing else. */
export function startAgentProcess(
  bundle: string,
  options: readonly string[],
  environment: Record<string, string> = {},
): AgentProcess {
  const child = spawn(
    process.execPath,
    ['--optimize-for-size', '--single-threaded-gc', '--max-semi-space-size=1', bundle, ...options],
    {
      cwd: dirname(bundle),
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', ...environment },
    },
  )
  let log = ''
  let output = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString()
  })
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
  return { child, log: () => log, output: () => output, exited }
}

/** Values of one field by the sequence they belong to, over all batches; and how often each sequence was there. */
export function bySequence(
  batches: readonly Batch[],
  device: string,
  field: string,
): Map<number, { value: number; count: number }> {
  const found = new Map<number, { value: number; count: number }>()
  for (const batch of batches)
    for (const block of batch.blocks.filter((one) => one.device === device)) {
      const sequences = block.columns.find((column) => column.field === 'sequence')
      const values = block.columns.find((column) => column.field === field)
      if (sequences?.type !== 'number' || values?.type !== 'number') continue
      for (let i = 0; i < block.timesMs.length; i++) {
        if (sequences.present?.[i] === 0 || values.present?.[i] === 0) continue
        const sequence = sequences.values[i] as number
        found.set(sequence, { value: values.values[i] as number, count: (found.get(sequence)?.count ?? 0) + 1 })
      }
    }
  return found
}
