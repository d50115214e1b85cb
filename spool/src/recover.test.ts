import { crc32 } from 'node:zlib'
import { UserError } from '@tributary/runtime'
import { describe, expect, it } from 'vitest'
import { segmentName } from './segment.ts'
import { SpoolFullError } from './spool-full-error.ts'
import { createSpoolHarness, FOLDER, smallOptions } from './testing.ts'

const newestSegment = (harness: ReturnType<typeof createSpoolHarness>) =>
  harness.disk
    .files()
    .filter((path) => path.endsWith('.seg') && !path.includes('quarantine'))
    .at(-1) as string

async function started(seed: number, options = smallOptions) {
  const harness = createSpoolHarness(seed, options)
  await harness.open()
  return harness
}

describe('a spool that is opened again', () => {
  it('is the same after an orderly end, and tells of no loss', async () => {
    const harness = await started(1)
    await harness.append(40)
    harness.markSent(25)
    await harness.trim(20)
    const { epoch, nextSequence, firstSequence, bytesUsed } = harness.spool
    await harness.close()
    await harness.open()
    expect(harness.spool).toMatchObject({
      epoch,
      nextSequence,
      firstSequence,
      bytesUsed,
      sentThrough: 25,
      trimmedThrough: 20,
    })
    expect(harness.spool.losses).toEqual([])
    await harness.verify()
  })

  it('names what was cut off its end, goes on behind it, and names it once', async () => {
    const harness = await started(2)
    await harness.append(30)
    const { epoch } = harness.spool
    await harness.close()
    const path = newestSegment(harness)
    const first = Number(path.slice(-24, -4))
    harness.disk.put(path, (harness.disk.contents(path) as Uint8Array).subarray(0, 100))
    await harness.open()
    const [loss] = harness.spool.losses
    expect(harness.spool.losses).toHaveLength(1)
    expect(loss).toMatchObject({ toSequence: 30, reason: 'damaged', epoch })
    expect(loss?.fromSequence).toBeGreaterThanOrEqual(first)
    expect(harness.spool.nextSequence).toBe(31)
    await harness.verify({ damage: true })
    harness.reportLosses()
    await harness.append(1)
    await harness.close()
    await harness.open()
    await harness.verify({ damage: true })
    expect(harness.spool.losses).toEqual([])
  })

  it('lets a reader wait behind what was lost, not look for it again and again', async () => {
    const harness = await started(15)
    await harness.append(30)
    await harness.close()
    const path = newestSegment(harness)
    harness.disk.put(path, (harness.disk.contents(path) as Uint8Array).subarray(0, 100))
    await harness.open()
    const next = (harness.spool.losses[0]?.fromSequence ?? 0) + 1
    let woken = false
    const waiting = harness.spool.waitFor(next, new AbortController().signal).then(() => {
      woken = true
    })
    await harness.pump(harness.clock.sleep(2_000))
    expect(woken).toBe(false)
    expect(await harness.pump(harness.spool.read(next, 1_000))).toEqual([])
    await harness.append(1)
    await waiting
    expect(await harness.pump(harness.spool.read(next, 1_000))).toMatchObject([{ sequence: 31 }])
  })

  it('passes over a flipped bit in the middle of an older segment, and names the record as it is read', async () => {
    const harness = await started(3)
    await harness.append(30)
    await harness.close()
    const path = `${FOLDER}/${segmentName(1)}`
    const bytes = Buffer.from(harness.disk.contents(path) as Uint8Array)
    bytes.writeUInt8(bytes.readUInt8(70) ^ 4, 70)
    harness.disk.put(path, bytes)
    await harness.open()
    expect(harness.spool.losses).toEqual([])
    expect(((await harness.pump(harness.spool.read(1, 1e6))) as { sequence: number }[])[0]?.sequence).toBe(2)
    expect(harness.spool.losses).toEqual([
      { fromSequence: 1, toSequence: 1, reason: 'damaged', epoch: harness.spool.epoch },
    ])
    expect(await harness.metrics.registry.metrics()).toContain(
      'tributary_spool_records_damaged_total{reason="checksum",process="test"} 1',
    )
  })

  it('sends again from the first record when its cursor is damaged, under a new epoch', async () => {
    const harness = await started(4)
    await harness.append(12)
    harness.markSent(12)
    const { epoch } = harness.spool
    await harness.close()
    harness.disk.put(`${FOLDER}/cursor`, Buffer.alloc(8192, 1))
    await harness.open({ damage: true })
    expect(harness.spool).toMatchObject({ sentThrough: 0, nextSequence: 13, firstSequence: 1 })
    expect(harness.spool.epoch).not.toBe(epoch)
    expect(harness.spool.losses).toEqual([
      { fromSequence: 1, toSequence: 12, reason: 'unused', epoch: harness.spool.epoch },
    ])
    await harness.verify()
    harness.reportLosses()
    await harness.append(3)
    await harness.close()
    await harness.open()
    expect(harness.spool.losses).toEqual([])
    await harness.verify()
  })

  it.each([0, 1])(
    'calls nothing lost when slot %i of its cursor is damaged and all records are there',
    async (slot) => {
      const harness = await started(16)
      await harness.append(12)
      const { epoch } = harness.spool
      await harness.close()
      const cursor = Buffer.from(harness.disk.contents(`${FOLDER}/cursor`) as Uint8Array)
      cursor.writeUInt8(cursor.readUInt8(4096 * slot + 700) ^ 1, 4096 * slot + 700)
      harness.disk.put(`${FOLDER}/cursor`, cursor)
      await harness.open()
      expect(harness.spool.epoch).not.toBe(epoch)
      expect(harness.spool.nextSequence).toBe(13)
      expect(await harness.verify()).toEqual({ records: 12, lost: 0 })
      expect(harness.spool.losses).toEqual([
        { fromSequence: 1, toSequence: 12, reason: 'unused', epoch: harness.spool.epoch },
      ])
    },
  )

  it('names what is gone when a slot of its cursor is damaged, too', async () => {
    const harness = await started(17)
    await harness.append(30)
    const { epoch } = harness.spool
    await harness.close()
    const cursor = Buffer.from(harness.disk.contents(`${FOLDER}/cursor`) as Uint8Array)
    const generations = [0, 1].map((slot) => cursor.readUIntLE(4096 * slot + 12, 6)) as [number, number]
    const older = generations[0] < generations[1] ? 0 : 1
    cursor.writeUInt8(cursor.readUInt8(4096 * older + 700) ^ 1, 4096 * older + 700)
    harness.disk.put(`${FOLDER}/cursor`, cursor)
    const path = newestSegment(harness)
    harness.disk.put(path, (harness.disk.contents(path) as Uint8Array).subarray(0, 100))
    await harness.open()
    expect(harness.spool.losses.find(({ reason }) => reason === 'damaged')).toMatchObject({ epoch, toSequence: 30 })
    await harness.verify({ damage: true })
  })

  it("knows its owner's running total although the records that had it are gone", async () => {
    const harness = await started(18)
    const append = (n: number, total?: number) =>
      harness.pump(harness.spool.append(Buffer.alloc(150, n), total === undefined ? {} : { total }))
    expect(harness.spool.total).toBeUndefined()
    for (let n = 1; n <= 20; n++) await append(n, 100 * n)
    expect(harness.spool.total).toBe(2_000)
    await append(21)
    expect(harness.spool.total).toBe(2_000)
    await harness.close()
    const path = newestSegment(harness)
    harness.disk.put(path, (harness.disk.contents(path) as Uint8Array).subarray(0, 60))
    await harness.open()
    expect(harness.spool.losses).toMatchObject([{ toSequence: 21 }])
    expect(harness.spool.total).toBe(2_000)
    await append(22, 2_300)
    // Within a second the cursor has it, closed in order or not.
    await harness.clock.advance(2_500)
    harness.crash()
    await harness.open()
    expect(harness.spool.total).toBe(2_300)
  })

  it("does not take an epoch's total for that of the next", async () => {
    const harness = await started(19)
    await harness.pump(harness.spool.append(Buffer.alloc(150), { total: 7 }))
    await harness.close()
    harness.disk.put(`${FOLDER}/cursor`, (harness.disk.contents(`${FOLDER}/cursor`) as Uint8Array).subarray(0, 5_000))
    await harness.open({ damage: true })
    expect(harness.spool.total).toBeUndefined()
  })

  it('begins anew when nothing is left', async () => {
    const harness = await started(5)
    await harness.append(5)
    const { epoch } = harness.spool
    await harness.close()
    for (const path of harness.disk.files()) harness.disk.put(path, Buffer.alloc(200, '?'))
    await harness.open({ damage: true })
    expect(harness.spool.epoch).not.toBe(epoch)
    await harness.append(2)
    expect(harness.disk.files().some((path) => path.startsWith(`${FOLDER}/quarantine/`))).toBe(true)
  })

  it('knows its epoch without its identity file', async () => {
    const harness = await started(6)
    await harness.append(5)
    const { epoch } = harness.spool
    await harness.close()
    harness.disk.discard(`${FOLDER}/identity`)
    await harness.open()
    expect(harness.spool).toMatchObject({ epoch, nextSequence: 6, losses: [] })
  })

  it('sets foreign files aside and leaves alone what it put there before', async () => {
    const harness = await started(7)
    await harness.append(3)
    await harness.close()
    harness.disk.put(`${FOLDER}/notes.txt`, Buffer.from('buy milk'))
    await harness.open()
    expect(harness.disk.contents(`${FOLDER}/quarantine/notes.txt`)?.toString()).toBe('buy milk')
    expect(await harness.metrics.registry.metrics()).toContain(
      'spool_files_set_aside_total{reason="foreign",process="test"} 1',
    )
    await harness.verify()
  })

  it('gives out no number twice when its newest segment is lost within a second of an unclean end', async () => {
    const harness = await started(8)
    await harness.append(20)
    harness.crash()
    await harness.open()
    // One group makes a new segment; no cursor has been written since.
    await harness.append(8, 300)
    const next = harness.spool.nextSequence
    harness.crash()
    const path = newestSegment(harness)
    harness.disk.put(path, Buffer.alloc(harness.disk.contents(path)?.length ?? 0, 0xaa))
    await harness.open()
    expect(harness.spool.nextSequence).toBeGreaterThanOrEqual(next)
    await harness.verify({ damage: true })
  })

  it('gives out no number twice when thousands were written since the last cursor', async () => {
    const harness = await started(9, { ...smallOptions, segmentBytesMax: 256 * 1024, bytesMax: 2 ** 20 })
    await harness.append(3)
    for (let i = 0; i < 3; i++) await harness.append(1_000, 30)
    const next = harness.spool.nextSequence
    harness.crash()
    const path = newestSegment(harness)
    harness.disk.put(path, Buffer.alloc(harness.disk.contents(path)?.length ?? 0, 0xaa))
    await harness.open()
    expect(harness.spool.nextSequence).toBeGreaterThanOrEqual(next)
  })

  it.each([
    ['truncated', 50],
    ['with a flipped byte', 50],
  ])('starts %s at random places, and has or names every record', async (how, times) => {
    const named: number[] = []
    for (let seed = 1; seed <= times; seed++) {
      const harness = await started(seed)
      await harness.append(25)
      await harness.close()
      const files = harness.disk.files().filter((path) => path.endsWith('.seg'))
      const path = files[(seed * 7) % files.length] as string
      const bytes = Buffer.from(harness.disk.contents(path) as Uint8Array)
      const at = (seed * 7919) % bytes.length
      if (how === 'truncated') harness.disk.put(path, bytes.subarray(0, at))
      else {
        bytes.writeUInt8(bytes.readUInt8(at) ^ 0xff, at)
        harness.disk.put(path, bytes)
      }
      await harness.open()
      const { records, lost } = await harness.verify({ damage: true })
      expect(records + lost).toBe(25)
      named.push(lost)
      await harness.append(2)
      await harness.verify({ damage: true })
    }
    expect(Math.max(...named)).toBeGreaterThan(0)
  })
})

