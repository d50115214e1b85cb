/**
 * The site's own MQTT broker, in this process. Persistent sessions with QoS 1 get what was published while they were away.
 * Nothing is acknowledged that nobody would get, and no queue grows without bound: a publish waits, without PUBACK, until a
 * persistent session has subscribed to its topic and as long as a session that wants it is at its limit.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { type HostPort, type Logger, listenError, messageOf, type Service } from '@tributary/runtime'
import { Aedes } from 'aedes'

export const SESSION_MESSAGES_MAX = 10_000
export const SESSION_BYTES_MAX = 64 * 1024 * 1024
export const SESSIONS_MAX = 100
/** A subscriber that takes nothing for so long is disconnected; its session stays. */
const DRAIN_TIMEOUT_MS = 10_000

interface Queued {
  readonly payload: Uint8Array | string
}
/** The part of aedes' persistence that we count at. */
interface SessionStore {
  subscriptionsByTopic(topic: string): Promise<{ clientId: string }[]>
  outgoingEnqueueCombi(subscriptions: { clientId: string }[], packet: Queued): Promise<void>
  outgoingClearMessageId(client: { id: string }, packet: unknown): Promise<Queued | undefined>
}

export interface SiteBroker extends Service {
  /** `mqtt://127.0.0.1:port`, once it listens. */
  readonly url: string
  status(): {
    /** Messages acknowledged to a device and not yet by the session they are for. */
    queuedMessages: number
    queuedBytes: number
    /** Publishes that wait for a subscriber or for room. */
    waitingPublishes: number
    connectedClients: number
  }
}

export function createSiteBroker(
  listen: HostPort,
  {
    log,
    sessionMessagesMax = SESSION_MESSAGES_MAX,
    sessionBytesMax = SESSION_BYTES_MAX,
  }: { log: Logger; sessionMessagesMax?: number; sessionBytesMax?: number },
): SiteBroker {
  let aedes: Aedes | undefined
  let store: SessionStore | undefined
  let server: Server | undefined
  const sockets = new Set<Socket>()
  const queues = new Map<string, { messages: number; bytes: number }>()
  let waiting: { topic: string; connected: () => boolean; release: (error?: Error) => void }[] = []
  let looking = false
  let lookAgain = false

  const queueOf = (session: string) => {
    const found = queues.get(session) ?? { messages: 0, bytes: 0 }
    queues.set(session, found)
    return found
  }
  const hasRoom = (session: string) => {
    const { messages, bytes } = queueOf(session)
    return messages < sessionMessagesMax && bytes < sessionBytesMax
  }
  const mayPass = async (topic: string) => {
    const sessions = (await store?.subscriptionsByTopic(topic)) ?? []
    return sessions.length > 0 && sessions.every(({ clientId }) => hasRoom(clientId))
  }
  /** Lets go of what may pass by now, in the order in which it came. */
  const look = async () => {
    if (looking) {
      lookAgain = true
      return
    }
    looking = true
    try {
      do {
        lookAgain = false
        const before = waiting
        waiting = []
        const still: typeof waiting = []
        for (const one of before) {
          if (!one.connected()) one.release(new Error('the device is gone'))
          else if (await mayPass(one.topic)) one.release()
          else still.push(one)
        }
        waiting = [...still, ...waiting]
      } while (lookAgain)
    } finally {
      looking = false
    }
  }
  const countQueues = (persistence: SessionStore) => {
    const enqueue = persistence.outgoingEnqueueCombi.bind(persistence)
    const clear = persistence.outgoingClearMessageId.bind(persistence)
    persistence.outgoingEnqueueCombi = async (subscriptions, packet) => {
      for (const { clientId } of subscriptions) {
        const queue = queueOf(clientId)
        queue.messages++
        queue.bytes += packet.payload.length
      }
      await enqueue(subscriptions, packet)
    }
    persistence.outgoingClearMessageId = async (client, packet) => {
      const cleared = await clear(client, packet)
      if (!cleared) return cleared
      const queue = queueOf(client.id)
      queue.messages--
      queue.bytes -= cleared.payload.length
      if (waiting.length > 0) void look()
      return cleared
    }
    return persistence
  }
  const sum = (pick: (queue: { messages: number; bytes: number }) => number) =>
    [...queues.values()].reduce((total, queue) => total + pick(queue), 0)

  return {
    name: 'site broker',
    get url() {
      const address = server?.address()
      const port = typeof address === 'object' && address !== null ? address.port : listen.port
      return `mqtt://${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${port}`
    },
    async start() {
      aedes = await Aedes.createBroker({
        drainTimeout: DRAIN_TIMEOUT_MS,
        maxClientsIdLength: 128,
        preConnect: (client, packet, callback) => {
          const known = queues.has(packet.clientId) || packet.clean
          const full = !known && queues.size >= SESSIONS_MAX
          if (full)
            log.warn({ client: client.id, sessionsMax: SESSIONS_MAX }, 'too many sessions; the client is refused')
          callback(null, !full)
        },
        authorizePublish: (client, packet, callback) => {
          packet.retain = false
          mayPass(packet.topic).then(
            (pass) => {
              if (pass && waiting.length === 0) callback(null)
              else {
                waiting.push({
                  topic: packet.topic,
                  connected: () => client?.closed !== true,
                  release: (error) => callback(error ?? null),
                })
                if (pass) void look()
              }
            },
            (error) => callback(error instanceof Error ? error : new Error(messageOf(error))),
          )
        },
      })
      store = countQueues((aedes as unknown as { persistence: SessionStore }).persistence)
      aedes.on('subscribe', () => void look())
      aedes.on('clientDisconnect', () => void look())
      aedes.on('clientError', (client, error) => log.debug({ client: client.id, err: error }, 'MQTT client error'))
      const handle = aedes.handle
      server = createServer({ noDelay: true }, (socket) => {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
        handle(socket)
      })
      await new Promise<void>((resolve, reject) => {
        server?.once('error', (error) => reject(listenError(error, 'the MQTT port (--mqtt-port)', listen)))
        server?.listen(listen.port, listen.host, () => resolve())
      })
    },
    async stop() {
      for (const one of waiting) one.release(new Error('the broker stops'))
      waiting = []
      await new Promise<void>((resolve) => (aedes ? aedes.close(() => resolve()) : resolve()))
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => (server?.listening ? server.close(() => resolve()) : resolve()))
    },
    status: () => ({
      queuedMessages: sum((queue) => queue.messages),
      queuedBytes: sum((queue) => queue.bytes),
      waitingPublishes: waiting.length,
      connectedClients: aedes?.connectedClients ?? 0,
    }),
  }
}
