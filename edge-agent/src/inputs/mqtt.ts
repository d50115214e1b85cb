/**
 * Samples from any MQTT broker, with a persistent session: what the agent has not acknowledged, because it is not on disk yet,
 * the broker keeps and sends again. Subscribed at QoS 1: what is published at QoS 2 comes at QoS 1, where repeats are recognised by
 * their content; what is published at QoS 0 is taken as it comes.
 *
 * A link that went silent is noticed within one and a half times `keepalive` (22 s by default) and opened again; the broker then sends again what
 * was not acknowledged. A broker that closes the connection again and again (another client has our id: it lets only one in) is asked
 * ever more rarely, so that two do not throw each other out for ever.
 */
import type { Backoff, Clock, Logger } from '@tributary/runtime'
import type { BatchWriter } from '../batch-writer.ts'
import type { MqttInputConfig } from '../config.ts'
import { keepOpen } from '../keep-open.ts'
import { connectMqtt, type MqttConnection, type MqttTarget, RefusedError } from '../mqtt-connection.ts'
import type { Input, Intake } from './input.ts'
import { createInputState } from './input-state.ts'
import { createMessageReader } from './mqtt-payload.ts'
import { createPubackGate, type PubackGate } from './puback-gate.ts'
import { filterOf } from './topic-pattern.ts'

const UNACKNOWLEDGED_MESSAGES_MAX = 4_096
const UNACKNOWLEDGED_BYTES_MAX = 16 * 1024 * 1024
const BACKOFF: Backoff = { firstMs: 500, maxMs: 15_000 }
/** A connection that the broker ends sooner was not wanted; so many in a row are no accident. */
const UNWANTED_MS = 60_000
const UNWANTED_MAX = 3
const SUBSCRIBE_AGAIN_MS = 60_000
/** SUBACK: failure. */
const SUBSCRIPTION_REFUSED = 0x80

export interface MqttInputDependencies {
  readonly agent: string
  readonly writer: BatchWriter
  readonly intake: Intake
  readonly clock: Clock
  readonly log: Logger
}

export function createMqttInput(config: MqttInputConfig, dependencies: MqttInputDependencies): Input {
  const { writer, intake, clock } = dependencies
  const log = dependencies.log.child({ input: config.name })
  const readMessage = createMessageReader(config.topics)
  const filters = config.topics.map(({ pattern }) => filterOf(pattern))
  const stopping = new AbortController()
  let running: Promise<void> | undefined
  let connection: MqttConnection | undefined
  let gate: PubackGate | undefined
  const state = createInputState({ name: config.name, type: 'mqtt' }, intake, clock, `connecting to ${config.url}`)
  let subscribed = false
  let unwanted = 0
  let cancelAgain: (() => void) | undefined

  const target: MqttTarget = {
    url: config.url,
    clientId: config.client_id ?? `tributary-${dependencies.agent}-${config.name}`,
    username: config.username,
    password: config.password,
    password_file: config.password_file,
    keepaliveMs: config.keepalive,
    tls: config.tls,
    clean: false,
  }

  const openOnce = async (): Promise<string> => {
    state.opening()
    let own: PubackGate | undefined
    let opened: MqttConnection | undefined
    try {
      opened = await connectMqtt(target, stopping.signal, (client) => {
        own = createPubackGate(client, {
          clock,
          messagesMax: UNACKNOWLEDGED_MESSAGES_MAX,
          bytesMax: UNACKNOWLEDGED_BYTES_MAX,
          keepaliveMs: config.keepalive,
          deliver: ({ topic, payload }, stored) =>
            intake.accept(readMessage(topic, payload as Buffer, clock.wallMs()), stored),
          whenRoom: writer.whenRoom,
          onStall: writer.hurry,
          onFull: writer.hurryDisk,
        })
      })
      connection = opened
      gate = own
      const openedAtMs = clock.monotonicMs()
      // The config may have changed since the session began; within this process it has not.
      const refused = subscribed && opened.sessionPresent ? [] : await subscribe(opened, filters)
      if (refused.length === filters.length && filters.length > 0) throw subscriptionError(refused)
      subscribed = refused.length === 0
      const note = subscribed ? '' : `; it refuses the subscription to ${refused.join(', ')}`
      state.opened(`connected to ${config.url}${note}`)
      log.info({ filters, sessionPresent: opened.sessionPresent }, `connected to ${config.url}`)
      if (!subscribed) log.warn({ refused, hint: subscriptionError(refused).hint }, 'the broker refuses a subscription')
      if (!subscribed) subscribeLater(opened, refused)
      const why = await opened.ended
      const isShort = clock.monotonicMs() - openedAtMs < UNWANTED_MS
      unwanted = isShort && opened.endedByPeer ? unwanted + 1 : 0
      if (unwanted >= UNWANTED_MAX)
        throw new RefusedError(
          `${config.url} closed the connection ${unwanted} times soon after it was opened`,
          `another client with the id "${target.clientId}" is the usual reason: a broker lets only one in; give one of them another client_id`,
        )
      return why
    } finally {
      // A broker that cannot be reached meanwhile was away: it did not throw us out.
      if (!opened) unwanted = 0
      cancelAgain?.()
      state.ended()
      own?.close()
      opened?.destroy('closed')
      connection = undefined
      gate = undefined
    }
  }
  /** @returns the filters that the broker refuses */
  const subscribe = async ({ client, ended }: MqttConnection, wanted: readonly string[]): Promise<string[]> => {
    const lost = ended.then((reason) => {
      throw new Error(reason)
    })
    try {
      await Promise.race([client.subscribeAsync([...wanted], { qos: 1 }), lost])
      return []
    } catch (error) {
      const granted = (error as { packet?: { granted?: readonly number[] } }).packet?.granted
      if (granted?.length !== wanted.length) throw error
      return wanted.filter((_, i) => (granted[i] as number) >= SUBSCRIPTION_REFUSED)
    }
  }
  const subscribeLater = (to: MqttConnection, wanted: readonly string[]) => {
    cancelAgain = clock.after(SUBSCRIBE_AGAIN_MS, async () => {
      const refused = await subscribe(to, wanted).catch(() => undefined)
      if (connection !== to || refused === undefined) return
      if (refused.length > 0) return subscribeLater(to, refused)
      subscribed = true
      state.opened(`connected to ${config.url}`)
    })
  }
  const subscriptionError = (refused: readonly string[]) =>
    new RefusedError(
      `${config.url} refuses the subscription to ${refused.join(', ')}`,
      `allow the user "${config.username ?? '(no username)'}" to read these topics in the broker's access list`,
    )
  return {
    name: config.name,
    start: async () => {
      running = keepOpen(openOnce, {
        clock,
        signal: stopping.signal,
        log,
        backoff: BACKOFF,
        onDown: state.down,
      })
    },
    async stop(signal) {
      // What is on its way stays with the broker: the gate is closed only after what was taken is acknowledged.
      if (connection) connection.client.handleMessage = () => undefined
      await writer.flush(signal).catch(() => undefined)
      const closing = connection?.close(signal)
      stopping.abort(new DOMException('the input stops', 'AbortError'))
      await closing
      await running
      state.stopped()
    },
    pendingSinceMs: () => gate?.heldSinceMs ?? state.unsettledSinceMs,
    status: () => state.status(gate?.heldSinceMs, 'no room: the broker is held back'),
  }
}
