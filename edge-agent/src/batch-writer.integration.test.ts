import { type Batch, decodeBatch, type Tombstone } from '@tributary/protocol'
import { createLogger, createMetrics, type FileSystem, nodeFileSystem, systemClock } from '@tributary/runtime'
import { openSpool, type Spool } from '@tributary/spool'
import { afterEach, describe, expect, test } from 'vitest'
import { type BatchWriter, createBatchWriter } from './batch-writer.ts'
import { createCompleteThrough } from './complete-through.ts'
import { createEventTime } from './event-time.ts'
import { tombstonesFor } from './losses.ts'
import { recover } from './recover.ts'
import { createRepeatGuard } from './repeat-guard.ts'
import { emptyDelivery, readSample } from './sample.ts'
import { createStamper } from './stamper.ts'
import { temporaryFolder, until } from './testing.ts'

const clock = systemClock
const log = createLogger('test', 'silent')
const noRetention = { makeRoom: async () => false }
const eventTime = () =>
  createEventTime({ offsetMs: Math.round(clock.wallMs() - clock.monotonicMs()), quality: 'trusted' })
const opened: { spool: Spool; writer: BatchWriter }[] = []

async function start(
  folder: string,
  options: {
    fileSystem?: FileSystem
    ageMs?: number
    readings?: number
    bytesMax?: number
    durabilityMs?: number
    restMs?: number
    tombstones?: () => Promise<Tombstone[]>
  } = {},
) {
  const dependencies = { clock, log, metrics: createMetrics('test') }
  const limits = {
    segmentBytesMax: 2 ** 21,
    bytesMax: options.bytesMax ?? 2 ** 25,
    durabilityMs: options.durabilityMs ?? 5,
    freeBytesMin: 0,
  }
  const spool = await openSpool(folder, limits, {
    ...dependencies,
    ...(options.fileSystem && { fileSystem: options.fileSystem }),
  })
  const guard = createRepeatGuard()
  const recovered = await recover(spool, guard, log)
  const writer: BatchWriter = createBatchWriter(
    {
      agent: 'pi-1',
      bootId: 'boot',
      ageMs: options.ageMs ?? 20,
      readings: options.readings ?? 1_000,
      ...(options.restMs === undefined ? {} : { durabilityMs: options.restMs }),
      readingsTotal: recovered.readingsTotal,
      completeThroughMs: recovered.completeThroughMs,
    },
    {
      spool,
      guard,
      stamper: createStamper(),
      completeThrough: createCompleteThrough(1_000, recovered.completeThroughMs),
      eventTime: eventTime(),
      pendingSinceMs: () => [],
      retention: noRetention,
      tombstones: options.tombstones ?? (() => tombstonesFor(spool, writer.totals.readingsTotal)),
      clock,
      log,
      onBatch: () => undefined,
    },
  )
  opened.push({ spool, writer })
  return { spool, writer }
}
afterEach(async () => {
  for (const { spool, writer } of opened.splice(0)) {
    writer.stop()
    await spool.close()
  }
})

const deliveryOf = (...values: unknown[]) => {
  const delivery = emptyDelivery(clock.wallMs())
  for (const value of values) readSample(value, { device: 'd', kind: 'k' }, delivery)
  return delivery
}
async function batchesIn(spool: Spool): Promise<Batch[]> {
  const batches: Batch[] = []
  for (let from = spool.firstSequence; from < spool.nextSequence; ) {
    const records = await spool.read(from, 2 ** 20)
    for (const record of records) batches.push(decodeBatch(record.payload))
    from = (records.at(-1)?.sequence ?? spool.nextSequence) + 1
  }
  return batches
}

