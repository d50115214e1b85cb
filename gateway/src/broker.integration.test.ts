import { randomBytes } from 'node:crypto'
import { connect as connectSocket, type Socket } from 'node:net'
import { mqttTopic } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import type { MqttClient } from 'mqtt'
import { generate } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  connectAgent,
  makeBatch,
  PASSWORD,
  publishBatch,
  startGateway,
  temporaryFolder,
  until,
  writeCredentials,
} from './testing.ts'

// NATS is not needed here, and not there: nothing listens on this port.
const NO_NATS = 'nats://127.0.0.1:1'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let gateway: Awaited<ReturnType<typeof startGateway>>
let port: number
beforeAll(async () => {
  folder = await temporaryFolder()
  gateway = await startGateway({
    folder: folder.path,
    natsUrl: NO_NATS,
    sections: { mqtt: { clients_max: 4 } },
    agents: ['agent-1', 'agent-2', 'agent-3', 'agent-4', 'agent-5', 'gw-1'],
  })
  port = gateway.mqttPort
})
afterAll(async () => {
  await gateway?.end()
  await folder?.remove()
})

const refused = (reason: string) => gateway.status().refused[reason] ?? 0
const closed = (client: MqttClient) => new Promise<void>((resolve) => client.once('close', () => resolve()))
const account = (agent: string) => gateway.status().agents.find((one) => one.agent === agent)
/** The gateway goes on as if nothing had happened. */
async function worksStill(agent: string, sequence: number): Promise<void> {
  const client = await connectAgent(port, agent)
  await publishBatch(client, agent, makeBatch(agent, sequence))
  await client.endAsync()
}
async function rawConnection(agent: string): Promise<Socket> {
  const socket = connectSocket(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write(
    generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: 'raw',
      keepalive: 30,
      username: agent,
      password: Buffer.from(PASSWORD),
    }),
  )
  await new Promise<void>((resolve) => socket.once('data', () => resolve()))
  return socket
}
const ended = (socket: Socket) =>
  new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())))
const publishPacket = (agent: string, sequence: number, messageId: number) =>
  generate({
    cmd: 'publish',
    topic: mqttTopic(agent, 'batch'),
    payload: makeBatch(agent, sequence),
    qos: 1,
    messageId,
    dup: false,
    retain: false,
  })

describe('who may come in', () => {
  test.each([
    ['a wrong password', { password: 'wrong' }, /Not authorized|Bad username or password/i],
    ['no password', { password: undefined }, /Not authorized|Bad username or password/i],
    ['an unknown name', { username: 'nobody' }, /Not authorized|Bad username or password/i],
    ["the gateway's own name", { username: 'gw-1' }, /Not authorized/i],
  ])('%s is refused, counted, and harms nobody', async (_what, options, message) => {
    const before = refused('bad_credentials')
    await expect(connectAgent(port, 'agent-1', options)).rejects.toThrow(message)
    expect(refused('bad_credentials')).toBe(before + 1)
  })

  test('a will message is refused', async () => {
    await expect(connectAgent(port, 'agent-1', { will: { topic: 't', payload: 'gone' } })).rejects.toThrow()
    expect(refused('not_supported')).toBe(1)
  })

  test('more agents than allowed are refused until one leaves', async () => {
    const clients = await Promise.all(
      ['agent-1', 'agent-2', 'agent-3', 'agent-4'].map((agent) => connectAgent(port, agent)),
    )
    await expect(connectAgent(port, 'agent-5')).rejects.toThrow(/unavailable/i)
    expect(refused('too_many_clients')).toBe(1)
    await clients[0]?.endAsync()
    await until(
      'one has left',
      () => !account('agent-1')?.connected && gateway.status().agents.filter(({ connected }) => connected).length < 5,
    )
    await systemClock.sleep(50)
    await (await connectAgent(port, 'agent-5')).endAsync()
    for (const client of clients) await client.endAsync()
  })

  test('a second connection of an agent takes over, whatever its client identifier', async () => {
    const first = await connectAgent(port, 'agent-1', { clientId: 'first' })
    const gone = closed(first)
    const second = await connectAgent(port, 'agent-1', { clientId: 'second' })
    await gone
    await publishBatch(second, 'agent-1', makeBatch('agent-1', 1))
    expect(account('agent-1')?.connected).toBe(true)
    await second.endAsync()
    await until('it left', () => account('agent-1')?.connected === false)
  })

  test('an agent whose line goes is disconnected', async () => {
    const client = await connectAgent(port, 'agent-3')
    const gone = closed(client)
    await writeCredentials(folder.path, ['agent-1', 'agent-2', 'agent-4', 'agent-5', 'gw-1'])
    await gateway.reload()
    await gone
    await expect(connectAgent(port, 'agent-3')).rejects.toThrow()
  })
})

