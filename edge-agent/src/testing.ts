/** The world around an agent, for tests: a serial cable, a gateway, the agent as a process. Real ones, as far as this machine goes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Batch, decodeBatch, parseMqttTopic } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { Aedes, type AuthenticateError, type Client } from 'aedes'
import koffi from 'koffi'

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
  stop(): Promise<void>
}

/** A gateway as the agent sees it: a broker that takes batches. Each batch is kept once, by its sequence. */
export async function startGateway(options: { port?: number; password?: string } = {}): Promise<TestGateway> {
  const broker = await Aedes.createBroker()
  const batches: Batch[] = []
  const seen = new Set<string>()
  let connections = 0
  const gateway = { mute: false }
  if (options.password !== undefined)
    broker.authenticate = (_client, _username, password, done) => {
      if (password?.toString() === options.password) return done(null, true)
      done(Object.assign(new Error('wrong password'), { returnCode: 4 }) as AuthenticateError, false)
    }
  broker.on('client', () => {
    connections++
  })
  broker.authorizePublish = (_client: Client | null, packet, done) => {
    if (gateway.mute) return
    if (parseMqttTopic(packet.topic)?.channel === 'batch') {
      const batch = decodeBatch(packet.payload as Buffer)
      const key = `${batch.header.epoch}/${batch.header.sequence}`
      if (!seen.has(key)) batches.push(batch)
      seen.add(key)
    }
    done(null)
  }
  const { server, stop } = await listen(broker, options.port ?? 0)
  return Object.assign(gateway, {
    port: (server.address() as AddressInfo).port,
    batches,
    get connections() {
      return connections
    },
    stop,
  }) as TestGateway
}

/** Any broker, for sensors. */
export async function startBroker(port = 0): Promise<{ port: number; broker: Aedes; stop(): Promise<void> }> {
  const broker = await Aedes.createBroker()
  const { server, stop } = await listen(broker, port)
  return { port: (server.address() as AddressInfo).port, broker, stop }
}

async function listen(broker: Aedes, port: number): Promise<{ server: Server; stop(): Promise<void> }> {
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
  return {
    server,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => broker.close(() => resolve()))
      }),
  }
}

export interface AgentProcess {
  readonly child: ChildProcess
  /** What it said on standard error so far. */
  log(): string
  /** Resolves with the exit code; null after a signal. */
  readonly exited: Promise<number | null>
}

/** Starts the agent from its sources, as a process of its own. */
export function startAgentProcess(
  configText: string,
  folder: string,
  environment: Record<string, string> = {},
): AgentProcess {
  const config = join(folder, 'agent.yaml')
  writeFileSync(config, configText)
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  return watchProcess(
    spawn(process.execPath, ['--import', 'tsx', main, '--config', config], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    }),
  )
}

export function watchProcess(child: ChildProcess): AgentProcess {
  let log = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString()
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  return { child, log: () => log, exited }
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
        const sequence = sequences.values[i] as number
        found.set(sequence, { value: values.values[i] as number, count: (found.get(sequence)?.count ?? 0) + 1 })
      }
    }
  return found
}
