/** The consumer of a partition while nats-server loses it, its stream, its disk, or comes back with an older copy of it. */
import { setMaxListeners } from 'node:events'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JetStreamManager, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { PARTITION_COUNT, TELEMETRY_STREAM } from '@tributary/protocol'
import { createLogger, systemClock } from '@tributary/runtime'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { consumerName, createPartitionConsumer, type PartitionConsumer } from './consumer.ts'

let folder: string
let nats: ManagedProcess & { url: string }
let connection: NatsConnection
let manager: JetStreamManager
let started: PartitionConsumer[]
let never: AbortController

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-consumer-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  await nats.start()
  connection = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 200 })
  manager = await jetstreamManager(connection, { checkAPI: false })
  started = []
  never = new AbortController()
  setMaxListeners(0, never.signal) // as many as partitions wait
})
afterEach(async () => {
  never.abort()
  await Promise.all(started.map((consumer) => consumer.stop()))
  await connection.close()
  await nats.stop()
  await rm(folder, { recursive: true, force: true })
})

async function start(partition: number, owner = 'us'): Promise<PartitionConsumer> {
  const client = jetstream(connection)
  const consumer = createPartitionConsumer(partition, {
    client,
    manager,
    owner,
    clock: systemClock,
    log: createLogger('test', 'silent'),
  })
  await consumer.start(never.signal)
  started.push(consumer)
  void (async () => {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect') consumer.disconnected()
      if (type === 'reconnect') consumer.reconnected()
    }
  })()
  return consumer
}

const publish = async (text: string, partition = 3) => {
  await until(`"${text}" is published`, () =>
    jetstream(connection, { timeout: 1_000 })
      .publish(`telemetry.v1.${partition}.site.agent`, text)
      .then(
        () => true,
        () => false,
      ),
  )
}
async function until(what: string, condition: () => Promise<boolean> | boolean, waitMs = 30_000): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + waitMs
  while (!(await condition())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`not within ${waitMs} ms: ${what}`)
    await systemClock.sleep(50)
  }
}
/** Takes until the text comes. @returns all messages that came */
async function takeUntil(consumer: PartitionConsumer, text: string, waitMs = 20_000): Promise<JsMsg[]> {
  const all: JsMsg[] = []
  await until(
    `"${text}" came`,
    async () => {
      all.push(...(await consumer.take({ bytesMax: 1e6, waitMs: 500, lingerMs: 0 }, never.signal)))
      return all.some((message) => message.string() === text)
    },
    waitMs,
  )
  return all
}
const held = async () => (await manager.streams.info(TELEMETRY_STREAM)).state.messages

test('the consumer is deleted: made anew, and what was not acknowledged comes again', { timeout: 60_000 }, async () => {
  const consumer = await start(3)
  await publish('one')
  await takeUntil(consumer, 'one')
  await manager.consumers.delete(TELEMETRY_STREAM, consumerName(3))
  const [again] = await takeUntil(consumer, 'one')
  expect(consumer.life?.number).toBe(1)
  consumer.acknowledge(again as JsMsg)
  await until('the stream is empty', async () => (await held()) === 0)
})

test('the stream is made anew: its messages come, and an acknowledgement of the former one’s removes none of them', {
  timeout: 60_000,
}, async () => {
  const consumer = await start(3)
  await publish('old')
  const [old] = await takeUntil(consumer, 'old')
  const { config } = await manager.streams.info(TELEMETRY_STREAM)
  await manager.streams.delete(TELEMETRY_STREAM)
  await manager.streams.add(config)
  await publish('new')
  const [fresh] = await takeUntil(consumer, 'new')
  expect(fresh?.seq).toBe(old?.seq)
  expect(consumer.life?.number).toBe(2)
  consumer.acknowledge(old as JsMsg)
  await connection.flush()
  await systemClock.sleep(300)
  expect(await held()).toBe(1)
  consumer.acknowledge(fresh as JsMsg)
  await until('the stream is empty', async () => (await held()) === 0)
})