describe('what is reported as stored', () => {
  test('is in the spool, in the order of arrival, and each batch carries its own sequence and running total', async () => {
    const { spool, writer } = await start(temporaryFolder(), { readings: 50 })
    const stored: number[] = []
    for (let i = 0; i < 500; i++) {
      writer.accept('in', deliveryOf({ sequence: i, value: i / 3 }), () => {
        stored.push(i)
      })
      if (i % 100 === 0) await clock.sleep(10)
    }
    await until('everything stored', () => stored.length === 500)
    expect(stored).toEqual(Array.from({ length: 500 }, (_, i) => i))
    const batches = await batchesIn(spool)
    expect(batches.map(({ header }) => header.sequence)).toEqual(batches.map((_, i) => i + 1))
    let total = 0
    for (const { header } of batches) {
      total += header.readingCount
      expect(header.readingsTotal).toBe(total)
      expect(header.completeThroughMs).toBeLessThanOrEqual(header.createdAtMs)
    }
    expect(total).toBe(1_000)
    expect(writer.totals).toMatchObject({ readingsTotal: 1_000, samples: 500, repeatedSamples: 0 })
  })

  test('samples without a time get distinct ones', async () => {
    const { spool, writer } = await start(temporaryFolder())
    writer.accept('in', deliveryOf(...Array.from({ length: 300 }, () => ({ value: 1 }))))
    await writer.flush(AbortSignal.timeout(5_000))
    const times = (await batchesIn(spool)).flatMap(({ blocks }) => blocks.flatMap((block) => [...block.timesMs]))
    expect(new Set(times).size).toBe(300)
  })

  test('dead letters travel with the samples, a flood of them as one', async () => {
    const { spool, writer } = await start(temporaryFolder())
    for (let i = 0; i < 100; i++) writer.accept('in', deliveryOf({ value: { nested: i } }))
    writer.accept('in', deliveryOf({ value: 1 }))
    await writer.flush(AbortSignal.timeout(5_000))
    const [batch] = await batchesIn(spool)
    expect(batch?.deadLetters).toHaveLength(11)
    expect(batch?.deadLetters.reduce((sum, letter) => sum + letter.readingCount, 0)).toBe(100)
    expect(batch?.header).toMatchObject({ readingCount: 101, readingsTotal: 101, sampleCount: 1 })
    expect(writer.totals).toMatchObject({ deadLetters: 100, deadLetteredReadings: 100 })
  })
})

test('a disk that has rested is not waited for; one that has just synced collects', async () => {
  const { writer } = await start(temporaryFolder(), { durabilityMs: 60_000, restMs: 300 })
  let stored = 0
  const accept = (sequence: number) => writer.accept('in', deliveryOf({ sequence, value: 1 }), () => stored++)
  accept(1)
  await until('the first', () => stored === 1, 5_000)
  accept(2)
  await clock.sleep(200)
  expect(stored).toBe(1)
  writer.hurryDisk()
  await until('the second', () => stored === 2, 5_000)
  await clock.sleep(350)
  accept(3)
  await until('the third', () => stored === 3, 5_000)
})

describe('a disk that may collect for a minute', () => {
  const rows = (from: number, count: number) =>
    deliveryOf(...Array.from({ length: count }, (_, i) => ({ sequence: from + i, value: i })))

  test('does not while a batch that is as large as it may be waits behind another', async () => {
    const { writer } = await start(temporaryFolder(), { durabilityMs: 60_000 })
    let stored = 0
    const onStored = () => {
      stored++
    }
    // The first thousand go to the disk alone; the rest are three of the largest batches and a little.
    for (let i = 0; i < 77; i++) writer.accept('in', rows(i * 1_000, 1_000), onStored)
    await until('all but the last of the large ones, and the small one behind it', () => stored >= 51, 5_000)
    expect(stored).toBe(51)
  })

  test('does not when as many senders wait as may', async () => {
    const { writer } = await start(temporaryFolder(), { durabilityMs: 60_000, ageMs: 60_000 })
    let stored = 0
    const onStored = () => {
      stored++
    }
    // One on its way to the disk, one behind it.
    writer.accept('in', rows(0, 1_000), onStored)
    await clock.sleep(20)
    writer.accept('in', rows(1_000, 1), onStored)
    expect(stored).toBe(0)
    writer.hurryDisk()
    await until('both', () => stored === 2, 5_000)
  })
})