describe('what may be said', () => {
  test.each([
    ["another agent's topic", mqttTopic('agent-2', 'batch'), 1, false, 'foreign_topic'],
    ['a topic that is none of ours', 'a/b', 1, false, 'foreign_topic'],
    ['a batch with QoS 0', mqttTopic('agent-1', 'batch'), 0, false, 'not_supported'],
    ['a batch to be retained', mqttTopic('agent-1', 'batch'), 1, true, 'not_supported'],
  ] as const)('publishing %s ends the connection without a PUBACK', async (_what, topic, qos, retain, reason) => {
    const before = refused(reason)
    const client = await connectAgent(port, 'agent-1')
    const gone = closed(client)
    const published = client.publishAsync(topic, makeBatch('agent-1', 50), { qos, retain })
    published.catch(() => undefined)
    await gone
    expect(refused(reason)).toBe(before + 1)
    if (qos > 0)
      expect(
        await Promise.race([
          published.then(
            () => 'acknowledged',
            () => 'failed',
          ),
          systemClock.sleep(50).then(() => 'nothing'),
        ]),
      ).not.toBe('acknowledged')
    client.end(true)
  })

  test('subscribing to what is not meant for it ends the connection', async () => {
    const before = refused('foreign_topic')
    const client = await connectAgent(port, 'agent-1')
    const gone = closed(client)
    client.subscribeAsync('tributary/v1/#').catch(() => undefined)
    await gone
    expect(refused('foreign_topic')).toBe(before + 1)
    client.end(true)
  })

  test('it may subscribe to what is', async () => {
    const client = await connectAgent(port, 'agent-1')
    expect(await client.subscribeAsync(mqttTopic('agent-1', 'stored'), { qos: 1 })).toMatchObject([{ qos: 1 }])
    await client.endAsync()
  })

  test('a batch of another agent is refused: it stays with whoever sent it', async () => {
    const client = await connectAgent(port, 'agent-1')
    const gone = closed(client)
    publishBatch(client, 'agent-1', makeBatch('agent-2', 1)).catch(() => undefined)
    await gone
    expect(refused('foreign_agent')).toBe(1)
    client.end(true)
  })
})

describe('what is not MQTT', () => {
  test('a packet of 200 MB is refused when it is announced', async () => {
    const socket = await rawConnection('agent-1')
    socket.write(Buffer.of(0x32, 0x80, 0x84, 0xaf, 0x5f))
    socket.write(Buffer.alloc(64 * 1024))
    await ended(socket)
    expect(refused('packet_too_large')).toBe(1)
    await worksStill('agent-1', 2)
  })

  test('random and mutated bytes end their own connection alone', async () => {
    const bystander = await connectAgent(port, 'agent-2')
    let sequence = 100
    for (let round = 0; round < 60; round++) {
      const socket =
        round % 3 === 0 ? connectSocket(port, '127.0.0.1').on('error', () => undefined) : await rawConnection('agent-1')
      const bytes = round % 2 === 0 ? randomBytes(1 + (round % 50)) : Buffer.from(publishPacket('agent-1', 1, 7))
      if (round % 2 === 1) for (let i = 0; i < 3; i++) bytes[(round * 7 + i * 13) % 30] = (round * 31 + i * 17) % 256
      socket.write(bytes)
      socket.write(generate({ cmd: 'disconnect' }))
      await Promise.race([ended(socket), systemClock.sleep(30)])
      socket.destroy()
      if (round % 20 === 0) await publishBatch(bystander, 'agent-2', makeBatch('agent-2', ++sequence))
    }
    await publishBatch(bystander, 'agent-2', makeBatch('agent-2', ++sequence))
    expect(account('agent-2')?.receivedThrough).toBe(sequence)
    await bystander.endAsync()
  })

  test('PUBACKs come in the order of the batches, repeats among them', async () => {
    const socket = await rawConnection('agent-4')
    const sequences = [1, 2, 1, 3, 2, 1, 4, 5, 5, 6, 1]
    const acknowledged: number[] = []
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      for (; bytes.length >= 4; bytes = bytes.subarray(4)) acknowledged.push(bytes.readUInt16BE(2))
    })
    socket.write(Buffer.concat(sequences.map((sequence, i) => publishPacket('agent-4', sequence, i + 1))))
    await until('all are acknowledged', () => acknowledged.length === sequences.length)
    expect(acknowledged).toEqual(sequences.map((_, i) => i + 1))
    expect(account('agent-4')).toMatchObject({ batches: 6, repeated: 5, receivedThrough: 6 })
    socket.destroy()
  })

  test('batches that cannot be read are kept for a dead letter, and what follows goes on', async () => {
    const client = await connectAgent(port, 'agent-5')
    const good = makeBatch('agent-5', 1)
    const flipped = Buffer.from(good)
    flipped[good.length - 3] = (flipped[good.length - 3] as number) ^ 1
    for (const batch of [
      good.subarray(0, 40),
      flipped,
      Buffer.from('hello'),
      Buffer.alloc(0),
      Buffer.alloc(1024 * 1024 + 10),
    ])
      await publishBatch(client, 'agent-5', batch)
    await publishBatch(client, 'agent-5', good)
    expect(account('agent-5')).toMatchObject({ unreadable: 5, batches: 1 })
    await client.endAsync()
  })
})
