import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { findServer } from '@tributary/stack'
import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort, startBroker, temporaryFolder, until } from '../testing.ts'
import { createPubackGate, type PubackGate } from './puback-gate.ts'

const cleanUps: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function startMosquitto(): Promise<number> {
  const { path, environment } = await findServer('mosquitto')
  const port = await freePort()
  const config = join(temporaryFolder(), 'mosquitto.conf')
  writeFileSync(config, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n`)
  const child: ChildProcess = spawn(path, ['-c', config], { env: { ...process.env, ...environment }, stdio: 'ignore' })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  cleanUps.push(async () => {
    child.kill()
    await exited
  })
  await until('mosquitto listens', async () => {
    const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, connectTimeout: 1_000 })
    const up = await new Promise<boolean>((resolve) => {
      client.once('connect', () => resolve(true))
      client.once('error', () => resolve(false))
    })
    await client.endAsync(true)
    return up
  })
  return port
}

const startAedes = async (): Promise<number> => {
  const { port, stop } = await startBroker()
  cleanUps.push(stop)
  return port
}

interface Subscriber {
  readonly client: MqttClient
  readonly gate: PubackGate
  /** Payloads as they were delivered, and what to call when each is on disk. */
  readonly delivered: { text: string; stored: (() => void) | undefined }[]
  /** Message ids in the order of their PUBACKs. */
  readonly pubacks: number[]
  readonly ids: number[]
  room: boolean
  readonly onRoom: (() => void)[]
  stalls: number
  /** How often as many waited as may. */
  fulls: number
}

async function subscribe(port: number, limits: { messagesMax?: number; bytesMax?: number } = {}): Promise<Subscriber> {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    clientId: 'gate-test',
    clean: false,
    reconnectPeriod: 0,
    keepalive: 1,
  })
  client.on('error', () => undefined)
  const subscriber: Omit<Subscriber, 'gate'> & { gate?: PubackGate } = {
    client,
    delivered: [],
    pubacks: [],
    ids: [],
    room: true,
    onRoom: [],
    stalls: 0,
    fulls: 0,
  }
  const gate = createPubackGate(client, {
    clock: systemClock,
    messagesMax: limits.messagesMax ?? 4_096,
    bytesMax: limits.bytesMax ?? 2 ** 24,
    keepaliveMs: 1_000,
    deliver: (packet: IPublishPacket, stored) => {
      if (!subscriber.room) return false
      subscriber.delivered.push({ text: packet.payload.toString(), stored })
      if (packet.messageId !== undefined) subscriber.ids.push(packet.messageId)
      return true
    },
    whenRoom: (callback) => {
      subscriber.onRoom.push(callback)
      return () => undefined
    },
    onFull: () => {
      subscriber.fulls++
    },
    onStall: () => {
      subscriber.stalls++
    },
  })
  client.on('packetsend', (packet) => {
    if ((packet.cmd === 'puback' || packet.cmd === 'pubrec') && packet.messageId !== undefined)
      subscriber.pubacks.push(packet.messageId)
  })
  cleanUps.push(() => client.endAsync(true))
  await new Promise((resolve) => client.once('connect', resolve))
  if (!client.options.reconnectPeriod) await client.subscribeAsync('t/#', { qos: 1 })
  return Object.assign(subscriber, { gate }) as Subscriber
}

async function publish(port: number, texts: readonly string[], qos: 0 | 1 | 2 = 1): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`)
  await Promise.all(texts.map((text) => client.publishAsync('t/x', text, { qos })))
  await client.endAsync()
}
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => String(from + i))
/** As a process that is killed leaves it. */
const kill = async ({ client, gate }: Subscriber) => {
  client.stream.destroy()
  gate.close()
  await client.endAsync(true)
}

