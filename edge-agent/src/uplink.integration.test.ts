import { randomBytes } from 'node:crypto'
import { BATCH_BYTES_MAX, decodeBatch, encodeBatch } from '@tributary/protocol'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool } from '@tributary/spool'
import { afterEach, describe, expect, test } from 'vitest'
import { RECORDS_KEPT } from './recover.ts'
import { appendBatch, startGateway, type TestGateway, temporaryFolder, until, uplinkConfig } from './testing.ts'
import { createUplink, type Uplink } from './uplink.ts'

const clock = systemClock
const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

const lines: string[] = []
const log = createLogger('test', 'debug', { write: (line: string) => lines.push(line) })

async function openTestSpool(folder = temporaryFolder()): Promise<Spool> {
  const limits = { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 26, durabilityMs: 0, freeBytesMin: 0 }
  const spool = await openSpool(folder, limits, { clock, log, metrics: createMetrics('test') })
  cleanUps.push(() => spool.close())
  return spool
}
async function startUplink(spool: Spool, port: number, gateway: Record<string, unknown> = {}): Promise<Uplink> {
  const uplink = createUplink(uplinkConfig(port, { gateway }), { spool, clock, log, onSent: () => undefined })
  await uplink.start(AbortSignal.timeout(1_000))
  cleanUps.push(() => uplink.stop(AbortSignal.abort()))
  return uplink
}
async function gatewayOf(options: Parameters<typeof startGateway>[0] = {}): Promise<TestGateway> {
  const gateway = await startGateway(options)
  cleanUps.push(() => gateway.stop())
  return gateway
}
const sequences = (gateway: TestGateway) => gateway.batches.map(({ header }) => header.sequence)
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

describe('to a gateway', () => {
  test('sends in order, marks as sent what was acknowledged, trims the rest of the spool', async () => {
    const gateway = await gatewayOf({ password: 'secret' })
    const spool = await openTestSpool()
    const uplink = await startUplink(spool, gateway.port)
    for (let i = 0; i < 300; i++) await appendBatch(spool)
    await until('all sent', () => spool.sentThrough === 300)
    expect(sequences(gateway)).toEqual(upTo(300))
    expect(gateway.batches[0]?.header).toMatchObject({ lane: 'live', drainSeconds: 0 })
    await until('trimmed', () => spool.trimmedThrough === 300 - RECORDS_KEPT)
    expect(uplink).toMatchObject({ connected: true, batchesSent: 300, lanes: { backlogRecords: 0 }, reconnects: 0 })
  })

  test('a batch so large that nothing can be written into its header goes as it is, and the next one too', async () => {
    const gateway = await gatewayOf()
    const spool = await openTestSpool()
    for (let i = 0; i < 10; i++) await appendBatch(spool)
    const whole = decodeBatch((await spool.read(1, 1))[0]?.payload as Uint8Array)
    const header = { ...whole.header, sequence: spool.nextSequence }
    const letters = (bytes: number) =>
      Array.from({ length: 18 }, (_, i) => ({
        input: 'in',
        device: '',
        reason: 'not_json',
        detail: '',
        receivedAtMs: 0,
        original: randomBytes(i === 0 ? bytes : 60_000),
        originalBytes: 60_000,
        readingCount: 0,
      }))
    let large = encodeBatch({ ...whole, header, deadLetters: letters(20_000) })
    for (let bytes = 20_000; large.length !== BATCH_BYTES_MAX; ) {
      bytes += BATCH_BYTES_MAX - large.length
      large = encodeBatch({ ...whole, header, deadLetters: letters(bytes) })
    }
    await spool.append(large)
    await appendBatch(spool)
    await startUplink(spool, gateway.port)
    await until('all sent', () => spool.sentThrough === 12)
    expect(sequences(gateway)).toEqual(upTo(12))
  })

  test('no more than in_flight are under way; what was not acknowledged is sent again on the next connection', async () => {
    const gateway = await gatewayOf()
    gateway.mute = true
    const spool = await openTestSpool()
    for (let i = 0; i < 50; i++) await appendBatch(spool)
    const uplink = await startUplink(spool, gateway.port, { in_flight: 4 })
    await until('connected', () => uplink.connected)
    await clock.sleep(200)
    expect(spool.sentThrough).toBe(0)
    await gateway.stop()
    await until('noticed', () => !uplink.connected)
    const second = await gatewayOf({ port: gateway.port })
    await until('all sent', () => spool.sentThrough === 50)
    expect(sequences(second)).toEqual(upTo(50))
    expect(uplink.reconnects).toBe(1)
  })

  test('begins after a restart where it was acknowledged', async () => {
    const gateway = await gatewayOf()
    const folder = temporaryFolder()
    const spool = await openSpool(
      folder,
      { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 26, durabilityMs: 0, freeBytesMin: 0 },
      { clock, log, metrics: createMetrics('test') },
    )
    for (let i = 0; i < 5; i++) await appendBatch(spool)
    const first = createUplink(uplinkConfig(gateway.port), { spool, clock, log, onSent: () => undefined })
    await first.start(AbortSignal.timeout(1_000))
    await until('five sent', () => spool.sentThrough === 5)
    await first.stop(AbortSignal.timeout(5_000))
    for (let i = 0; i < 5; i++) await appendBatch(spool)
    await spool.close()
    const again = await openTestSpool(folder)
    await startUplink(again, gateway.port)
    await until('ten sent', () => again.sentThrough === 10)
    expect(sequences(gateway)).toEqual(upTo(10))
  })

  test('stopping waits for what is under way', async () => {
    const gateway = await gatewayOf()
    const spool = await openTestSpool()
    const uplink = await startUplink(spool, gateway.port)
    await until('connected', () => uplink.connected)
    await Promise.all(upTo(40).map(() => appendBatch(spool)))
    await uplink.stop(AbortSignal.timeout(5_000))
    expect(spool.sentThrough).toBe(40)
  })
})

