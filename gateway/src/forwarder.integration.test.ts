import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { decodeBatch, decodeHeader, encodeBatch, storedSubject, TELEMETRY_STREAM } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
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
  startProcessor,
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

async function nats(options: { asShipped?: boolean } = {}) {
  const server = await startNats(folder.path, natsPort, options)
  ending.push(() => server.stop())
  return server
}
function processorOf(batchesPerSecond?: number) {
  const processor = startProcessor(natsUrl, batchesPerSecond)
  ending.push(() => processor.stop())
  return processor
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
  const processor = processorOf()
  const gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  const first = publish(client, 1, 300)
  await until('some were forwarded', () => gateway.status().spool.sentThrough > 5)
  await server.kill()
  await first
  await publish(client, 301, 700)
  await server.start()
  await publish(client, 701, 750)
  await client.endAsync()
  await until('all came', () => unique(sequencesOf(processor.messages, 'agent-1')).length === 750, 30_000)
  // The confirmation of the last one may still be on its way.
  await until('all were forwarded', () => allForwarded(gateway))
})

test('after a long outage of NATS the newest batches come first, and say what waits behind them', async () => {
  const gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  const other = await connectAgent(gateway.mqttPort, 'agent-2')
  for (let from = 1; from <= 3_000; from += 500) await publish(client, from, from + 499)
  for (let sequence = 1; sequence <= 5; sequence++)
    await publishBatch(other, 'agent-2', makeBatch('agent-2', sequence, { backlogBatches: 7 }))
  expect(gateway.status().backlog.batches).toBeGreaterThanOrEqual(3_005)
  await nats()
  // Slow enough that the backlog is not gone before anything new comes.
  const processor = processorOf(300)
  const came = (agent: string, sequence: number) => sequencesOf(processor.messages, agent).includes(sequence)
  await until('the newest came', () => came('agent-2', 5))
  expect(sequencesOf(processor.messages, 'agent-1').length).toBeLessThan(1_500)
  await publishBatch(other, 'agent-2', makeBatch('agent-2', 6))
  await until('it came', () => came('agent-2', 6))
  let worstMs = 0
  for (let sequence = 3_001; sequence <= 3_010; sequence++) {
    const startedMs = systemClock.monotonicMs()
    await publish(client, sequence, sequence)
    await until('it came', () => came('agent-1', sequence))
    worstMs = Math.max(worstMs, systemClock.monotonicMs() - startedMs)
  }
  // Two seconds in the stream, what the processor takes at once, and a busy machine; the backlog takes ten.
  expect(worstMs).toBeLessThan(5_000)
  const headers = processor.messages.map(({ data }) => decodeHeader(data))
  const fresh = headers.find(({ agent, sequence }) => agent === 'agent-1' && sequence === 3_001)
  expect(fresh?.lane).toBe('live')
  expect(fresh?.backlogBatches).toBeGreaterThan(500)
  expect(
    headers.find(({ agent }) => agent === 'agent-2')?.backlogBatches,
    'of its own, and what its agent said',
  ).toBeLessThan(7 + 10)
  const alone = headers.find(({ agent, sequence }) => agent === 'agent-2' && sequence === 6)
  expect(alone, 'nothing of it waits, whatever others have').toMatchObject({ backlogBatches: 0, drainSeconds: 0 })
  await until('all came', () => unique(sequencesOf(processor.messages, 'agent-1')).length === 3_010, 40_000)
  expect(sequencesOf(processor.messages, 'agent-1'), 'nothing twice').toHaveLength(3_010)
  const drained = processor.messages.map(({ data }) => decodeHeader(data)).filter(({ lane }) => lane === 'backlog')
  expect(drained.length).toBeGreaterThan(2_500)
  await until('the cursor is there', () => allForwarded(gateway))
  expect(gateway.status().backlog.batches).toBe(0)
  await client.endAsync()
  await other.endAsync()
})

test('stopped during an outage, and again and again while the backlog drains, it goes on where each lane was', async () => {
  let gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  for (let from = 1; from <= 2_000; from += 500) await publish(client, from, from + 499)
  await client.endAsync()
  // During the outage, too.
  await gateway.end()
  gateway = await gatewayWith()
  await nats()
  const processor = processorOf(400)
  for (let round = 0; round < 3; round++) {
    const before = processor.messages.length
    await until('some came', () => processor.messages.length > before + 150)
    await gateway.end()
    gateway = await gatewayWith()
    const again = await connectAgent(gateway.mqttPort, 'agent-1')
    const sequence = 2_001 + round
    await publish(again, sequence, sequence)
    await until('what is new came', () => sequencesOf(processor.messages, 'agent-1').includes(sequence))
    await again.endAsync()
  }
  await until('all came', () => unique(sequencesOf(processor.messages, 'agent-1')).length === 2_003, 40_000)
  await until('the cursor is there', () => allForwarded(gateway))
  expect(processor.messages.length, 'only what was in flight comes twice').toBeLessThan(2_003 + 3 * 64 * 4)
})

