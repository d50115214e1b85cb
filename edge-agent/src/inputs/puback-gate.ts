/**
 * PUBACK after the fsync, for many messages at once.
 *
 * MQTT.js hands packets over one after the other: the next one comes when `handleMessage` has called back, and calling back sends
 * the PUBACK. To call back only after the fsync would therefore take one message an fsync. But a callback *with an error* sends no
 * PUBACK and goes on to the next packet (`handlers/publish.js` of mqtt 5.16); so this gate calls back with an error at once, and
 * sends the PUBACK itself when the message is on disk.
 *
 * A message of QoS 2 comes although we subscribe at QoS 1 (aedes 1.2 does not lower it under a wildcard). MQTT.js would say PUBREC at
 * once; so the gate lets it pass as QoS 1 and says PUBREC after the fsync, where it would say PUBACK. The PUBREL that
 * follows finds nothing in MQTT.js's store and is answered with PUBCOMP.
 *
 * Guarantees:
 * - A message of QoS 1 or 2 is acknowledged only after `stored` was called for it, and only on the connection it came on: the gate
 *   lives and dies with one connection. A message id says nothing on another one.
 * - PUBACKs leave in the order of the messages, as [MQTT-4.6.0-2] asks.
 * - At most `messagesMax` messages and about `bytesMax` bytes wait for their PUBACK. Beyond that, and while `deliver` has no room,
 *   the callback is withheld: the socket is not read, and the broker keeps the rest. Meanwhile the gate pings for the
 *   client, which cannot see an answer to its own pings.
 */
import type { Clock } from '@tributary/runtime'
import type { IPublishPacket, MqttClient, Packet } from 'mqtt'

export interface PubackGateOptions {
  readonly clock: Clock
  readonly messagesMax: number
  readonly bytesMax: number
  readonly keepaliveMs: number
  /** @returns false when there is no room: it is called again after `whenRoom` */
  readonly deliver: (packet: IPublishPacket, stored: (() => void) | undefined) => boolean
  readonly whenRoom: (callback: () => void) => () => void
  /** So many messages wait for their PUBACK and no more come: the broker's window is used up. */
  readonly onStall: () => void
  /** As many wait for their PUBACK as may. */
  readonly onFull: () => void
}

export interface PubackGate {
  readonly unacknowledged: number
  /** Since when the socket is not being read, wall clock; undefined while it is. */
  readonly heldSinceMs: number | undefined
  /** The connection is gone, or goes: nothing is acknowledged, delivered or called back any more. */
  close(): void
}

type Answer = Extract<Packet, { cmd: 'puback' | 'pubrec' }>

/** Brokers keep so many messages in flight by default (mosquitto: 20), and send the next one only after a PUBACK. */
const STALL_MESSAGES_MIN = 16
const STALL_MS = 20

const LATER = new Error('acknowledged later, after the fsync')

/** Puts a gate before the messages of a client that has received none yet. */
export function createPubackGate(client: MqttClient, options: PubackGateOptions): PubackGate {
  const { clock, messagesMax, bytesMax, deliver, whenRoom, onStall, onFull } = options
  const waiting: { readonly answer: Answer; readonly bytes: number; stored: boolean }[] = []
  const exactlyOnce = new WeakSet<object>()
  let waitingBytes = 0
  let closed = false
  let heldSinceMs = 0
  let wasHeld = false
  let resume: (() => void) | undefined
  let cancelRoom: (() => void) | undefined
  let cancelPing: (() => void) | undefined
  let cancelStall: (() => void) | undefined
  let newestAtMs = 0

  const hold = (attempt: () => void) => {
    if (!wasHeld) heldSinceMs = clock.wallMs()
    wasHeld = true
    resume = attempt
    cancelPing ??= clock.after(options.keepaliveMs / 3, ping)
  }
  const ping = () => {
    cancelPing = undefined
    if (closed || !resume) return
    client.sendPing()
    client.reschedulePing(true)
    cancelPing = clock.after(options.keepaliveMs / 3, ping)
  }
  const goOn = () => {
    const attempt = resume
    resume = undefined
    attempt?.()
  }
  /** One timer for many messages: it looks when the newest of them came. */
  const watchForStall = () => {
    if (waiting.length < STALL_MESSAGES_MIN) return
    newestAtMs = clock.monotonicMs()
    cancelStall ??= clock.after(STALL_MS, lookForStall)
  }
  const lookForStall = () => {
    cancelStall = undefined
    if (closed || waiting.length === 0) return
    const leftMs = newestAtMs + STALL_MS - clock.monotonicMs()
    if (leftMs <= 0) onStall()
    else cancelStall = clock.after(leftMs, lookForStall)
  }
  const acknowledge = () => {
    if (closed || !client.connected) return
    while (waiting[0]?.stored) {
      const { answer, bytes } = waiting.shift() as (typeof waiting)[number]
      waitingBytes -= bytes
      client['_sendPacket'](answer)
    }
    if (resume && !cancelRoom && hasSpace()) goOn()
  }
  const hasSpace = () => waiting.length < messagesMax && waitingBytes < bytesMax
  const handle = (packet: IPublishPacket, callback: (error?: Error) => void) => {
    const attempt = () => {
      if (closed) return
      if (!hasSpace()) {
        hold(attempt)
        onFull()
        return
      }
      const { messageId } = packet
      const entry =
        packet.qos === 1 && messageId !== undefined
          ? {
              answer: { cmd: exactlyOnce.has(packet) ? ('pubrec' as const) : ('puback' as const), messageId },
              bytes: packet.payload.length + packet.topic.length,
              stored: false,
            }
          : undefined
      const stored =
        entry &&
        (() => {
          entry.stored = true
          acknowledge()
        })
      // Entered before it is delivered: what brings nothing new may be stored at once.
      if (entry) {
        waiting.push(entry)
        waitingBytes += entry.bytes
      }
      if (!deliver(packet, stored)) {
        if (entry) {
          waiting.pop()
          waitingBytes -= entry.bytes
        }
        hold(attempt)
        cancelRoom = whenRoom(() => {
          cancelRoom = undefined
          goOn()
        })
        return
      }
      wasHeld = false
      if (entry) watchForStall()
      callback(entry ? LATER : undefined)
    }
    attempt()
  }
  const lowerQos = (packet: Packet) => {
    if (packet.cmd !== 'publish' || packet.qos !== 2) return
    packet.qos = 1
    exactlyOnce.add(packet)
  }
  client.handleMessage = handle
  client.on('packetreceive', lowerQos)
  return {
    get unacknowledged() {
      return waiting.length
    },
    get heldSinceMs() {
      return resume && heldSinceMs
    },
    close() {
      closed = true
      resume = undefined
      cancelRoom?.()
      cancelPing?.()
      cancelStall?.()
    },
  }
}
