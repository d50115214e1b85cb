import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { storedSubject, TELEMETRY_STREAM } from '@tributary/protocol'
import { freePort } from '@tributary/stack'
import type { MqttClient } from 'mqtt'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  allForwarded,
  connectAgent,
  drainStream,
  EPOCH,
  makeBatch,
  publishBatch,
  SITE,
  sayToGateway,
  sequencesOf,
  startGateway,
  startNats,
  temporaryFolder,
  until,
} from './testing.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let natsPort: number
let natsUrl: string
const ending: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  folder = await temporaryFolder()
  natsPort = await freePort()
  natsUrl = `nats://127.0.0.1:${natsPort}`
})
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
  await folder.remove()
})

async function nats() {
  const server = await startNats(folder.path, natsPort)
  ending.push(() => server.stop())
  return server
}
async function gatewayWith(sections: Record<string, Record<string, unknown>> = {}) {
  const gateway = await startGateway({ folder: folder.path, natsUrl, sections })
  let running = true
  const end = async () => {
    if (running) await gateway.end()
    running = false
  }
  ending.push(end)
  return { ...gateway, end }
}
async function publish(client: MqttClient, from: number, to: number) {
  const sequences = Array.from({ length: to - from + 1 }, (_, i) => from + i)
  await Promise.all(sequences.map((sequence) => publishBatch(client, 'agent-1', makeBatch('agent-1', sequence))))
  return sequences
}
const ofAgent = async () => sequencesOf(await drainStream(natsUrl), 'agent-1')
const numbers = (to: number) => Array.from({ length: to }, (_, i) => i + 1)
const unique = (sequences: readonly number[]) => [...new Set(sequences)].sort((a, b) => a - b)

test('without NATS at the start, batches are taken, and arrive in order when it comes', async () => {
  const gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  await publish(client, 1, 200)
  await client.endAsync()
  expect(gateway.status()).toMatchObject({ natsConnected: false, streamReady: false, spool: { sentThrough: 0 } })
  await nats()
  await until('all were forwarded', () => allForwarded(gateway))
  expect(await ofAgent()).toEqual(numbers(200))
})

test('NATS dies in the middle and comes back: every batch arrives', async () => {
  const server = await nats()
  const gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  const first = publish(client, 1, 300)
  await until('some were forwarded', () => gateway.status().spool.sentThrough > 5)
  await server.kill()
  await first
  await publish(client, 301, 400)
  await server.start()
  await publish(client, 401, 450)
  await client.endAsync()
  await until('all were forwarded', () => allForwarded(gateway), 20_000)
  expect(unique(await ofAgent())).toEqual(numbers(450))
})

test('NATS loses its disk: what was confirmed and is not in the store is sent again', async () => {
  const server = await nats()
  const gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  await publish(client, 1, 50)
  await until('all were forwarded', () => allForwarded(gateway))
  await server.kill()
  await rm(join(folder.path, 'jetstream'), { recursive: true })
  await server.start()
  await until('all were sent again', () => gateway.status().resent >= 50, 20_000)
  await publish(client, 51, 60)
  await client.endAsync()
  await until('all were forwarded', () => allForwarded(gateway))
  expect(unique(await ofAgent())).toEqual(numbers(60))
})

test('NATS loses its disk while the gateway is down: the same', async () => {
  const server = await nats()
  const before = await gatewayWith()
  const client = await connectAgent(before.mqttPort, 'agent-1')
  await publish(client, 1, 20)
  await client.endAsync()
  await until('all were forwarded', () => allForwarded(before))
  await before.end()
  await server.kill()
  await rm(join(folder.path, 'jetstream'), { recursive: true })
  await server.start()
  const after = await gatewayWith()
  await until('all were sent again', () => after.status().resent >= 20)
  expect(unique(await ofAgent())).toEqual(numbers(20))
})

test('a stream that is removed is made anew', async () => {
  await nats()
  const gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  await publish(client, 1, 10)
  await until('all were forwarded', () => allForwarded(gateway))
  const connection = await connect({ servers: natsUrl })
  await (await jetstreamManager(connection)).streams.delete(TELEMETRY_STREAM)
  await connection.close()
  await publish(client, 11, 20)
  await client.endAsync()
  await until('all were forwarded and sent again', () => allForwarded(gateway) && gateway.status().resent >= 10)
  expect(unique(await ofAgent())).toEqual(numbers(20))
})