test('a batch that NATS does not take becomes a dead letter, and what follows goes on', async () => {
  await nats({ asShipped: true })
  const processor = processorOf()
  const gateway = await gatewayWith()
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  // The largest batch that the protocol allows, and the 64 bytes of a subject and a header make it more than `max_payload`.
  const letter = (bytes: number) => ({
    input: 'serial',
    device: 'thermometer-1',
    reason: 'line_too_long',
    detail: '',
    receivedAtMs: 0,
    original: randomBytes(bytes),
    originalBytes: bytes,
    readingCount: 10,
  })
  const small = decodeBatch(makeBatch('agent-1', 1))
  const deadLetters = [...Array.from({ length: 15 }, () => letter(65_536)), letter(64_270)]
  const header = { ...small.header, sampleCount: 0, readingCount: 160, readingsTotal: 160 }
  const large = Buffer.from(encodeBatch({ ...small, header, blocks: [], deadLetters }))
  expect(large.length).toBeGreaterThan(1024 * 1024 - 64)
  await publishBatch(client, 'agent-1', large)
  await publish(client, 2, 20)
  await client.endAsync()
  await until('all came', () => unique(sequencesOf(processor.messages, 'agent-1')).length === 20)
  const first = processor.messages.find(
    ({ subject, data }) => subject.endsWith('.agent-1') && decodeHeader(data).sequence === 1,
  )
  const { header: kept, deadLetters: letters } = decodeBatch(first?.data ?? Buffer.alloc(0))
  expect(kept.readingCount).toBe(160)
  expect(letters).toMatchObject([{ reason: 'larger_than_nats_takes', readingCount: 160 }])
  expect(gateway.status().retries).toBe(0)
})

test('while the stream is behind, the PUBACK of backlog waits for up to a second, and that of a live batch does not', async () => {
  await nats()
  const gateway = await gatewayWith()
  const [client, other] = await Promise.all([1, 2].map((i) => connectAgent(gateway.mqttPort, `agent-${i}`)))
  if (!client || !other) throw new Error('not connected')
  // Nobody takes anything out of the stream.
  await publish(client, 1, 400)
  await until('all were forwarded', () => allForwarded(gateway))
  const timed = async (agent: MqttClient, name: string, sequence: number, lane: 'live' | 'backlog') => {
    const startedMs = systemClock.monotonicMs()
    await publishBatch(agent, name, makeBatch(name, sequence, { lane }))
    return systemClock.monotonicMs() - startedMs
  }
  await timed(client, 'agent-1', 401, 'backlog')
  await until('it was looked at', () => gateway.status().backlog.streamWaitSeconds > 2)
  const held = timed(client, 'agent-1', 402, 'backlog')
  await until('it is held', () => gateway.status().backlog.pubacksHeld === 1)
  expect(await timed(other, 'agent-2', 1, 'live'), 'another agent notices nothing').toBeLessThan(500)
  const behind = timed(client, 'agent-1', 403, 'live')
  await until('the live batch behind it is on its way', () => gateway.status().forwarded >= 405)
  expect(gateway.status().backlog.pubacksHeld, 'its data has not waited for the PUBACK').toBe(1)
  expect(await held).toBeGreaterThan(800)
  expect(await held).toBeLessThan(1_500)
  expect(await behind).toBeLessThan(1_500)
  for (const agent of [client, other]) await agent.endAsync()
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

test('an empty stream that calls itself full is purged, and what waits goes on when it takes it', async () => {
  await nats()
  const gateway = await gatewayWith()
  const connection = await connect({ servers: natsUrl })
  ending.push(() => connection.close())
  const manager = await jetstreamManager(connection)
  const client = await connectAgent(gateway.mqttPort, 'agent-1')
  await publish(client, 1, 1)
  await until('it is there', () => allForwarded(gateway))
  await drainStream(natsUrl)
  let purges = 0
  connection.subscribe(`$JS.API.STREAM.PURGE.${TELEMETRY_STREAM}`, {
    callback: () => {
      purges += 1
    },
  })
  const { config } = await manager.streams.info(TELEMETRY_STREAM)
  await manager.streams.update(TELEMETRY_STREAM, { ...config, max_bytes: 64 })
  await publish(client, 2, 4)
  await until('it was purged', () => purges > 0, 30_000)
  await manager.streams.update(TELEMETRY_STREAM, config)
  await until('what waited was forwarded', () => allForwarded(gateway), 30_000)
  await client.endAsync()
  expect(await ofAgent()).toEqual([2, 3, 4])
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