test('NATS is killed while a pull waits, and again while messages are on their way: all of them come', {
  timeout: 60_000,
}, async () => {
  const consumer = await start(3)
  await takeNothing(consumer)
  await nats.kill('SIGKILL')
  await nats.start()
  for (let n = 0; n < 200; n++) await publish(`before ${n}`)
  await nats.kill('SIGKILL')
  await nats.start()
  await publish('last')
  const all = await takeUntil(consumer, 'last')
  const texts = new Set(all.map((message) => message.string()))
  for (let n = 0; n < 200; n++) expect(texts, `before ${n}`).toContain(`before ${n}`)
})

test('NATS comes back with an older copy of its disk, and a consumer that another run had made: it goes on', {
  timeout: 60_000,
}, async () => {
  const former = await start(3, 'former run')
  await publish('one')
  await takeUntil(former, 'one')
  await former.stop()
  await nats.kill('SIGKILL')
  await cp(join(folder, 'jetstream'), join(folder, 'copy'), { recursive: true })
  await nats.start()
  const consumer = await start(3, 'this run')
  for (const text of ['two', 'three']) await publish(text)
  await takeUntil(consumer, 'three')
  await nats.kill('SIGKILL')
  await rm(join(folder, 'jetstream'), { recursive: true })
  await cp(join(folder, 'copy'), join(folder, 'jetstream'), { recursive: true })
  await nats.start()
  await publish('two again')
  const all = await takeUntil(consumer, 'two again')
  expect(all.map((message) => message.string())).toContain('one')
  expect(consumer.life).toMatchObject({ number: 2, lastSequence: 1 })
})

test('NATS comes back with an older copy of its disk, and new messages before we do: an acknowledgement removes none of them', {
  timeout: 60_000,
}, async () => {
  await connection.close()
  connection = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 3_000 })
  manager = await jetstreamManager(connection, { checkAPI: false })
  const consumer = await start(3)
  let isBack = false
  void (async () => {
    for await (const { type } of connection.status()) if (type === 'reconnect') isBack = true
  })()
  await publish('one')
  await takeUntil(consumer, 'one')
  await nats.kill('SIGKILL')
  await cp(join(folder, 'jetstream'), join(folder, 'copy'), { recursive: true })
  await nats.start()
  await until('we are back', () => isBack)
  for (const text of ['two', 'three']) await publish(text)
  const lost = await takeUntil(consumer, 'three')
  isBack = false
  await nats.kill('SIGKILL')
  await rm(join(folder, 'jetstream'), { recursive: true })
  await cp(join(folder, 'copy'), join(folder, 'jetstream'), { recursive: true })
  await nats.start()
  const other = await connect({ servers: nats.url })
  const fresh = ['new two', 'new three', 'four']
  for (const text of fresh) await jetstream(other).publish('telemetry.v1.3.site.agent', text)
  await other.close()
  expect(isBack).toBe(false)
  await until('we are back', () => isBack)
  // What was stored meanwhile is acknowledged.
  for (const message of lost) consumer.acknowledge(message)
  const texts = (await takeUntil(consumer, 'four')).map((message) => message.string())
  expect(texts).toEqual(expect.arrayContaining(fresh))
  for (const message of lost) consumer.acknowledge(message)
  await connection.flush()
  await systemClock.sleep(300)
  const there = await Promise.all([2, 3, 4].map((seq) => manager.streams.getMessage(TELEMETRY_STREAM, { seq })))
  expect(there.map((message) => message?.string())).toEqual(fresh)
})

test('a consumer that somebody made later is theirs: taking ends, and says what to do', {
  timeout: 60_000,
}, async () => {
  const first = await start(3, 'first')
  await publish('one')
  await takeUntil(first, 'one')
  const second = await start(3, 'second')
  await until('the first one notices', () =>
    first.take({ bytesMax: 1e6, waitMs: 200, lingerMs: 0 }, never.signal).then(
      () => false,
      (error: Error & { hint?: string }) => {
        expect(error.message).toBe('partition 3 was taken over by second')
        expect(error.hint).toContain('stop one of them')
        return true
      },
    ),
  )
  await takeUntil(second, 'one')
})

