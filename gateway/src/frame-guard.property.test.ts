import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { createSimulatedClock } from '@tributary/runtime/testing'
import fc from 'fast-check'
import { generate, parser } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { createFrameGuard } from './frame-guard.ts'
import { createIngestBudget } from './ingest-budget.ts'

const CONNECT = generate({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clean: true,
  clientId: 'a',
  keepalive: 10,
})
const publish = (length: number, messageId: number) =>
  generate({
    cmd: 'publish',
    topic: 't',
    payload: Buffer.alloc(length, messageId),
    qos: 1,
    messageId,
    dup: false,
    retain: false,
  })
const PING = generate({ cmd: 'pingreq' })
const settle = async () => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** A guard over a wire of this test, with a reader that parses whatever passes, as a broker would. */
function guarded({ packetBytesMax = 2_000, inFlightMax = 3, budgetBytes = 1_000_000 } = {}) {
  const wire = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
  const refusals: string[] = []
  const clock = createSimulatedClock()
  const budget = createIngestBudget(budgetBytes)
  const guard = createFrameGuard(wire as unknown as Socket, {
    packetBytesMax,
    inFlightMax,
    stallMsMax: 30_000,
    budget,
    clock,
    refuse: (reason) => void refusals.push(reason),
  })
  const packets: string[] = []
  let bytesPassed = 0
  let unsettled = 0
  let mostUnsettled = 0
  const reader = parser()
  reader.on('packet', (packet) => {
    packets.push(packet.cmd === 'publish' ? `publish ${packet.messageId}` : packet.cmd)
    if (packet.cmd === 'publish') unsettled += 1
    mostUnsettled = Math.max(mostUnsettled, unsettled)
  })
  guard.stream.on('readable', () => {
    for (let chunk = guard.stream.read() as Buffer | null; chunk; chunk = guard.stream.read() as Buffer | null) {
      bytesPassed += chunk.length
      reader.parse(chunk)
    }
  })
  guard.stream.on('error', () => undefined)
  return {
    wire,
    guard,
    budget,
    clock,
    refusals,
    packets,
    settleOne: () => {
      unsettled -= 1
      guard.settled()
    },
    get bytesPassed() {
      return bytesPassed
    },
    get unsettled() {
      return unsettled
    },
    get mostUnsettled() {
      return mostUnsettled
    },
  }
}

test('however the bytes are cut, every packet passes, in order, and never more at once than may be in flight', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 400 }), fc.constant('ping' as const)), { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 4 }),
      async (contents, cuts, inFlightMax) => {
        const it = guarded({ inFlightMax })
        const frames = contents.map((content, i) => (content === 'ping' ? PING : publish(content, i + 1)))
        const bytes = Buffer.concat([CONNECT, ...frames])
        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const length = cuts[cut % cuts.length] as number
          it.wire.push(bytes.subarray(at, at + length))
          at += length
        }
        await settle()
        expect(it.packets).toEqual(['connect'])
        it.guard.open()
        for (let i = 0; i < contents.length + 1; i++) {
          await settle()
          if (it.unsettled > 0) it.settleOne()
        }
        await settle()
        expect(it.packets).toEqual([
          'connect',
          ...contents.map((content, i) => (content === 'ping' ? 'pingreq' : `publish ${i + 1}`)),
        ])
        expect(it.mostUnsettled).toBeLessThanOrEqual(inFlightMax)
        it.guard.end()
        await settle()
        expect(it.budget.bytesUsed).toBe(0)
      },
    ),
    { numRuns: 40 },
  )
})

test('a packet that announces too much ends the connection before a byte of its body passed', async () => {
  const it = guarded({ packetBytesMax: 2_000 })
  it.wire.push(CONNECT)
  it.guard.open()
  await settle()
  it.wire.push(Buffer.concat([Buffer.of(0x32, 0xff, 0xff, 0xff, 0x7f), Buffer.alloc(1_000)]))
  await settle()
  expect(it.refusals).toEqual(['packet_too_large'])
  expect(it.bytesPassed).toBeLessThanOrEqual(CONNECT.length + 4)
  expect(it.wire.destroyed).toBe(true)
})

test.each([
  ['something else than CONNECT', PING, 'bad_handshake'],
  ['a CONNECT of 5 KiB', Buffer.of(0x10, 0x80, 0x28), 'bad_handshake'],
])('a stranger who begins with %s is sent away', async (_what, bytes, reason) => {
  const it = guarded()
  it.wire.push(bytes)
  await settle()
  expect(it.refusals).toEqual([reason])
})

test('a length without an end is refused', async () => {
  const it = guarded()
  it.wire.push(CONNECT)
  it.guard.open()
  it.wire.push(Buffer.of(0x32, 0xff, 0xff, 0xff, 0xff, 0x01))
  await settle()
  expect(it.refusals).toEqual(['malformed_packet'])
})

test('a packet that stops half-way ends the connection after a while; a slow one that moves does not', async () => {
  const it = guarded()
  it.wire.push(CONNECT)
  it.guard.open()
  const slow = publish(100, 1)
  for (let i = 0; i < 100; i += 20) {
    it.wire.push(slow.subarray(i, i + 20))
    await it.clock.advance(25_000)
  }
  it.wire.push(slow.subarray(100))
  await it.clock.advance(25_000)
  expect(it.packets).toEqual(['connect', 'publish 1'])
  expect(it.refusals).toEqual([])
  it.wire.push(slow.subarray(0, 50))
  await it.clock.advance(61_000)
  expect(it.refusals).toEqual(['stalled_packet'])
})

test('all clients together stay under the budget, and whoever waits goes on when there is room', async () => {
  const budget = createIngestBudget(250)
  let called = 0
  const onRoom = () => {
    called += 1
  }
  expect(budget.take(200, onRoom)).toBe(true)
  expect(budget.take(100, onRoom)).toBe(false)
  expect(budget.bytesUsed).toBe(200)
  budget.give(200)
  expect(called).toBe(1)
  expect(budget.take(9_999, onRoom), 'one packet alone always passes').toBe(true)
})
