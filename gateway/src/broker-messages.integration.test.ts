/** What the gateway says to agents: real MQTT clients, real sockets, the broker alone. */
import { connect as connectSocket, type Socket } from 'node:net'
import { mqttTopic } from '@tributary/protocol'
import { createLogger, createMetrics, parseConfig, systemClock } from '@tributary/runtime'
import { generate } from 'mqtt-packet'
import { afterEach, expect, test } from 'vitest'
import { type Broker, createBroker } from './broker.ts'
import { gatewayConfigSchema } from './config.ts'
import { createCredentials } from './credentials.ts'
import { createRefusals } from './refusals.ts'
import {
  connectAgent,
  gatewayConfigText,
  makeBatch,
  PASSWORD,
  publishBatch,
  temporaryFolder,
  until,
  writeCredentials,
} from './testing.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

async function brokerWith(listen: (broker: Broker) => void = () => undefined) {
  const folder = await temporaryFolder()
  ending.push(folder.remove)
  const log = createLogger('gateway', 'silent')
  const dependencies = { clock: systemClock, log, metrics: createMetrics('gateway') }
  const refusals = createRefusals(dependencies)
  const credentials = createCredentials(await writeCredentials(folder.path, ['agent-1', 'agent-2']), { log })
  await credentials.reload()
  const text = gatewayConfigText({ folder: folder.path, natsUrl: 'nats://127.0.0.1:1' })
  const config = parseConfig('gateway.yaml', text, gatewayConfigSchema)
  const broker = createBroker(config, async () => undefined, credentials, { ...dependencies, refusals })
  listen(broker)
  await broker.start(AbortSignal.timeout(5_000))
  ending.push(() => broker.stop(AbortSignal.timeout(5_000)))
  return { broker, refusals }
}

test('what an agent says on its clock topic is told, and the answer goes to that agent alone', async () => {
  const { broker } = await brokerWith((one) =>
    one.onClock((agent, payload) => one.publish(agent, 'clock', `pong for ${agent}: ${Buffer.from(payload)}`)),
  )
  const received: string[] = []
  const clients = await Promise.all(['agent-1', 'agent-2'].map((agent) => connectAgent(broker.port, agent)))
  for (const [i, client] of clients.entries()) {
    const agent = `agent-${i + 1}`
    client.on('message', (_topic, payload) => received.push(`${agent} ${payload}`))
    await client.subscribeAsync(['clock', 'stored', 'command'].map((channel) => mqttTopic(agent, channel as 'clock')))
    ending.push(() => client.endAsync(true))
  }
  await clients[0]?.publishAsync(mqttTopic('agent-1', 'clock'), 'ping', { qos: 0 })
  await until('it was answered', () => received.length > 0)
  await systemClock.sleep(50)
  expect(received, 'its own ping does not come back').toEqual(['agent-1 pong for agent-1: ping'])
})

test('a subscription is told; nothing is sent to who has not subscribed or is away', async () => {
  const subscribed: string[] = []
  const { broker } = await brokerWith((one) =>
    one.onSubscribed((agent, channel) => subscribed.push(`${agent} ${channel}`)),
  )
  expect(broker.publish('agent-1', 'stored', '{}')).toBe(false)
  const client = await connectAgent(broker.port, 'agent-1')
  expect(broker.publish('agent-1', 'stored', '{}')).toBe(false)
  const received: string[] = []
  client.on('message', (topic, payload) => received.push(`${topic} ${payload}`))
  await client.subscribeAsync(mqttTopic('agent-1', 'stored'))
  expect(subscribed).toEqual(['agent-1 stored'])
  expect(broker.publish('agent-1', 'stored', '{"sequence":1}')).toBe(true)
  expect(broker.publish('agent-1', 'command', '{}')).toBe(false)
  await until('it came', () => received.length === 1)
  expect(received).toEqual(['tributary/v1/agent-1/stored {"sequence":1}'])
  await client.endAsync()
  await until('it left', () => !broker.publish('agent-1', 'stored', '{}'))
})

test('a listener that throws harms nobody: its agent stays connected, batches are acknowledged', async () => {
  const fail = () => {
    throw new Error('a bug')
  }
  const { broker } = await brokerWith((one) => {
    one.onClock(fail)
    one.onSubscribed(fail)
  })
  const client = await connectAgent(broker.port, 'agent-1')
  await client.subscribeAsync(mqttTopic('agent-1', 'clock'))
  await client.publishAsync(mqttTopic('agent-1', 'clock'), 'ping', { qos: 0 })
  await publishBatch(client, 'agent-1', makeBatch('agent-1', 1))
  expect(client.connected).toBe(true)
  await client.endAsync()
})

test('a subscriber that reads nothing holds nobody up, takes little memory, and is let go of', async () => {
  const { broker, refusals } = await brokerWith()
  const frozen = await subscribedAndFrozen(broker.port, 'agent-2')
  const bystander = await connectAgent(broker.port, 'agent-1')
  ending.push(() => bystander.endAsync(true))
  await bystander.subscribeAsync(mqttTopic('agent-1', 'stored'))
  let heard = 0
  bystander.on('message', () => heard++)

  const payload = 'x'.repeat(64 * 1024)
  const before = process.memoryUsage().arrayBuffers
  let taken = 0
  let worstMs = 0
  let sequence = 0
  await until(
    'it was let go of',
    async () => {
      for (let i = 0; i < 200; i++) if (broker.publish('agent-2', 'stored', payload)) taken += 1
      const startedMs = systemClock.monotonicMs()
      await publishBatch(bystander, 'agent-1', makeBatch('agent-1', ++sequence))
      worstMs = Math.max(worstMs, systemClock.monotonicMs() - startedMs)
      broker.publish('agent-1', 'stored', '{}')
      return !broker.isConnected('agent-2')
    },
    10_000,
  )
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024)
  expect(worstMs).toBeLessThan(1_000)
  expect(sequence).toBeGreaterThan(50)
  await until('the bystander heard all', () => heard === sequence)
  expect(taken).toBeGreaterThan(10)
  expect(refusals.counts['link_error']).toBe(1)
  frozen.destroy()
})

/** A client that subscribes and then never reads another byte. */
async function subscribedAndFrozen(port: number, agent: string): Promise<Socket> {
  const socket = connectSocket({ port, host: '127.0.0.1' })
  socket.on('error', () => undefined)
  const answered = () => new Promise<void>((resolve) => socket.once('data', () => resolve()))
  socket.write(
    generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: 'frozen',
      keepalive: 60,
      username: agent,
      password: Buffer.from(PASSWORD),
    }),
  )
  await answered()
  socket.write(
    generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: mqttTopic(agent, 'stored'), qos: 0 }] }),
  )
  await answered()
  socket.pause()
  return socket
}
