/**
 * Samples from any MQTT broker, with a persistent session: what the agent has not acknowledged, because it is not on disk yet,
 * the broker keeps and sends again. Subscribed at QoS 1: what is published at QoS 2 comes at QoS 1, where repeats are recognised by
 * their content; what is published at QoS 0 is taken as it comes.
 */
import type { Backoff, Clock, Logger } from '@tributary/runtime'
import type { BatchWriter } from '../batch-writer.ts'
import type { MqttInputConfig } from '../config.ts'
import { keepOpen } from '../keep-open.ts'
import { connectMqtt, type MqttConnection, type MqttTarget } from '../mqtt-connection.ts'
import type { Input, Intake } from './input.ts'
import { createInputState } from './input-state.ts'
import { createMessageReader } from './mqtt-payload.ts'
import { createPubackGate, type PubackGate } from './puback-gate.ts'
import { filterOf } from './topic-pattern.ts'

const UNACKNOWLEDGED_MESSAGES_MAX = 4_096
const UNACKNOWLEDGED_BYTES_MAX = 16 * 1024 * 1024
const BACKOFF: Backoff = { firstMs: 500, maxMs: 15_000 }
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
        })
      })
      connection = opened
      gate = own
      // The config may have changed since the session began; within this process it has not.
      if (!subscribed || !opened.sessionPresent) await subscribe(opened)
      subscribed = true
      state.opened(`connected to ${config.url}`)
      log.info({ filters, sessionPresent: opened.sessionPresent }, `connected to ${config.url}`)
      return await opened.ended
    } finally {
      state.ended()
      own?.close()
      opened?.destroy('closed')
      connection = undefined
      gate = undefined
    }
  }
  const subscribe = async ({ client, ended }: MqttConnection): Promise<void> => {
    const lost = ended.then((reason) => {
      throw new Error(reason)
    })
    await Promise.race([client.subscribeAsync(filters, { qos: 1 }), lost])
  }
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