test('the stream is deleted again and again while all partitions work: none is left waiting', {
  timeout: 90_000,
}, async () => {
  const consumers: PartitionConsumer[] = []
  for (let partition = 0; partition < PARTITION_COUNT; partition++) consumers.push(await start(partition))
  const came = consumers.map(() => new Set<string>())
  const working = consumers.map(async (consumer, partition) => {
    while (!never.signal.aborted)
      for (const message of await consumer.take({ bytesMax: 1e6, waitMs: 200, lingerMs: 0 }, never.signal)) {
        came[partition]?.add(message.string())
        consumer.acknowledge(message)
      }
  })
  const { config } = await manager.streams.info(TELEMETRY_STREAM)
  for (let round = 0; round < 8; round++) {
    for (let partition = 0; partition < PARTITION_COUNT; partition++) {
      void jetstream(connection, { timeout: 500 })
        .publish(`telemetry.v1.${partition}.site.agent`, `round ${round}`)
        .catch(() => undefined)
    }
    await manager.streams.delete(TELEMETRY_STREAM).catch(() => undefined)
    // Sometimes it is there again before anybody has looked, sometimes the consumers have to make it.
    if (round % 2 === 0) await manager.streams.add(config).catch(() => undefined)
    await systemClock.sleep(100 + round * 150)
  }
  for (let partition = 0; partition < PARTITION_COUNT; partition++) await publish('after', partition)
  const startMs = systemClock.monotonicMs()
  await until('every partition has it', () => came.every((texts) => texts.has('after')), 20_000)
  expect(systemClock.monotonicMs() - startMs).toBeLessThan(15_000)
  never.abort()
  await Promise.all(working)
})

async function takeNothing(consumer: PartitionConsumer): Promise<void> {
  expect(await consumer.take({ bytesMax: 1e6, waitMs: 300, lingerMs: 0 }, never.signal)).toEqual([])
}

test('what it has not acknowledged it gives back as it stops: whoever has the consumer then gets it at once', async () => {
  const consumer = await start(3)
  for (const text of ['a', 'b', 'c']) await publish(text)
  const [first] = await takeUntil(consumer, 'c')
  consumer.acknowledge(first as JsMsg)
  await consumer.stop()
  const successor = await jetstream(connection).consumers.get(TELEMETRY_STREAM, consumerName(3))
  const given: string[] = []
  for await (const message of await successor.fetch({ max_messages: 2, expires: 5_000 })) {
    given.push(message.string())
    message.ack()
  }
  expect(given.sort()).toEqual(['b', 'c'])
})

test('a message that was delivered to somebody who is gone comes after some looks, not after the ten minutes of the server', {
  timeout: 90_000,
}, async () => {
  const consumer = await start(3)
  await publish('before')
  const [before] = await takeUntil(consumer, 'before')
  consumer.acknowledge(before as JsMsg)
  const thief = await jetstream(connection).consumers.get(TELEMETRY_STREAM, consumerName(3))
  const stolen: string[] = []
  const stealing = (async () => {
    for await (const message of await thief.fetch({ max_messages: 1, expires: 15_000 })) stolen.push(message.string())
  })()
  for (let n = 0; stolen.length === 0; n++) {
    await publish(`message ${n}`)
    for (const one of await consumer.take({ bytesMax: 1e6, waitMs: 200, lingerMs: 0 }, never.signal))
      consumer.acknowledge(one)
  }
  await stealing
  const came = await takeUntil(consumer, stolen[0] as string, 60_000)
  for (const message of came) consumer.acknowledge(message)
  await until('the stream is empty', async () => (await held()) === 0)
})

test('messages that we hold for long, as while a database is away, do not make the consumer anew', {
  timeout: 60_000,
}, async () => {
  const consumer = await start(3)
  await publish('one')
  const [one] = await takeUntil(consumer, 'one')
  const madeAt = async () => (await manager.consumers.info(TELEMETRY_STREAM, consumerName(3))).created
  const made = await madeAt()
  for (let n = 0; n < 25; n++) {
    await publish(`message ${n}`)
    await systemClock.sleep(1_000)
  }
  expect(await madeAt()).toBe(made)
  const others = await takeUntil(consumer, 'message 24')
  expect(others).toHaveLength(25)
  for (const message of [one as JsMsg, ...others]) consumer.acknowledge(message)
  await until('the stream is empty', async () => (await held()) === 0)
})
