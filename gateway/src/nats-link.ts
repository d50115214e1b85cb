/**
 * The connection to NATS: it is tried for ever, and a gateway without NATS goes on receiving. Says what to do when it
 * cannot be had.
 */
import { readFile } from 'node:fs/promises'
import { connect, credsAuthenticator, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node'
import { backoffDelayMs, type Clock, type Logger, type Metrics, messageOf, type Service } from '@tributary/runtime'
import type { GatewayConfig } from './config.ts'
import { orAbort } from './or-abort.ts'

/** @param respond answers a request */
export type OnMessage = (payload: Uint8Array, respond: (answer: string) => void) => void

export interface NatsLink extends Service {
  readonly connected: boolean
  /** Resolves with the connection once it works. */
  waitForConnection(signal: AbortSignal): Promise<NatsConnection>
  /** A message on the subject, now and after every reconnection. To be called before `start`. */
  subscribe(subject: string, onMessage: OnMessage): void
  /** Called whenever there is a connection, again too. To be called before `start`. */
  onConnected(callback: () => void): void
  /** Called whenever the connection was lost. To be called before `start`. */
  onLost(callback: () => void): void
}

const BACKOFF = { firstMs: 250, maxMs: 5_000 }
const CONNECT_MS_MAX = 5_000
const PING_MS = 10_000
const SAY_AGAIN_MS = 60_000

export function createNatsLink(
  config: GatewayConfig['nats'],
  name: string,
  { clock, log, metrics }: { clock: Clock; log: Logger; metrics: Metrics },
): NatsLink {
  const connectedGauge = metrics.gauge('gateway_nats_connected', '1 while the connection to NATS works')
  const subscriptions: { subject: string; onMessage: OnMessage }[] = []
  const found: (() => void)[] = []
  const lost: (() => void)[] = []
  const stopping = new AbortController()
  let connection: NatsConnection | undefined
  let connected = false
  const waiting: (() => void)[] = []
  let running: Promise<void> = Promise.resolve()

  const setConnected = (now: boolean) => {
    if (connected === now) return
    connected = now
    connectedGauge.set(now ? 1 : 0)
    if (now) for (const wake of waiting.splice(0)) wake()
    for (const callback of now ? found : lost) callback()
  }
  const connectOptions = async (): Promise<NodeConnectionOptions> => ({
    servers: config.url,
    name,
    timeout: CONNECT_MS_MAX,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    reconnectJitter: 250,
    pingInterval: PING_MS,
    maxPingOut: 2,
    ignoreAuthErrorAbort: true,
    ...(config.user === undefined ? {} : { user: config.user, pass: config.password ?? '' }),
    ...(config.token === undefined ? {} : { token: config.token }),
    ...(config.credentials_file === undefined
      ? {}
      : { authenticator: credsAuthenticator(await readFile(config.credentials_file)) }),
    ...(config.tls_ca_file === undefined ? {} : { tls: { caFile: config.tls_ca_file } }),
  })

  /** Holds one connection until it is closed for good, which only a stop or a refusal of the server does. */
  const hold = async () => {
    const opened = await connect(await connectOptions())
    if (stopping.signal.aborted) return opened.close()
    connection = opened
    for (const { subject, onMessage } of subscriptions)
      opened.subscribe(subject, {
        callback: (error, message) =>
          error ? undefined : onMessage(message.data, (answer) => void message.respond(answer)),
      })
    log.info({ server: opened.getServer(), version: opened.info?.version }, 'connected to NATS')
    setConnected(true)
    const closed = opened.closed()
    void watch(opened)
    const reason = await closed
    setConnected(false)
    connection = undefined
    if (!stopping.signal.aborted) throw reason ?? new Error('the connection was closed')
  }
  const watch = async (opened: NatsConnection) => {
    for await (const status of opened.status()) {
      if (opened !== connection) return
      if (status.type === 'disconnect') {
        log.warn(
          { server: status.server },
          'the connection to NATS is lost; batches stay in the spool until it is back',
        )
        setConnected(false)
      } else if (status.type === 'reconnect') {
        log.info({ server: status.server }, 'connected to NATS again')
        setConnected(true)
      } else if (status.type === 'error') log.warn({ error: status.error.message }, 'NATS reports an error')
    }
  }
  const run = async () => {
    let saidMs = Number.NEGATIVE_INFINITY
    for (let attempt = 1; !stopping.signal.aborted; attempt++) {
      const startedMs = clock.monotonicMs()
      try {
        await hold()
      } catch (error) {
        if (clock.monotonicMs() - startedMs > SAY_AGAIN_MS) attempt = 1
        if (clock.monotonicMs() - saidMs > SAY_AGAIN_MS) {
          saidMs = clock.monotonicMs()
          log.warn(
            { url: config.url, error: messageOf(error), hint: hintFor(error) },
            'NATS cannot be reached; batches are taken and kept in the spool, and the connection is tried again',
          )
        }
      }
      await clock.sleep(backoffDelayMs(BACKOFF, attempt), stopping.signal).catch(() => undefined)
    }
  }

  return {
    name: 'connection to NATS',
    get connected() {
      return connected
    },
    subscribe: (subject, onMessage) => void subscriptions.push({ subject, onMessage }),
    onConnected: (callback) => void found.push(callback),
    onLost: (callback) => void lost.push(callback),
    async waitForConnection(signal) {
      for (;;) {
        signal.throwIfAborted()
        if (connected && connection) return connection
        await orAbort(new Promise<void>((resolve) => waiting.push(resolve)), signal)
      }
    },
    async start() {
      running = run()
    },
    async stop() {
      stopping.abort()
      await connection?.close().catch(() => undefined)
      await running
    },
  }
}

function hintFor(error: unknown): string {
  const text = messageOf(error).toLowerCase()
  if (text.includes('auth') || text.includes('permission'))
    return 'check nats.user and nats.password, nats.token or nats.credentials_file'
  return 'start nats-server with JetStream (`nats-server -js`), or correct nats.url'
}