test('a batch is not lost because the tombstones could not be made: they follow later', async () => {
  let failures = 2
  const { spool, writer } = await start(temporaryFolder(), {
    tombstones: async () => {
      if (failures-- > 0) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
      return []
    },
  })
  let stored = 0
  for (let i = 0; i < 3; i++) {
    writer.accept('in', deliveryOf({ sequence: i, value: 1 }), () => stored++)
    await writer.flush(AbortSignal.timeout(5_000))
  }
  expect(stored).toBe(3)
  expect((await batchesIn(spool)).map(({ header }) => header.sampleCount)).toEqual([1, 1, 1])
})

test('a refusal that went into a summary is reported as stored with the summary, not with a batch that was full before', async () => {
  const { spool, writer } = await start(temporaryFolder(), { readings: 50_000, ageMs: 200 })
  const storedAt: number[] = []
  for (let i = 0; i < 30; i++)
    writer.accept('in', deliveryOf({ value: { nested: i } }), () => storedAt.push(spool.nextSequence - 1))
  for (let i = 0; i < 900; i++) writer.accept('in', deliveryOf({ value: `${i}`.padEnd(1_000, 'x') }))
  await writer.flush(AbortSignal.timeout(10_000))
  const batches = await batchesIn(spool)
  expect(batches.length).toBeGreaterThan(1)
  const toldIn = (batch: Batch) => batch.deadLetters.reduce((sum, letter) => sum + letter.readingCount, 0)
  const told = batches.map((_, i) => batches.slice(0, i + 1).reduce((sum, batch) => sum + toldIn(batch), 0))
  expect(told.at(-1)).toBe(30)
  storedAt.forEach((sequence, i) => {
    expect(told[sequence - 1], `refusal ${i} was reported as stored with batch ${sequence}`).toBeGreaterThan(i)
  })
  expect(storedAt).toHaveLength(30)
})

describe('a repeat', () => {
  test('is reported as stored again, after its original, and stored once; also after a restart', async () => {
    const folder = temporaryFolder()
    const first = await start(folder)
    const order: string[] = []
    first.writer.accept('in', deliveryOf({ sequence: 1, value: 2 }), () => order.push('original'))
    first.writer.accept('in', deliveryOf({ sequence: 1, value: 2 }), () => order.push('repeat'))
    await until('both', () => order.length === 2)
    expect(order).toEqual(['original', 'repeat'])
    first.writer.accept('in', deliveryOf({ sequence: 1, value: 2 }), () => order.push('again'))
    await until('again, though nothing is written', () => order.length === 3)
    expect(first.spool.nextSequence).toBe(2)
    await first.spool.close()

    const second = await start(folder)
    expect(second.writer.totals.readingsTotal).toBe(2)
    second.writer.accept('in', deliveryOf({ sequence: 1, value: 2 }, { sequence: 2, value: 2 }))
    await second.writer.flush(AbortSignal.timeout(5_000))
    expect(second.writer.totals).toMatchObject({ readingsTotal: 4, repeatedSamples: 1 })
    const promises = (await batchesIn(second.spool)).map(({ header }) => header.completeThroughMs)
    expect(promises).toEqual([...promises].sort((a, b) => a - b))
  })
})