describe('the disk', () => {
  it('refuses at once while it is full, and goes on with the next number when space returns', async () => {
    const harness = await started(10, { ...smallOptions, freeBytesMin: 10_000 })
    harness.disk.bytesMax = 60_000
    await harness.pump(harness.clock.sleep(2_000))
    await harness.append(1)
    let refusedAt = 0
    for (let i = 0; i < 200 && refusedAt === 0; i++) {
      const before = harness.spool.nextSequence
      await harness.append(1, 400)
      await harness.pump(harness.clock.sleep(1_100))
      if (harness.spool.nextSequence === before) refusedAt = before
    }
    expect(refusedAt).toBeGreaterThan(20)
    expect(harness.disk.files().length).toBeGreaterThan(3)
    harness.disk.bytesMax = 1e6
    await harness.append(1)
    await harness.pump(harness.clock.sleep(1_100))
    await harness.append(1)
    expect(harness.spool.nextSequence).toBeGreaterThan(refusedAt)
    await harness.close()
    await harness.open()
    await harness.verify()
  })

  it('takes the first append after space has returned: it looks before it refuses', async () => {
    const harness = await started(20, { ...smallOptions, freeBytesMin: 10_000 })
    const append = () => harness.pump(harness.spool.append(Buffer.alloc(100)))
    await append()
    harness.disk.bytesMax = 12_000
    // The first may be taken by what was seen before.
    await harness.pump(harness.clock.sleep(2_000))
    await append().catch(() => undefined)
    await harness.pump(harness.clock.sleep(2_000))
    const { nextSequence } = harness.spool
    await expect(append()).rejects.toThrow(SpoolFullError)
    expect(harness.spool.nextSequence).toBe(nextSequence)
    await harness.pump(harness.clock.sleep(2_000))
    harness.disk.bytesMax = 1e6
    expect(await append()).toBe(nextSequence)
  })

  it('is tried again while it fails; nothing is acknowledged meanwhile, and no number is skipped', async () => {
    const harness = await started(11)
    await harness.append(3)
    harness.disk.faultAt = ({ kind }) => (kind === 'write' ? 'ENOSPC' : undefined)
    let done = false
    const waiting = harness.append(4).then(() => {
      done = true
    })
    await harness.pump(harness.clock.sleep(3_000))
    expect(done).toBe(false)
    expect(harness.spool.failing).toBe('the disk is full')
    expect(await harness.metrics.registry.metrics()).toContain('tributary_spool_failing{process="test"} 1')
    harness.disk.faultAt = undefined
    await waiting
    expect(harness.spool.failing).toBeUndefined()
    harness.crash()
    await harness.open()
    expect(harness.spool.nextSequence).toBe(8)
    await harness.verify()
    expect(harness.spool.losses).toEqual([])
  })

  it('is opened although it is full', async () => {
    const harness = await started(12)
    await harness.append(10)
    await harness.close()
    harness.disk.bytesMax = 0
    await harness.open()
    await harness.verify()
    await harness.close()
  })
})

it('keeps a second process out, and says which one is in', async () => {
  const harness = await started(13)
  await expect(harness.open()).rejects.toThrow(UserError)
  await expect(harness.open()).rejects.toThrow('/data/spool is in use by process 1')
})

it('sets a segment of a later version aside whole, and names what was in it', async () => {
  const harness = await started(14)
  await harness.append(30)
  await harness.close()
  const path = newestSegment(harness)
  const bytes = Buffer.from(harness.disk.contents(path) as Uint8Array)
  bytes.writeUInt16LE(2, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36)
  harness.disk.put(path, bytes)
  await harness.open()
  expect(harness.disk.contents(path.replace(FOLDER, `${FOLDER}/quarantine`))).toEqual(bytes)
  expect(harness.spool.losses).toMatchObject([{ toSequence: 30, reason: 'damaged' }])
  await harness.verify({ damage: true })
})
