import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool, SpoolFullError } from '@tributary/spool'
import { afterEach, expect, test } from 'vitest'
import { createEventTime } from './event-time.ts'
import { fillSpool } from './fill-spool.ts'
import { tombstonesFor } from './losses.ts'
import { createRecordClaims } from './record-claims.ts'
import { RECORDS_KEPT } from './recover.ts'
import type { RecordContent } from './remains.ts'
import { createRetention } from './retention.ts'
import { appendBatch, startGateway, temporaryFolder, until, uplinkConfig } from './testing.ts'
import { createUplink } from './uplink.ts'

const clock = systemClock
const log = createLogger('test', 'silent')
const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function openTestSpool(folder: string): Promise<Spool> {
  const limits = { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 26, durabilityMs: 0, freeBytesMin: 0 }
  const spool = await openSpool(folder, limits, { clock, log, metrics: createMetrics('test') })
  cleanUps.push(() => spool.close())
  return spool
}

/** Flips a bit in a record of the first segment. */
function spoil(folder: string, sequence: number): void {
  const segment = join(folder, readdirSync(folder).find((file) => file.endsWith('.seg')) as string)
  const bytes = readFileSync(segment)
  let record = -1
  for (let n = 1; n <= sequence; n++) record = bytes.indexOf('f55452f6', record + 1, 'hex')
  bytes.writeUInt8(bytes.readUInt8(record + 30) ^ 1, record + 30)
  writeFileSync(segment, bytes)
}

test('the uplink lets go of nothing behind a loss that no batch has told yet: after a crash it would never be told', async () => {
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const folder = temporaryFolder()
  const before = await openTestSpool(folder)
  for (let i = 0; i < 300; i++) await appendBatch(before)
  await before.close()
  spoil(folder, 5)
  const spool = await openTestSpool(folder)
  const uplink = createUplink(uplinkConfig(gateway.port), { spool, clock, log, onSent: () => undefined })
  await uplink.start(AbortSignal.timeout(1_000))
  cleanUps.push(() => uplink.stop(AbortSignal.abort()))
  await until('all sent', () => spool.sentThrough === 300)
  await until('trimmed', () => spool.trimmedThrough >= 4)
  await clock.sleep(100)
  expect(spool.trimmedThrough).toBe(4)
  expect(spool.losses).toMatchObject([{ fromSequence: 5, toSequence: 5 }])
  spool.lossesReported()
  await appendBatch(spool)
  await until('trimmed', () => spool.trimmedThrough === 301 - RECORDS_KEPT)
})

test.each([true, false])(
  'a full spool tells what was lost before it lets go of what was sent; room for that: %s',
  async (hasRoom) => {
    const folder = temporaryFolder()
    const limits = { segmentBytesMax: 2_048, bytesMax: 8 * 2_048 }
    const samples = Array.from({ length: 400 }, (_, i) => ({
      ...{ device: 'room', kind: 'climate', measuredAtMs: 1_000 * i, sequence: i },
      ...{ names: ['sequence', 'temperature_c'], values: [i, 20 + ((i * 7_919) % 1_000) / 100] },
    }))
    const filled = await fillSpool(
      folder,
      samples,
      { agent: 'pi-1', bootId: 'boot', readingsPerBatch: 10, spool: { ...limits, bytesMax: 64 * 2_048 } },
      clock,
    )
    spoil(folder, 5)
    const spool = await openSpool(
      folder,
      { ...limits, durabilityMs: 0, freeBytesMin: 0 },
      { clock, log, metrics: createMetrics('test') },
    )
    cleanUps.push(() => spool.close())
    for (let from = 1; from < spool.nextSequence; ) from = ((await spool.read(from, 10_000)).at(-1)?.sequence ?? 0) + 1
    spool.markSent(filled.batches)
    expect(spool.untoldFrom).toBe(5)
    const told: RecordContent[] = []
    const retention = createRetention(
      { ...limits, segmentBytesMax: 2_048, keepLast: [], bootId: 'boot' },
      {
        spool,
        claims: createRecordClaims(spool, clock),
        losses: () => tombstonesFor(spool, filled.readings),
        eventTime: createEventTime({ offsetMs: 0, quality: 'trusted' }),
        corrected: (batch) => batch,
        log,
        onGivenUp: () => undefined,
      },
    )
    const own = {
      encode: () => new Uint8Array(10),
      async append(_: Uint8Array, content: RecordContent) {
        if (!hasRoom) throw new SpoolFullError('no room')
        expect(spool.trimmedThrough).toBe(0)
        told.push(content)
      },
    }
    const before = spool.bytesUsed
    expect(await retention.makeRoom(own, true)).toBe(true)
    expect(spool.bytesUsed).toBeLessThan(before)
    const loss = { epoch: filled.epoch, fromSequence: 5, toSequence: 5, readingCount: 10, reason: 'damaged' }
    expect(told.map(({ tombstones }) => tombstones)).toEqual(hasRoom ? [[loss]] : [])
    expect(spool.untoldFrom).toBe(hasRoom ? undefined : 5)
  },
)
