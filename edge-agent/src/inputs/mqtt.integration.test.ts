import { type AddressInfo, createConnection, createServer } from 'node:net'
import { systemClock } from '@tributary/runtime'
import mqtt, { type MqttClient } from 'mqtt'
import { afterEach, describe, expect, test } from 'vitest'
import {
  bySequence,
  startAgent,
  startBroker,
  startGateway,
  type TestAgent,
  type TestGateway,
  temporaryFolder,
  until,
} from '../testing.ts'

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

const TOPICS = [
  { pattern: 'sensors/{device}/sample', kind: 'climate' },
  { pattern: 'plc/{device}/{field}', kind: 'power', payload: 'number' },
]

async function start(
  port: number,
  more: Record<string, unknown> = {},
): Promise<{ agent: TestAgent; gateway: TestGateway; restart(): Promise<TestAgent> }> {
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const settings = {
    folder: temporaryFolder(),
    gatewayPort: gateway.port,
    inputs: [{ name: 'workshop', type: 'mqtt', url: `mqtt://127.0.0.1:${port}`, topics: TOPICS, ...more }],
  }
  const open = async () => {
    const agent = await startAgent(settings)
    cleanUps.push(() => agent.stop())
    return agent
  }
  return { agent: await open(), gateway, restart: open }
}
async function connect(port: number): Promise<MqttClient> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`)
  cleanUps.push(() => client.endAsync(true))
  return client
}
const isOpen = (agent: TestAgent) => until('connected', async () => (await agent.status()).inputs[0]?.state === 'open')
const sampleOf = (i: number) => JSON.stringify({ sequence: i, temperature_c: i / 3 })
const found = (gateway: TestGateway) => bySequence(gateway.batches, 'probe-1', 'temperature_c')

describe('with aedes', () => {
  test('JSON and plain numbers become samples of the device and kind that the topic tells', async () => {
    const { port, stop } = await startBroker()
    cleanUps.push(stop)
    const { agent, gateway } = await start(port)
    await isOpen(agent)
    const client = await connect(port)
    for (let i = 0; i < 500; i++) client.publish('sensors/probe-1/sample', sampleOf(i), { qos: 1 })
    await client.publishAsync('plc/meter-1/voltage_v', '230.4', { qos: 1 })
    await until(
      'all there',
      () =>
        found(gateway).size === 500 &&
        gateway.batches.some(({ blocks }) => blocks.some(({ device }) => device === 'meter-1')),
    )
    for (const [sequence, { value, count }] of found(gateway)) expect([value, count]).toEqual([sequence / 3, 1])
    const meter = gateway.batches.flatMap(({ blocks }) => blocks).find(({ device }) => device === 'meter-1')
    expect(meter).toMatchObject({
      kind: 'power',
      columns: [{ field: 'voltage_v', type: 'number', values: new Float64Array([230.4]) }],
    })
    expect((await agent.status()).inputs[0]).toMatchObject({ type: 'mqtt', samples: 501, readings: 1_001 })
  })

  test('bad payloads and topics become dead letters and are acknowledged: they do not come again', async () => {
    const { port, stop } = await startBroker()
    cleanUps.push(stop)
    const { agent, gateway, restart } = await start(port)
    await isOpen(agent)
    const client = await connect(port)
    for (const [topic, payload] of [
      ['sensors/probe-1/sample', '{bad'],
      ['sensors/probe-1/sample', '{"a":[1]}'],
      ['sensors/Probe 1/sample', '{"a":1}'],
      ['plc/meter-1/voltage_v', 'high'],
    ] as const)
      await client.publishAsync(topic, payload, { qos: 1 })
    await client.publishAsync('sensors/probe-1/sample', sampleOf(1), { qos: 1 })
    await until('the good one', () => found(gateway).has(1))
    expect(gateway.batches.flatMap(({ deadLetters }) => deadLetters.map(({ reason }) => reason)).sort()).toEqual([
      'bad_device',
      'nested_value',
      'not_a_number',
      'not_json',
    ])
    await agent.stop()
    const second = await restart()
    await isOpen(second)
    await client.publishAsync('sensors/probe-1/sample', sampleOf(2), { qos: 1 })
    await until('the next one', () => found(gateway).has(2))
    expect(await second.status()).toMatchObject({ deadLetters: 0, repeatedSamples: 0 })
  })

  test('the broker goes away and comes back: what is published afterwards arrives', async () => {
    const first = await startBroker()
    const { agent, gateway } = await start(first.port)
    await isOpen(agent)
    await first.stop()
    await until('noticed', async () => (await agent.status()).inputs[0]?.state === 'down')
    const second = await startBroker(first.port)
    cleanUps.push(second.stop)
    await isOpen(agent)
    const client = await connect(second.port)
    await client.publishAsync('sensors/probe-1/sample', sampleOf(1), { qos: 1 })
    await until('there', () => found(gateway).has(1))
  })

  test('what is published while the agent is stopped is kept by the broker, and comes', async () => {
    const { port, stop } = await startBroker()
    cleanUps.push(stop)
    const { agent, gateway, restart } = await start(port)
    await isOpen(agent)
    await agent.stop()
    const client = await connect(port)
    for (let i = 0; i < 50; i++) await client.publishAsync('sensors/probe-1/sample', sampleOf(i), { qos: 1 })
    await isOpen(await restart())
    await until('all there', () => found(gateway).size === 50)
    expect([...found(gateway).values()].every(({ count }) => count === 1)).toBe(true)
  })

  test('wrong credentials are said with what to do', async () => {
    const { port, broker, stop } = await startBroker()
    cleanUps.push(stop)
    broker.authenticate = (_client, _username, _password, done) =>
      done(Object.assign(new Error('no'), { returnCode: 5 }) as Parameters<typeof done>[0], false)
    const { agent } = await start(port, { username: 'someone', password: 'wrong' })
    await until(
      'said',
      async () => (await agent.status()).inputs[0]?.detail.includes('refuses the credentials of "someone"') ?? false,
    )
    expect(agent.log.find(({ msg }) => String(msg).includes('refuses the credentials'))).toMatchObject({
      level: 'warn',
      hint: expect.stringContaining('password'),
    })
    await systemClock.sleep(50)
  })

  test('one subscription is refused: the rest is read, and what is refused is said', async () => {
    const { port, broker, stop } = await startBroker()
    cleanUps.push(stop)
    broker.authorizeSubscribe = (_client, subscription, done) =>
      done(null, subscription.topic.startsWith('plc/') ? null : subscription)
    const { agent, gateway } = await start(port, { username: 'reader' })
    await isOpen(agent)
    expect((await agent.status()).inputs[0]?.detail).toContain('it refuses the subscription to plc/+/+')
    expect(agent.log.find(({ msg }) => msg === 'the broker refuses a subscription')).toMatchObject({
      refused: ['plc/+/+'],
      hint: expect.stringContaining('"reader"'),
    })
    const client = await connect(port)
    await client.publishAsync('sensors/probe-1/sample', sampleOf(1), { qos: 1 })
    await until('there', () => found(gateway).has(1))
  })

  test('every subscription is refused: down, said once with what to do, and not tried again at once', async () => {
    const { port, broker, stop } = await startBroker()
    cleanUps.push(stop)
    let connections = 0
    broker.on('client', () => {
      connections++
    })
    broker.authorizeSubscribe = (_client, _subscription, done) => done(null, null)
    const { agent } = await start(port)
    await until('down', async () => (await agent.status()).inputs[0]?.state === 'down')
    expect((await agent.status()).inputs[0]?.detail).toContain('refuses the subscription to sensors/+/sample, plc/+/+')
    await systemClock.sleep(2_000)
    expect(connections).toBe(1)
    expect(agent.log.filter(({ msg }) => String(msg).includes('refuses the subscription'))).toHaveLength(1)
  })

  test('the link goes silent: noticed within one and a half times keepalive, and what was published meanwhile comes, once', async () => {
    const { port, stop } = await startBroker()
    cleanUps.push(stop)
    const relay = await startRelay(port)
    cleanUps.push(relay.stop)
    const { agent, gateway } = await start(relay.port, { keepalive: '2s' })
    await isOpen(agent)
    const client = await connect(port)
    const publish = async (from: number, to: number) => {
      for (let i = from; i < to; i++) await client.publishAsync('sensors/probe-1/sample', sampleOf(i), { qos: 1 })
    }
    await publish(0, 20)
    await until('the first', () => found(gateway).size === 20)
    relay.freeze()
    const frozenAtMs = systemClock.monotonicMs()
    await publish(20, 60)
    await until('noticed', async () => (await agent.status()).inputs[0]?.state !== 'open')
    const noticedAfterMs = systemClock.monotonicMs() - frozenAtMs
    await until('all there', () => found(gateway).size === 60)
    console.info(`noticed after ${Math.round(noticedAfterMs)} ms at a keepalive of 2000 ms`)
    expect(noticedAfterMs).toBeLessThan(3_000 + 1_000)
    expect([...found(gateway).values()].every(({ count }) => count === 1)).toBe(true)
  })

  test('another client takes the session: said with the id, and no war of reconnecting', async () => {
    const { port, broker, stop } = await startBroker()
    cleanUps.push(stop)
    let connections = 0
    broker.on('client', (client) => {
      if (client.id === 'twin') connections++
    })
    const { agent } = await start(port, { client_id: 'twin' })
    await isOpen(agent)
    const rival = mqtt.connect(`mqtt://127.0.0.1:${port}`, { clientId: 'twin', clean: false, reconnectPeriod: 100 })
    rival.on('error', () => undefined)
    cleanUps.push(() => rival.endAsync(true))
    await until('said', async () => (await agent.status()).inputs[0]?.state === 'down', 60_000)
    expect((await agent.status()).inputs[0]?.detail).toContain('closed the connection 3 times')
    expect(agent.log.find(({ msg }) => String(msg).includes('closed the connection 3 times'))).toMatchObject({
      hint: expect.stringContaining('another client with the id "twin"'),
    })
    await until('the rival is in', () => rival.connected)
    const before = connections
    await systemClock.sleep(4_000)
    expect(connections).toBe(before)
    expect(rival.connected).toBe(true)
  })

  test('payloads that are binary, too large or empty become dead letters and are acknowledged', async () => {
    const { port, stop } = await startBroker()
    cleanUps.push(stop)
    const { agent, gateway } = await start(port)
    await isOpen(agent)
    const client = await connect(port)
    for (const payload of [
      Buffer.from([0, 0xff, 0x80, 0xc3]),
      Buffer.alloc(300 * 1024, 0x20),
      Buffer.alloc(0),
      Buffer.from('{"temperature_c":12345678901234567890}'),
      Buffer.from(sampleOf(1)),
    ])
      await client.publishAsync('sensors/probe-1/sample', payload, { qos: 1 })
    await until('the good one', () => found(gateway).has(1))
    const letters = gateway.batches.flatMap(({ deadLetters }) => deadLetters)
    expect(letters.map(({ reason }) => reason)).toEqual([
      'not_utf8',
      'payload_too_large',
      'not_json',
      'integer_too_large',
    ])
    expect(letters[1]).toMatchObject({ originalBytes: 300 * 1024 })
  })
})

/** Passes everything on, until it is frozen: connections stay open and nothing comes through. New ones are not frozen. */
async function startRelay(to: number): Promise<{ port: number; freeze(): void; stop(): Promise<void> }> {
  const links: { isFrozen: boolean; destroy(): void }[] = []
  const server = createServer((socket) => {
    const other = createConnection(to, '127.0.0.1')
    const link = {
      isFrozen: false,
      destroy: () => {
        socket.destroy()
        other.destroy()
      },
    }
    links.push(link)
    for (const [from, into] of [
      [socket, other],
      [other, socket],
    ] as const) {
      from.on('error', () => undefined)
      from.on('data', (bytes) => link.isFrozen || into.write(bytes))
      from.on('close', () => link.isFrozen || into.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    freeze: () => {
      for (const link of links) link.isFrozen = true
    },
    stop: () =>
      new Promise((resolve) => {
        for (const link of links) link.destroy()
        server.close(() => resolve())
      }),
  }
}
