/**
 * MQTT for agents: aedes behind a frame guard. A hook that throws would end the process, and an error from a hook ends
 * the connection without a PUBACK; so every hook ends in one call of its callback.
 */
import { readFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import { type AgentChannel, isName, mqttTopic } from '@tributary/protocol'
import {
  type Clock,
  errorCode,
  type Logger,
  listenError,
  type Metrics,
  messageOf,
  type Service,
  UserError,
} from '@tributary/runtime'
import { Aedes, type AuthenticateError, type Client, type PublishPacket } from 'aedes'
import { CLIENT_PACKETS_IN_FLIGHT_MAX, type GatewayConfig, INGEST_BYTES_MAX } from './config.ts'
import type { Credentials } from './credentials.ts'
import { createFrameGuard, type FrameGuard } from './frame-guard.ts'
import { createIngestBudget } from './ingest-budget.ts'
import { Refusal, type RefusalReason, type Refusals } from './refusals.ts'
import { mayPublish, maySubscribe } from './topic-access.ts'

export interface Broker extends Service {
  /** The port in use, also when 0 was asked for. */
  readonly port: number
  isConnected(agent: string): boolean
  readonly agentsConnected: number
  disconnect(agents: readonly string[], why: string): void
  /**
   * Sends to an agent on its own topic with QoS 0, past all others: one that reads nothing holds nobody up.
   * @returns false when nothing was sent: it is not connected, has not subscribed, or has not read what was sent before
   */
  publish(agent: string, channel: AgentChannel, payload: string): boolean
  /** Called with what an agent says on `…/clock`. To be called before `start`. */
  onClock(callback: (agent: string, payload: Uint8Array) => void): void
  /** Called once an agent's subscription stands. To be called before `start`. */
  onSubscribed(callback: (agent: string, channel: AgentChannel) => void): void
  /** Reads the TLS certificate and key again; new connections get them. */
  reloadCertificate(): Promise<void>
}

interface Session {
  readonly guard: FrameGuard
  readonly remote: string
  client: Client | undefined
  /** Messages on their way into its socket. */
  unwritten: number
  ended: boolean
  agent: string | undefined
  /** Settles when everything before has its PUBACK or its refusal. */
  last: Promise<void>
  failed: boolean
}

/** Connections that have not said who they are; a takeover needs one while its predecessor still counts. */
const STRANGERS_MAX = 64
const CONNECT_MS_MAX = 5_000
/** Messages to an agent that wait for it to read; what is beyond is not sent. */
const UNWRITTEN_MAX = 16
const STALL_MS_MAX = 30_000
const DRAIN_MS_MAX = 3_000
const KEEPALIVE_SECONDS_MAX = 300
const SOCKET_CHUNK_BYTES = 1024 * 1024
const RETURN_CODE = { unavailable: 3, badCredentials: 4, notAuthorized: 5 } as const

export function createBroker(
  config: GatewayConfig,
  /** Resolves when the batch is on disk. @throws Refusal */
  admit: (agent: string, batch: Uint8Array) => Promise<unknown>,
  credentials: Credentials,
  { clock, log, metrics, refusals }: { clock: Clock; log: Logger; metrics: Metrics; refusals: Refusals },
): Broker {
  const { listen, tls, clients_max, packet_bytes_max } = config.mqtt
  const connectedGauge = metrics.gauge('gateway_agents_connected', 'Agents that are connected now')
  const budget = createIngestBudget(INGEST_BYTES_MAX)
  const sessions = new WeakMap<Client, Session>()
  const connections = new Set<Session>()
  const byAgent = new Map<string, Session>()
  let aedes: Aedes | undefined
  let server: Server | TlsServer | undefined
  const clockListeners: ((agent: string, payload: Uint8Array) => void)[] = []
  const subscribeListeners: ((agent: string, channel: AgentChannel) => void)[] = []

  /** A listener that throws would end the process from within a hook. */
  const tell = (listen: () => void) => {
    try {
      listen()
    } catch (error) {
      log.error({ err: error }, 'a message of an agent could not be dealt with')
    }
  }
  const refuse = (session: Session, reason: RefusalReason, detail: string) =>
    refusals.refuse(reason, { ...(session.agent ? { agent: session.agent } : {}), remote: session.remote }, detail)

  const onSocket = (socket: Socket) => {
    const remote = `${socket.remoteAddress}:${socket.remotePort}`
    if (!aedes || connections.size >= clients_max + STRANGERS_MAX) {
      refusals.refuse('too_many_clients', { remote }, `more than ${clients_max} connections: raise mqtt.clients_max`)
      socket.on('error', () => undefined).destroy()
      return
    }
    const guard = createFrameGuard(socket, {
      packetBytesMax: packet_bytes_max,
      inFlightMax: CLIENT_PACKETS_IN_FLIGHT_MAX,
      stallMsMax: STALL_MS_MAX,
      budget,
      clock,
      refuse: (reason, detail) => refuse(session, reason, detail),
    })
    const session: Session = {
      guard,
      remote,
      client: undefined,
      unwritten: 0,
      ended: false,
      agent: undefined,
      last: Promise.resolve(),
      failed: false,
    }
    connections.add(session)
    guard.stream.once('close', () => {
      connections.delete(session)
      if (session.agent === undefined || byAgent.get(session.agent) !== session) return
      byAgent.delete(session.agent)
      connectedGauge.set(byAgent.size)
      log.info({ agent: session.agent }, 'agent disconnected')
    })
    session.client = aedes.handle(guard.stream)
    sessions.set(session.client, session)
  }

  const authenticate = async (session: Session, agent: string | undefined, password: Uint8Array | undefined) => {
    if (agent === undefined || password === undefined || !isName(agent))
      return deny(
        session,
        'bad_credentials',
        'no user name that is an agent, or no password',
        RETURN_CODE.badCredentials,
      )
    if (!byAgent.has(agent) && byAgent.size >= clients_max)
      return deny(
        session,
        'too_many_clients',
        `${clients_max} agents are connected: raise mqtt.clients_max`,
        RETURN_CODE.unavailable,
      )
    if (agent === config.gateway)
      return deny(
        session,
        'bad_credentials',
        `"${agent}" is this gateway's own name: give the agent another`,
        RETURN_CODE.notAuthorized,
      )
    const verdict = await credentials.verify(agent, password)
    if (verdict === 'busy') return deny(session, 'login_queue_full', 'too many logins at once', RETURN_CODE.unavailable)
    if (verdict === 'refused') {
      const detail = `wrong password for "${agent}", or no such agent; \`tributary gateway passwd ${config.credentials_file} ${agent}\` sets one`
      return deny(session, 'bad_credentials', detail, RETURN_CODE.badCredentials)
    }
    session.agent = agent
    return undefined
  }
  const deny = (session: Session, reason: RefusalReason, detail: string, returnCode: number): AuthenticateError => {
    refuse(session, reason, detail)
    return Object.assign(new Refusal(reason, detail), { returnCode })
  }

  const takePublish = async (session: Session, agent: string, packet: PublishPacket) => {
    const channel = mayPublish(agent, packet.topic)
    if (!channel) throw new Refusal('foreign_topic', `${agent} must not publish to ${shown(packet.topic)}`)
    if (packet.retain || packet.qos === 2 || (channel === 'batch' && packet.qos !== 1))
      throw new Refusal('not_supported', `${agent}: batches are published with QoS 1, nothing is retained`)
    if (channel === 'clock') {
      for (const listen of clockListeners) tell(() => listen(agent, asBytes(packet.payload)))
      return
    }
    const admitted = admit(agent, asBytes(packet.payload))
    // Acknowledged in order, whatever finishes first; after a failure nothing more is acknowledged on this connection.
    const before = session.last
    session.last = Promise.allSettled([before, admitted]).then(() => undefined)
    try {
      await admitted
    } catch (error) {
      session.failed = true
      throw error
    }
    await before
    if (session.failed) throw new Refusal('spool_failed', 'an earlier batch of this connection could not be kept')
  }

  const startAedes = async () => {
    const broker = await Aedes.createBroker({
      connectTimeout: CONNECT_MS_MAX,
      drainTimeout: DRAIN_MS_MAX,
      keepaliveLimit: KEEPALIVE_SECONDS_MAX,
      maxTopicLevels: 8,
      queueLimit: CLIENT_PACKETS_IN_FLIGHT_MAX,
      preConnect(client, packet, done) {
        const session = sessions.get(client)
        // Sessions are clean and named after the agent: nothing is kept for the absent, and a second connection replaces the first.
        packet.clean = true
        packet.clientId = packet.username ?? packet.clientId
        if (!session) done(new Refusal('link_error', 'the connection is gone'), false)
        else if (packet.will) {
          refuse(session, 'not_supported', `${packet.username ?? 'a client'} asks for a will message: leave it out`)
          done(new Refusal('not_supported', 'no will messages'), false)
        } else done(null, true)
      },
      authenticate(client, username, password, done) {
        const session = sessions.get(client)
        if (!session) done(deniedUnknown(), false)
        else
          authenticate(session, username, password).then(
            (error) => done(error ?? null, error === undefined),
            (error) => done(deny(session, 'bad_credentials', messageOf(error), RETURN_CODE.unavailable), false),
          )
      },
      authorizePublish(client, packet, done) {
        const session = client ? sessions.get(client) : undefined
        const agent = session?.agent
        if (!session || agent === undefined) done(new Refusal('link_error', 'the connection is gone'))
        else
          takePublish(session, agent, packet).then(
            () => done(null),
            (error) => {
              const refusal = error instanceof Refusal ? error : new Refusal('spool_failed', messageOf(error))
              refuse(session, refusal.reason, refusal.message)
              done(refusal)
            },
          )
      },
      authorizeSubscribe(client, subscription, done) {
        const session = sessions.get(client)
        if (session?.agent !== undefined && maySubscribe(session.agent, subscription.topic)) {
          done(null, subscription)
          return
        }
        const detail = `${session?.agent} must not subscribe to ${shown(subscription.topic)}`
        if (session) refuse(session, 'foreign_topic', detail)
        done(new Refusal('foreign_topic', detail))
      },
      // Nothing that an agent says goes to agents, not even back to itself: only `publish` below does.
      authorizeForward: (_client, packet) => ('clientId' in packet ? null : packet),
      published(_packet, client, done) {
        if (client) sessions.get(client)?.guard.settled()
        done(null)
      },
    })
    broker.on('client', (client: Client) => {
      const session = sessions.get(client)
      if (session?.agent === undefined) return
      const { agent, remote } = session
      const before = byAgent.get(agent)
      byAgent.set(agent, session)
      connectedGauge.set(byAgent.size)
      if (before && before !== session) {
        log.warn({ agent, remote, before: before.remote }, 'a second connection of this agent takes over')
        before.guard.end()
      } else log.info({ agent, remote }, 'agent connected')
    })
    broker.on('subscribe', (subscriptions, client: Client) => {
      const agent = sessions.get(client)?.agent
      if (agent === undefined) return
      for (const { topic } of subscriptions) {
        const channel = maySubscribe(agent, topic)
        if (channel) for (const listen of subscribeListeners) tell(() => listen(agent, channel))
      }
    })
    broker.on('clientReady', (client: Client) => sessions.get(client)?.guard.open())
    const onError = (client: Client, error: Error) => {
      const session = sessions.get(client)
      // Each message that was on its way ends in the same error.
      if (!session || session.ended || error instanceof Refusal) return
      session.ended = true
      if (
        errorCode(error) !== undefined ||
        /keep alive|drain timeout|connection closed|did not arrive/.test(error.message)
      )
        refuse(session, 'link_error', `connection ended: ${error.message}`)
      else refuse(session, 'malformed_packet', `not MQTT 3.1.1: ${error.message}`)
    }
    broker.on('clientError', onError)
    broker.on('connectionError', onError)
    ;(broker as NodeJS.EventEmitter).on('error', (error) => log.error({ err: error }, 'the MQTT broker failed inside'))
    return broker
  }

  const readTls = async () => {
    if (!tls) return undefined
    try {
      return { cert: await readFile(tls.cert), key: await readFile(tls.key), minVersion: 'TLSv1.2' as const }
    } catch (error) {
      throw new UserError(`the TLS certificate or key cannot be read: ${messageOf(error)}`, {
        cause: error,
        hint: 'correct mqtt.tls in the config',
      })
    }
  }

  return {
    name: 'mqtt broker',
    get port() {
      const address = server?.address()
      return typeof address === 'object' && address !== null ? address.port : listen.port
    },
    isConnected: (agent) => byAgent.has(agent),
    get agentsConnected() {
      return byAgent.size
    },
    disconnect(agents, why) {
      for (const agent of agents) {
        const session = byAgent.get(agent)
        if (!session) continue
        log.info({ agent }, `disconnected: ${why}`)
        session.guard.end()
      }
    },
    publish(agent, channel, payload) {
      const session = byAgent.get(agent)
      const topic = mqttTopic(agent, channel)
      if (!session?.client || !isSubscribed(session.client, topic) || session.unwritten >= UNWRITTEN_MAX) return false
      session.unwritten += 1
      session.client.publish({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false }, () => {
        session.unwritten -= 1
      })
      return true
    },
    onClock: (callback) => void clockListeners.push(callback),
    onSubscribed: (callback) => void subscribeListeners.push(callback),
    async reloadCertificate() {
      const secure = await readTls()
      if (secure && server && 'setSecureContext' in server) server.setSecureContext(secure)
    },
    async start() {
      const secure = await readTls()
      aedes = await startAedes()
      const socketOptions = { noDelay: true, highWaterMark: SOCKET_CHUNK_BYTES }
      try {
        server = secure
          ? createTlsServer({ ...secure, ...socketOptions, handshakeTimeout: CONNECT_MS_MAX }, onSocket)
          : createServer(socketOptions, onSocket)
      } catch (error) {
        throw new UserError(`the TLS certificate and key do not work: ${messageOf(error)}`, {
          cause: error,
          hint: 'correct mqtt.tls in the config',
        })
      }
      server.on('tlsClientError', (error: Error, socket: Socket) =>
        refusals.refuse('bad_handshake', { remote: `${socket.remoteAddress}` }, `TLS: ${error.message}`),
      )
      await new Promise<void>((resolve, reject) => {
        server?.once('error', (error) => reject(listenError(error, 'mqtt.listen', listen)))
        server?.listen(listen.port, listen.host, resolve)
      })
      server.on('error', (error) => log.error({ err: error }, 'the MQTT server failed'))
    },
    async stop(signal) {
      const closed = new Promise<void>((resolve) => (server?.listening ? server.close(() => resolve()) : resolve()))
      await Promise.race([Promise.all([...connections].map((session) => session.last)), aborted(signal)])
      for (const session of connections) session.guard.end()
      await closed
      const broker = aedes
      if (broker) await new Promise<void>((resolve) => broker.close(resolve))
      aedes = undefined
    },
  }
}

/** aedes keeps them by topic; its types do not say so. */
const isSubscribed = (client: Client, topic: string): boolean =>
  (client as Client & { readonly subscriptions: Readonly<Record<string, unknown>> }).subscriptions[topic] !== undefined
const shown = (topic: string): string => JSON.stringify(topic.slice(0, 200))
const asBytes = (payload: string | Buffer): Buffer => (typeof payload === 'string' ? Buffer.from(payload) : payload)
const deniedUnknown = () => Object.assign(new Refusal('link_error', 'the connection is gone'), { returnCode: 3 })
const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
