/** A device on MQTT: a real client that publishes with QoS 1 and keeps each sample until its PUBACK. */
import { messageOf } from '@tributary/runtime'
import { connect, type MqttClient } from 'mqtt'
import type { Sample } from './device-model.ts'
import { sampleObject } from './framing.ts'
import type { Link, LinkDependencies } from './link.ts'
import { createOutbox } from './outbox.ts'
import type { DeviceConfig } from './scenario.ts'

export const PUBLISHES_IN_FLIGHT_MAX = 16
export const SAMPLES_PER_MESSAGE_MAX = 100
/** Samples closer together than this travel together. */
export const PUBLISH_EVERY_MS = 100
const RECONNECT_MS = 500

type MqttConfig = NonNullable<DeviceConfig['mqtt']>

export function createMqttLink(
  mqtt: MqttConfig,
  brokerUrl: () => string,
  { model, faults, clock, log, lost }: LinkDependencies,
): Link {
  const { config, intervalMs } = model
  const outbox = createOutbox(mqtt.ring_samples, model.firstSequence)
  const topic = mqtt.topic.replaceAll('{device}', config.name).replaceAll('{kind}', model.deviceClass.kind)
  const samplesPerMessage = intervalMs >= PUBLISH_EVERY_MS || mqtt.payload === 'plain' ? 1 : SAMPLES_PER_MESSAGE_MAX
  const shape = { announce: 'kind', time: config.clock === 'own' } as const

  let client: MqttClient | undefined
  let inFlight = 0
  /** Callbacks of an earlier connection count no more. */
  let generation = 0
  let publishedAtMs = 0
  let highest = model.firstSequence - 1
  const counts = { sentSamples: 0, repeatedSamples: 0, damagedFrames: 0 }

  const plug = () => {
    generation++
    inFlight = 0
    // Without keep-alive: the broker makes a publish wait while nobody would get it, and with it the ping behind it.
    client = connect(brokerUrl(), {
      clientId: config.name,
      clean: true,
      keepalive: 0,
      reconnectPeriod: RECONNECT_MS,
      protocolVersion: 4,
    })
    client.on('error', (error) => log.warn({ device: config.name }, `MQTT: ${messageOf(error)}; trying again`))
  }
  const unplug = async () => {
    const ended = client?.endAsync(true)
    client = undefined
    generation++
    inFlight = 0
    outbox.sendAgain(clock.monotonicMs())
    await ended?.catch(() => undefined)
  }
  const messagesOf = (samples: readonly Sample[]): { topic: string; payload: string }[] => {
    if (mqtt.payload === 'plain')
      return samples.flatMap((sample) =>
        sample.fields.map((field, i) => ({
          topic: topic.replaceAll('{field}', field),
          payload: String(sample.values[i]),
        })),
      )
    const objects = samples.map((sample) => sampleObject(sample, shape))
    return [{ topic, payload: JSON.stringify(objects.length === 1 ? objects[0] : objects) }]
  }
  const publish = async (to: MqttClient, sequences: readonly number[], doubled: boolean) => {
    const mine = generation
    inFlight++
    for (const sequence of sequences) {
      counts.sentSamples++
      if (sequence > highest) highest = sequence
      else counts.repeatedSamples++
    }
    try {
      const once = messagesOf(sequences.map((sequence) => model.sample(sequence)))
      const messages = doubled ? [...once, ...once] : once
      if (doubled) {
        counts.sentSamples += sequences.length
        counts.repeatedSamples += sequences.length
      }
      await Promise.all(messages.map(({ topic, payload }) => to.publishAsync(topic, payload, { qos: 1 })))
      for (const sequence of sequences) outbox.acknowledge(sequence, sequence)
    } catch (error) {
      if (mine !== generation) return
      log.warn({ device: config.name }, `MQTT: ${messageOf(error)}; the samples are sent again`)
      outbox.sendAgain(clock.monotonicMs())
    } finally {
      if (mine === generation) inFlight--
    }
  }

  return {
    async start() {
      plug()
    },
    measured(sequence) {
      const dropped = outbox.push(sequence)
      if (dropped) lost(dropped.sequence, { reason: 'lost_at_device', cause: 'ring_full', sent: dropped.sent })
    },
    tick(elapsedMs) {
      const { silent, unplugged, doubled } = faults.stateAt(elapsedMs)
      if (unplugged && client) void unplug()
      if (!unplugged && !client) plug()
      if (silent || !client?.connected) return
      const nowMs = clock.monotonicMs()
      const full = outbox.waiting >= samplesPerMessage
      if (!full && samplesPerMessage > 1 && nowMs - publishedAtMs < PUBLISH_EVERY_MS) return
      while (inFlight < PUBLISHES_IN_FLIGHT_MAX) {
        const sequences = outbox.take(samplesPerMessage, nowMs)
        if (sequences.length === 0) break
        publishedAtMs = nowMs
        void publish(client, sequences, doubled)
      }
    },
    status: () => ({
      link: 'mqtt',
      address: topic,
      open: client?.connected ?? false,
      unacknowledgedSamples: outbox.unacknowledged,
      ...counts,
    }),
    remaining: () => outbox.remaining(),
    stop: unplug,
  }
}