describe.each([
  ['aedes', startAedes],
  ['mosquitto', startMosquitto],
])('with %s', (name, start) => {
  let port = 0
  beforeEach(async () => {
    port = await start()
  })

  test('many messages come before the first is acknowledged; PUBACKs go out in order once all before are stored', async () => {
    const subscriber = await subscribe(port)
    const publishing = publish(port, numbers(20))
    await until('twenty delivered', () => subscriber.delivered.length === 20)
    await publishing
    expect(subscriber.pubacks).toEqual([])
    expect(subscriber.gate.unacknowledged).toBe(20)
    // Stored out of order: nothing may overtake.
    for (const { stored } of subscriber.delivered.slice(1).reverse()) stored?.()
    expect(subscriber.pubacks).toEqual([])
    subscriber.delivered[0]?.stored?.()
    expect(subscriber.pubacks).toEqual(subscriber.ids)
    expect(subscriber.gate.unacknowledged).toBe(0)
  })

  test('what was not acknowledged when the receiver died comes again, and an old message is not acknowledged on the new connection', async () => {
    const first = await subscribe(port)
    await publish(port, numbers(20))
    await until('twenty delivered', () => first.delivered.length === 20)
    for (const { stored } of first.delivered.slice(0, 5)) stored?.()
    await until('five acknowledged', () => first.pubacks.length === 5)
    // The broker has read them once it answers a ping.
    await first.client.publishAsync('other', 'x', { qos: 1 })
    await kill(first)

    const second = await subscribe(port)
    await until('the rest comes again', () => second.delivered.length >= 15)
    for (const { stored } of first.delivered) stored?.()
    expect(second.pubacks).toEqual([])
    expect(second.delivered.map(({ text }) => text)).toEqual(numbers(15, 5))
    for (const { stored } of second.delivered) stored?.()
    await second.client.publishAsync('other', 'x', { qos: 1 })
    await kill(second)

    const third = await subscribe(port)
    await publish(port, ['last'])
    await until('a new message', () => third.delivered.length > 0)
    expect(third.delivered.map(({ text }) => text)).toEqual(['last'])
  })

  test('no more than the limit wait; the connection stays alive while the socket is not read', async () => {
    const subscriber = await subscribe(port, { messagesMax: 10 })
    let closed = false
    subscriber.client.once('close', () => {
      closed = true
    })
    await publish(port, numbers(40))
    await until('ten delivered', () => subscriber.delivered.length === 10)
    expect(subscriber.gate.heldSinceMs).toBeTypeOf('number')
    expect(subscriber.fulls).toBe(1)
    // Longer than keepalive and a half: the broker would have dropped a client that does not ping.
    await systemClock.sleep(2_500)
    expect(closed).toBe(false)
    expect(subscriber.delivered).toHaveLength(10)
    for (let at = 0; at < 40; at++) {
      await until(`message ${at}`, () => subscriber.delivered.length > at)
      subscriber.delivered[at]?.stored?.()
      expect(subscriber.gate.unacknowledged).toBeLessThanOrEqual(10)
    }
    expect(subscriber.delivered.map(({ text }) => text)).toEqual(numbers(40))
    expect(subscriber.gate.heldSinceMs).toBeUndefined()
  })

  test('bytes are limited too', async () => {
    const subscriber = await subscribe(port, { bytesMax: 10_000 })
    await publish(
      port,
      numbers(10).map((text) => text.padEnd(3_000, '.')),
    )
    await until('four delivered', () => subscriber.delivered.length === 4)
    await systemClock.sleep(100)
    expect(subscriber.delivered).toHaveLength(4)
  })

  test('without room the message waits, is delivered once there is, and is not doubled', async () => {
    const subscriber = await subscribe(port)
    subscriber.room = false
    await publish(port, numbers(3))
    await until('asked for room', () => subscriber.onRoom.length === 1)
    expect(subscriber.delivered).toEqual([])
    expect(subscriber.gate.unacknowledged).toBe(0)
    subscriber.room = true
    subscriber.onRoom[0]?.()
    await until('all delivered', () => subscriber.delivered.length === 3)
    expect(subscriber.delivered.map(({ text }) => text)).toEqual(numbers(3))
  })

  test('QoS 0 needs no acknowledgement; QoS 2 is acknowledged after the fsync too, and does not come again', async () => {
    const subscriber = await subscribe(port)
    await publish(port, ['zero'], 0)
    const publishing = publish(port, numbers(8), 2)
    await until('all', () => subscriber.delivered.length === 9)
    await publishing
    expect(subscriber.delivered.map(({ stored }) => stored !== undefined)).toEqual([false, ...Array(8).fill(true)])
    expect(subscriber.pubacks).toEqual([])
    await kill(subscriber)

    const second = await subscribe(port)
    await until('again, since nothing was acknowledged', () => second.delivered.length >= 8)
    expect(second.delivered.map(({ text }) => text)).toEqual(numbers(8))
    for (const { stored } of second.delivered) stored?.()
    expect(second.pubacks).toEqual(second.ids)
    await second.client.publishAsync('other', 'x', { qos: 1 })
    await systemClock.sleep(100)
    await kill(second)

    const third = await subscribe(port)
    await publish(port, ['last'], 2)
    await until('a new message', () => third.delivered.length > 0)
    expect(third.delivered.map(({ text }) => text)).toEqual(['last'])
  })

  test('a window that is used up is told', async () => {
    const subscriber = await subscribe(port)
    await publish(port, numbers(5))
    await until('five delivered', () => subscriber.delivered.length === 5)
    await systemClock.sleep(60)
    expect(subscriber.stalls).toBe(0)
    await publish(port, numbers(40))
    await until('a stall is told', () => subscriber.stalls > 0)
    // mosquitto's default window.
    if (name === 'mosquitto') expect(subscriber.delivered).toHaveLength(20)
  })
})