describe('what goes wrong', () => {
  test('a wrong password is said with what to do, and loses nothing', async () => {
    const gateway = await gatewayOf({ password: 'another' })
    const spool = await openTestSpool()
    await appendBatch(spool)
    const uplink = await startUplink(spool, gateway.port)
    await until('said', () => uplink.detail.includes('refuses the credentials of "pi-1"'))
    const line = JSON.parse(lines.findLast((text) => text.includes('refuses the credentials')) ?? '{}') as Record<
      string,
      unknown
    >
    expect(line).toMatchObject({ level: 'warn', hint: expect.stringContaining('password') })
    expect(line['delayMs']).toBeGreaterThanOrEqual(5_000)
    expect(spool.sentThrough).toBe(0)
  })

  test('a password file that is not there is said with what to do', async () => {
    const spool = await openTestSpool()
    const uplink = await startUplink(spool, 1, { password: undefined, password_file: '/nowhere/secret' })
    await until('said', () => uplink.detail === 'password_file /nowhere/secret cannot be read')
  })

  test('no gateway at all: it tries again, and sends when there is one', async () => {
    const gateway = await startGateway()
    await gateway.stop()
    const spool = await openTestSpool()
    await appendBatch(spool)
    const uplink = await startUplink(spool, gateway.port)
    await until('said', () => uplink.detail.includes('ECONNREFUSED'))
    const second = await gatewayOf({ port: gateway.port })
    await until('sent', () => spool.sentThrough === 1)
    expect(sequences(second)).toEqual([1])
  })

  test('a gateway that takes batches and never answers is left for a new connection', async () => {
    const gateway = await gatewayOf()
    gateway.mute = true
    const spool = await openTestSpool()
    await appendBatch(spool)
    const uplink = await startUplink(spool, gateway.port)
    await until('given up', () => uplink.detail.includes('no answer to batch 1 within 10000 ms'), 15_000)
    gateway.mute = false
    await until('sent on the next connection', () => spool.sentThrough === 1)
    expect(gateway.connections).toBe(2)
  })
})
