/**
 * Devices: messages to the broker at QoS 1, all at once or at a pace. Packets are written to the socket as they are, since devices are not what is
 * measured, and run on the same cores.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { systemClock } from '@tributary/runtime'
import type { Message } from './workload.ts'

const clock = systemClock
const UNACKNOWLEDGED_MAX = 1_000
const TICK_MS = 4
/** MQTT 3.1.1: CONNECT of a clean session without keep-alive, for the client `devices`; the answers CONNACK and PUBACK. */
const CONNECT = Buffer.from('\x10\x13\x00\x04MQTT\x04\x02\x00\x00\x00\x07devices', 'latin1')
const CONNACK = 0x20
const PUBACK = 0x40
const PUBLISH_QOS_1 = 0x32
const ANSWER_BYTES = 4
const PACKET_IDS = 65_535

export interface Publisher {
  /** Resolves when the broker has acknowledged each. */
  publishAll(messages: readonly Message[]): Promise<void>
  /**
   * Calls `measure` every `everyMs` for `durationMs` and publishes what it gives; a call that is late is made up for.
   * `dueMs` is the wall clock when the call was due.
   */
  publishPaced(
    options: { readonly everyMs: number; readonly durationMs: number },
    measure: (dueMs: number) => readonly Message[],
  ): Promise<void>
  close(): Promise<void>
}

export async function createPublisher(url: string): Promise<Publisher> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  let unacknowledged = 1
  let packetId = 0
  let failure: Error | undefined
  let wake: () => void = () => undefined
  let rest = Buffer.alloc(0)
  const fail = (error: Error) => {
    failure ??= error
    wake()
  }
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('the broker closed the connection of the devices')))
  socket.on('data', (chunk) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    let at = 0
    for (; at + ANSWER_BYTES <= bytes.length; at += ANSWER_BYTES) {
      const isAccepted = bytes[at] === CONNACK && bytes[at + 3] === 0
      if (bytes[at] !== PUBACK && !isAccepted)
        fail(new Error(`the broker answered ${bytes.toString('hex', at, at + 4)}`))
      unacknowledged -= 1
    }
    rest = bytes.subarray(at)
    wake()
  })
  const send = ({ topic, payload }: Message) => {
    packetId = (packetId % PACKET_IDS) + 1
    unacknowledged += 1
    socket.write(publishHeader(topic, packetId, payload.length))
    socket.write(payload)
  }
  const sendAll = (messages: readonly Message[]) => {
    socket.cork()
    for (const message of messages) send(message)
    socket.uncork()
  }
  const atMost = async (count: number) => {
    while (unacknowledged > count && !failure)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    if (failure) throw failure
  }
  await once(socket, 'connect')
  socket.write(CONNECT)
  await atMost(0)
  return {
    async publishAll(messages) {
      for (let from = 0; from < messages.length; ) {
        const to = Math.min(messages.length, from + UNACKNOWLEDGED_MAX - unacknowledged)
        sendAll(messages.slice(from, to))
        from = to
        await atMost(UNACKNOWLEDGED_MAX / 2)
      }
      await atMost(0)
    },
    async publishPaced({ everyMs, durationMs }, measure) {
      const startMs = clock.monotonicMs()
      const startWallMs = clock.wallMs()
      for (let i = 0; i * everyMs < durationMs; ) {
        for (; i * everyMs <= Math.min(clock.monotonicMs() - startMs, durationMs); i++)
          sendAll(measure(Math.round(startWallMs + i * everyMs)))
        await clock.sleep(TICK_MS)
      }
      await atMost(0)
    },
    async close() {
      socket.removeAllListeners('close')
      socket.end(Buffer.from([0xe0, 0]))
      await once(socket, 'close')
    },
  }
}

/** Everything of a PUBLISH before its payload. */
function publishHeader(topic: string, packetId: number, payloadBytes: number): Buffer {
  const topicBytes = Buffer.byteLength(topic)
  const header = Buffer.alloc(1 + 4 + 2 + topicBytes + 2)
  let at = header.writeUInt8(PUBLISH_QOS_1)
  for (let left = 2 + topicBytes + 2 + payloadBytes; ; left >>= 7) {
    at = header.writeUInt8((left & 0x7f) | (left > 0x7f ? 0x80 : 0), at)
    if (left <= 0x7f) break
  }
  at = header.writeUInt16BE(topicBytes, at)
  at += header.write(topic, at)
  return header.subarray(0, header.writeUInt16BE(packetId, at))
}