describe('a disk that is full', () => {
  /** Says how much is free; everything else is the real file system. */
  const limited = (state: { freeBytes: number }): FileSystem => ({
    ...nodeFileSystem,
    freeBytes: async () => state.freeBytes,
  })

  test('takes a little more into memory, then refuses; what is shed is told, and all goes on when there is room', async () => {
    const disk = { freeBytes: 2 ** 40 }
    const folder = temporaryFolder()
    const dependencies = { clock, log, metrics: createMetrics('test'), fileSystem: limited(disk) }
    const spool = await openSpool(
      folder,
      { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 25, durabilityMs: 5, freeBytesMin: 2 ** 30 },
      dependencies,
    )
    const writer: BatchWriter = createBatchWriter(
      { agent: 'pi-1', bootId: 'boot', ageMs: 5, readings: 1, readingsTotal: 0, completeThroughMs: 0 },
      {
        spool,
        guard: createRepeatGuard(),
        stamper: createStamper(),
        completeThrough: createCompleteThrough(0, 0),
        eventTime: eventTime(),
        pendingSinceMs: () => [],
        tombstones: async () => [],
        retention: noRetention,
        clock,
        log,
        onBatch: () => undefined,
      },
    )
    opened.push({ spool, writer })
    let stored = 0
    let taken = 0
    let refused = 0
    let accepted = 0
    const offer = (value: string) => {
      const delivery = deliveryOf({ value, other: 1 })
      if (writer.accept('in', delivery, () => stored++)) {
        taken++
        accepted += 2
      } else {
        refused++
        writer.shed('in', delivery)
      }
    }
    offer('before')
    await until('the first stored', () => stored === 1)
    disk.freeBytes = 0
    await until('the spool says that it is full', async () => {
      offer('a little')
      await clock.sleep(20)
      return writer.fullSinceMs !== undefined
    })
    // Each is as large as a value may be, so that a few batches are soon full.
    for (let i = 0; i < 10_000; i++) {
      offer(`${i}`.padEnd(1_000, 'x'))
      if (i % 500 === 0) await clock.sleep(5)
    }
    expect(stored).toBeLessThan(taken)
    expect(refused).toBeGreaterThan(5_000)
    expect(writer.totals.shedReadings).toBe(refused * 2)

    // Many who wait, each with more than there is room for: they must not starve or spin.
    let waited = 0
    const offerAgain = (left: number): void => {
      waited++
      offer(`again ${waited}`.padEnd(1_000, 'y'))
      if (left > 0) writer.whenRoom(() => offerAgain(left - 1))
    }
    for (let i = 0; i < 5; i++) writer.whenRoom(() => offerAgain(20))
    disk.freeBytes = 2 ** 40
    let roomAt = 0
    writer.whenRoom(() => {
      roomAt = stored
    })
    await until('what was taken is stored', () => stored === taken && waited === 105)
    expect(roomAt).toBeGreaterThan(0)
    offer('after')
    await writer.flush(AbortSignal.timeout(10_000))
    const letters = (await batchesIn(spool)).flatMap(({ deadLetters }) => deadLetters)
    expect(letters.every(({ reason }) => reason === 'spool_full')).toBe(true)
    expect(letters.reduce((sum, letter) => sum + letter.readingCount, 0)).toBe(refused * 2)
    expect(writer.totals.readingsTotal).toBe(accepted + refused * 2)
    expect((await batchesIn(spool)).map(({ header }) => header.sequence)).toEqual(
      Array.from({ length: spool.nextSequence - 1 }, (_, i) => i + 1),
    )
  })
})

test('records that the spool lost become tombstones with their readings', async () => {
  const folder = temporaryFolder()
  const first = await start(folder, { readings: 1 })
  for (let i = 0; i < 5; i++) {
    first.writer.accept('in', deliveryOf({ sequence: i, value: 1, other: 2 }))
    await first.writer.flush(AbortSignal.timeout(5_000))
  }
  const payload = (await first.spool.read(3, 1))[0]?.payload as Uint8Array
  await first.spool.close()
  // One bit of the third record.
  const { readdir, readFile, writeFile } = await import('node:fs/promises')
  for (const name of await readdir(folder)) {
    const bytes = await readFile(`${folder}/${name}`).catch(() => undefined)
    const at = bytes?.indexOf(Buffer.from(payload)) ?? -1
    if (!bytes || at < 0) continue
    bytes[at + 20] = (bytes[at + 20] as number) ^ 4
    await writeFile(`${folder}/${name}`, bytes)
  }
  const second = await start(folder)
  second.writer.accept('in', deliveryOf({ sequence: 9, value: 1, other: 2 }))
  await second.writer.flush(AbortSignal.timeout(5_000))
  const last = (await batchesIn(second.spool)).at(-1)
  expect(last?.tombstones).toEqual([
    { epoch: second.spool.epoch, fromSequence: 3, toSequence: 3, readingCount: 3, reason: 'damaged' },
  ])
  expect(last?.header.readingsTotal).toBe(18)
  expect(second.spool.losses).toEqual([])
})