test('a full stream holds the forwarder back, nothing is lost, and it goes on when there is room', async () => {
  await nats()
  const gateway = await gatewayWith({ stream: { max_bytes: '16MiB' } })
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  const filler = Buffer.alloc(1_000_000, 1)
  for (let i = 0; i < 20; i++) await publishBatch(client, 'agent-1', filler)
  await publish(client, 1, 5)
  await client.endAsync()
  await until('the stream is full', () => gateway.status().retries > 0)
  expect(gateway.status().spool.sentThrough).toBeLessThan(20)
  let sequences: number[] = []
  let fillers = 0
  await until('everything came', async () => {
    const messages = await drainStream(natsUrl)
    fillers += messages.filter(({ data }) => data.equals(filler)).length
    sequences = [
      ...sequences,
      ...sequencesOf(
        messages.filter(({ data }) => data.length < 1_000),
        'agent-1',
      ),
    ]
    return allForwarded(gateway) && sequences.length >= 5
  })
  expect(unique(sequences)).toEqual(numbers(5))
  expect(fillers).toBeGreaterThanOrEqual(20)
})

test('a full spool acknowledges nothing and says why, and takes batches again when there is room', async () => {
  const gateway = await gatewayWith({ spool: { budget: '16MiB', segment: '4MiB' } })
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  const gone = new Promise<void>((resolve) => client.once('close', () => resolve()))
  const filler = Buffer.alloc(1_000_000, 1)
  let acknowledged = 0
  for (let i = 0; i < 30 && client.connected; i++)
    await Promise.race([publishBatch(client, 'agent-1', filler).then(() => acknowledged++), gone]).catch(
      () => undefined,
    )
  await gone
  client.end(true)
  expect(acknowledged).toBeGreaterThan(5)
  expect(acknowledged).toBeLessThan(17)
  expect(gateway.status().refused['spool_full']).toBeGreaterThanOrEqual(1)
  expect(gateway.status().spool.failing).toMatch(/./)

  await nats()
  await until('all were forwarded', () => allForwarded(gateway))
  const health = gateway.status().agents.find(({ agent }) => agent === 'gw-1')
  await sayToGateway(natsUrl, storedSubject(SITE), {
    site: SITE,
    watermarks: [{ agent: 'gw-1', epoch: health?.epoch, sequence: 1 }],
  })
  await until('there is room', () => gateway.status().spool.trimmedThrough > 0)
  const again = await connectAgent(gateway.mqttPort, 'agent-1')
  await publish(again, 1, 3)
  await again.endAsync()
  expect(gateway.status().spool.failing).toBeNull()
  await until('all were forwarded', () => allForwarded(gateway))
  expect((await drainStream(natsUrl)).filter(({ data }) => data.equals(filler)).length).toBeGreaterThanOrEqual(
    acknowledged,
  )
})

test('after a restart repeats are known, trimmed or not, and what was not sent goes on', async () => {
  await nats()
  const before = await gatewayWith()
  const client = await connectAgent(before.mqttPort, 'agent-1')
  await publish(client, 1, 100)
  await until('all were forwarded', () => allForwarded(before))
  const health = before.status().agents.find(({ agent }) => agent === 'gw-1')
  await sayToGateway(natsUrl, storedSubject(SITE), {
    site: SITE,
    watermarks: [
      { agent: 'agent-1', epoch: EPOCH, sequence: 100 },
      { agent: 'gw-1', epoch: health?.epoch, sequence: 1 },
    ],
  })
  await until('they were trimmed', () => before.status().spool.trimmedThrough >= 100)
  await publish(client, 101, 120)
  await client.endAsync()
  await before.end()
  await ofAgent()

  const after = await gatewayWith()
  const again = await connectAgent(after.mqttPort, 'agent-1')
  await publish(again, 50, 121)
  await again.endAsync()
  expect(after.status().agents.find(({ agent }) => agent === 'agent-1')).toMatchObject({
    batches: 1,
    repeated: 71,
    receivedThrough: 121,
    storedThrough: 100,
  })
  await until('all were forwarded', () => allForwarded(after))
  expect(await ofAgent()).toContain(121)
})
