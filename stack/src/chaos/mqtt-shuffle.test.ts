import { describe, expect, test } from 'vitest'
import { createPacketSplitter, createShuffle } from './mqtt-shuffle.ts'
import { createRandom } from './random.ts'

/** A PUBLISH with QoS 1. */
function publish(identifier: number, payload: string): Buffer {
  const topic = 'tributary/v1/agent-1/batch'
  const body = Buffer.concat([Buffer.alloc(2), Buffer.from(topic), Buffer.alloc(2), Buffer.from(payload)])
  body.writeUInt16BE(topic.length, 0)
  body.writeUInt16BE(identifier, 2 + topic.length)
  const length: number[] = []
  for (let rest = body.length; length.length === 0 || rest > 0; rest >>>= 7)
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
  return Buffer.concat([Buffer.from([0x32, ...length]), body])
}
const puback = (identifier: number) => Buffer.from([0x40, 2, identifier >> 8, identifier & 0xff])
const PING = Buffer.from([0xc0, 0])

function connection(seed = 1) {
  const timers: (() => void)[] = []
  const clock = {
    wallMs: () => 0,
    monotonicMs: () => 0,
    sleep: async () => undefined,
    after: (_: number, callback: () => void) => {
      timers.push(callback)
      return () => void timers.splice(timers.indexOf(callback), 1)
    },
  }
  const shuffle = createShuffle(createRandom(seed), clock)
  const toServer: Buffer[] = []
  const toClient: Buffer[] = []
  const filter = shuffle.makeFilter({ toServer: (b) => toServer.push(b), toClient: (b) => toClient.push(b) })
  return { shuffle, filter, toServer, toClient, tick: () => timers.splice(0).map((callback) => callback()) }
}
const idOf = (packet: Buffer) => packet.readUInt16BE(packet.indexOf('/batch') + 6)

describe('MQTT packets', () => {
  test('are cut from any chunks, large ones too', () => {
    const packets = [publish(1, 'a'.repeat(20_000)), PING, publish(2, 'b'), puback(7)]
    const stream = Buffer.concat(packets)
    for (const size of [1, 3, 1_000, stream.length]) {
      const split = createPacketSplitter()
      const found: Buffer[] = []
      for (let at = 0; at < stream.length; at += size) found.push(...split(stream.subarray(at, at + size)))
      expect(found).toEqual(packets)
    }
  })
})

describe('a link that repeats and shuffles', () => {
  test('off: everything passes as it came', () => {
    const { filter, toServer, toClient } = connection()
    filter.fromClient(publish(1, 'one'))
    filter.fromClient(PING)
    filter.fromServer(puback(1))
    expect(toServer).toEqual([publish(1, 'one'), PING])
    expect(toClient).toEqual([puback(1)])
  })

  test('repeat: copies carry identifiers of their own, and the client never sees their PUBACKs', () => {
    const { shuffle, filter, toServer, toClient } = connection()
    shuffle.set('repeat')
    for (let i = 1; i <= 5; i++) filter.fromClient(publish(i, `batch ${i}`))
    expect(toServer).toHaveLength(20)
    expect(shuffle.counts.repeated).toBe(15)
    const ids = toServer.map(idOf)
    expect(new Set(ids).size).toBe(20)
    for (const id of ids) filter.fromServer(puback(id))
    expect(toClient).toEqual([1, 2, 3, 4, 5].map(puback))
    const copies = toServer.filter((packet) => idOf(packet) > 100)
    expect(copies.every((packet) => ((packet[0] as number) & 0x08) !== 0)).toBe(true)
    expect(copies.every((packet) => /batch [1-5]$/.test(packet.toString()))).toBe(true)
  })

  test('reorder: held back, then sent in another order, each once; pings pass meanwhile', () => {
    const { shuffle, filter, toServer, tick } = connection()
    shuffle.set('reorder')
    for (let i = 1; i <= 8; i++) filter.fromClient(publish(i, `${i}`))
    filter.fromClient(PING)
    expect(toServer).toEqual([PING])
    tick()
    const order = toServer.slice(1).map(idOf)
    expect(order).not.toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect([...order].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    filter.fromClient(publish(9, '9'))
    shuffle.set('off')
    expect(idOf(toServer.at(-1) as Buffer)).toBe(9)
  })
})
