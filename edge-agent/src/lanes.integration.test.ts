/** Live first: what is new overtakes a backlog, and everything arrives. A real MQTT client, a real broker, a real disk. */
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool } from '@tributary/spool'
import { afterEach, expect, test } from 'vitest'
import { appendBatch, startGateway, temporaryFolder, until, uplinkConfig } from './testing.ts'
import { createUplink, type Uplink } from './uplink.ts'

const clock = systemClock
const log = createLogger('test', 'silent')
const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function openTestSpool(folder = temporaryFolder()): Promise<Spool> {
  const limits = { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 26, durabilityMs: 0, freeBytesMin: 0 }
  const spool = await openSpool(folder, limits, { clock, log, metrics: createMetrics('test') })
  cleanUps.push(() => spool.close())
  return spool
}
const fill = async (spool: Spool, count: number) => {
  for (let at = 0; at < count; at += 100)
    await Promise.all(Array.from({ length: Math.min(100, count - at) }, () => appendBatch(spool)))
}
async function startUplink(spool: Spool, port: number, correct?: (payload: Uint8Array) => Uint8Array | 'hold') {
  const time = correct && { correct, connected: () => undefined, heard: () => undefined }
  const uplink: Uplink = createUplink(uplinkConfig(port), {
    spool,
    clock,
    log,
    ...(time ? { time } : {}),
    onSent: () => undefined,
  })
  await uplink.start(AbortSignal.timeout(1_000))
  cleanUps.push(() => uplink.stop(AbortSignal.abort()))
  return uplink
}
const gatewayOf = async (options = {}) => {
  const gateway = await startGateway(options)
  cleanUps.push(() => gateway.stop())
  return gateway
}

test('new batches pass a backlog of thousands within a second each; in the end each arrived once', async () => {
  const gateway = await gatewayOf()
  // As far as a link to a gateway is: the backlog takes its time.
  gateway.answerMs = 20
  const spool = await openTestSpool()
  await fill(spool, 3_000)
  const uplink = await startUplink(spool, gateway.port)
  await until('some of the backlog came', () => gateway.batches.length > 50)
  const arrived = (sequence: number) => gateway.batches.some(({ header }) => header.sequence === sequence)
  let worstMs = 0
  for (let i = 0; i < 20; i++) {
    const sequence = await appendBatch(spool)
    const startedMs = clock.monotonicMs()
    await until('it is there', () => arrived(sequence))
    worstMs = Math.max(worstMs, clock.monotonicMs() - startedMs)
    await clock.sleep(20)
  }
  expect(worstMs).toBeLessThan(1_000)
  expect(uplink.lanes.backlogRecords, 'the backlog was not gone by then').toBeGreaterThan(500)
  const last = gateway.batches.findLast(({ header }) => header.lane === 'live')?.header
  expect(last?.backlogBatches).toBeGreaterThan(500)
  expect(last?.backlogBytes).toBeGreaterThan(10_000)

  await until('all sent', () => spool.sentThrough === 3_020, 60_000)
  const sequences = gateway.batches.map(({ header }) => header.sequence)
  expect(sequences).toHaveLength(3_020)
  expect(gateway.repeats, 'nothing was sent twice').toBe(0)
  const inLane = (lane: string) =>
    gateway.batches.flatMap(({ header }) => (header.lane === lane ? [header.sequence] : []))
  expect(inLane('backlog').length).toBeGreaterThan(2_900)
  for (const lane of ['live', 'backlog']) expect(inLane(lane)).toEqual(inLane(lane).toSorted((a, b) => a - b))
  expect(gateway.batches.at(-1)?.header.backlogBatches).toBeLessThan(60)
})

test('broken off again and again in the middle, it goes on where each lane was, and nothing is missing', async () => {
  const folder = temporaryFolder()
  const gateway = await gatewayOf()
  gateway.answerMs = 5
  let appended = 0
  for (let round = 1; round <= 4; round++) {
    const spool = await openTestSpool(folder)
    await fill(spool, 300)
    const uplink = await startUplink(spool, gateway.port)
    appended += 300
    const before = gateway.batches.length
    await until('some came', () => gateway.batches.length > before + 60)
    await uplink.stop(AbortSignal.abort())
    expect(spool.sentRanges.length).toBeGreaterThan(0)
    await spool.close()
  }
  const received = gateway.batches.length
  expect(received).toBeLessThan(appended)
  const spool = await openTestSpool(folder)
  await startUplink(spool, gateway.port)
  await until('all sent', () => spool.sentThrough === appended)
  expect(gateway.batches.map(({ header }) => header.sequence).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: appended }, (_, i) => i + 1),
  )
  expect(gateway.repeats, 'only what was in flight is sent again').toBeLessThan(4 * 64)
})

test('what must wait for its time waits, and then goes in order', async () => {
  const gateway = await gatewayOf()
  const spool = await openTestSpool()
  await fill(spool, 5)
  let holding = true
  const uplink = await startUplink(spool, gateway.port, (payload) => (holding ? 'hold' : payload))
  await until('connected', () => uplink.connected)
  await clock.sleep(400)
  expect(gateway.batches).toEqual([])
  holding = false
  await until('all sent', () => spool.sentThrough === 5)
  expect(gateway.batches.map(({ header }) => header.sequence)).toEqual([1, 2, 3, 4, 5])
})
