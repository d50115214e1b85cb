/**
 * A TCP link that can be broken: it takes connections on a port of its own and passes them on. Down: connections are reset and new
 * ones refused. Half-open: whoever is connected, or connects meanwhile, speaks into the void and hears nothing, for as long as it
 * keeps that connection: as behind a NAT that forgot it, neither end is told, not even when the other one closes.
 */
import { connect as connectTo, createServer, type Server, type Socket } from 'node:net'

export type RelayState = 'up' | 'down' | 'half-open'

/** What a relay does with the bytes of one connection. */
export interface RelayFilter {
  fromClient(bytes: Buffer): void
  fromServer(bytes: Buffer): void
  /** The connection ended. */
  end(): void
}
export type MakeFilter = (send: { toServer(bytes: Buffer): void; toClient(bytes: Buffer): void }) => RelayFilter

export interface Relay {
  readonly name: string
  /** Where it takes connections. */
  readonly port: number
  readonly state: RelayState
  /** Connections that are under way, those into the void included. */
  readonly connections: number
  /** Begins to take connections for a loopback port. */
  start(targetPort: number): Promise<void>
  set(state: RelayState): void
  stop(): Promise<void>
}

const CONNECTIONS_MAX = 1_000

const passOn: MakeFilter = ({ toServer, toClient }) => ({
  fromClient: toServer,
  fromServer: toClient,
  end: () => undefined,
})

/** @param port a free one @param host where it listens */
export function createRelay(name: string, port: number, host = '127.0.0.1', makeFilter: MakeFilter = passOn): Relay {
  let state: RelayState = 'up'
  let server: Server | undefined
  const pairs = new Set<{ client: Socket; target: Socket | undefined; void: boolean }>()

  const takeConnection = (client: Socket, targetPort: number) => {
    client.on('error', () => undefined)
    if (state === 'down') {
      client.resetAndDestroy()
      return
    }
    const target = state === 'half-open' ? undefined : connectTo({ port: targetPort, host: '127.0.0.1', noDelay: true })
    const pair = { client, target, void: state === 'half-open' }
    pairs.add(pair)
    target?.on('error', () => undefined)
    const write = (socket: Socket | undefined, from: Socket, bytes: Buffer) => {
      if (socket === undefined || socket.destroyed || socket.write(bytes)) return
      from.pause()
      socket.once('drain', () => from.resume())
    }
    const filter =
      target &&
      makeFilter({
        toServer: (bytes) => write(target, client, bytes),
        toClient: (bytes) => write(client, target, bytes),
      })
    client.on('data', (bytes) => {
      if (!pair.void) filter?.fromClient(bytes)
    })
    target?.on('data', (bytes) => {
      if (!pair.void) filter?.fromServer(bytes)
    })
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const)
      socket?.once('close', () => {
        filter?.end()
        if (!pair.void || other === undefined || other.destroyed) pairs.delete(pair)
        if (!pair.void) other?.destroy()
      })
  }

  return {
    name,
    port,
    get state() {
      return state
    },
    get connections() {
      return pairs.size
    },
    start: (targetPort) =>
      new Promise((resolve, reject) => {
        server = createServer({ noDelay: true }, (client) => takeConnection(client, targetPort))
        server.maxConnections = CONNECTIONS_MAX
        server.once('error', reject)
        server.listen(port, host, () => resolve())
      }),
    set(next) {
      state = next
      for (const pair of pairs) {
        if (next === 'down') {
          pair.client.resetAndDestroy()
          pair.target?.resetAndDestroy()
        }
        if (next === 'half-open') {
          pair.void = true
          pair.client.resume()
          pair.target?.resume()
        }
      }
      if (next === 'down') pairs.clear()
    },
    stop: () =>
      new Promise((resolve) => {
        for (const { client, target } of pairs) {
          client.destroy()
          target?.destroy()
        }
        pairs.clear()
        if (server?.listening) server.close(() => resolve())
        else resolve()
      }),
  }
}
