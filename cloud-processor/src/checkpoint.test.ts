import { createLogger } from '@tributary/runtime'
import { createFaultyFileSystem, type DiskFault, type FaultyFileSystem } from '@tributary/runtime/testing'
import { describe, expect, test } from 'vitest'
import { CheckpointConflictError, createFileCheckpointStore } from './checkpoint.ts'

const log = createLogger('test', 'silent')
const FOLDER = '/state'
const bytesOf = (n: number) => Buffer.from(`state ${n} `.repeat(200 + n))
const numberIn = (bytes: Uint8Array | undefined) =>
  bytes === undefined ? 0 : Number(/\d+/.exec(Buffer.from(bytes).toString())?.[0])
const storeOn = (disk: FaultyFileSystem, logger = log) =>
  createFileCheckpointStore(FOLDER, 3, { log: logger, fileSystem: disk.mount() })

/** Saves 1, 2, … until something fails for good. @returns the number of the last save that resolved */
async function saveUntil(disk: FaultyFileSystem, count: number, progress: { saved: number }): Promise<void> {
  const store = storeOn(disk)
  let revision = (await store.load())?.revision ?? 0
  for (let n = 1; n <= count; n++) {
    for (;;)
      try {
        revision = await store.save(bytesOf(n), revision)
        break
      } catch (error) {
        // As the loop does: a failed save is tried again.
        if (error instanceof CheckpointConflictError) throw error
      }
    progress.saved = n
  }
}

test('what was saved is loaded; each save has the next revision', async () => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const store = storeOn(disk)
  expect(await store.load()).toBeUndefined()
  expect(await store.save(bytesOf(1), 0)).toBe(1)
  expect(await store.save(bytesOf(2), 1)).toBe(2)
  const loaded = await storeOn(disk).load()
  expect(loaded?.revision).toBe(2)
  expect(Buffer.from(loaded?.bytes ?? []).equals(bytesOf(2))).toBe(true)
})

describe.each<DiskFault>(['crash', 'EIO', 'ENOSPC', 'short_write'])('%s at every operation', (fault) => {
  test('what save confirmed is there afterwards, or what came after it', async () => {
    const dry = createFaultyFileSystem({ seed: 1 })
    await saveUntil(dry, 4, { saved: 0 })
    const operations = dry.operations
    expect(operations).toBeGreaterThan(20)
    for (let index = 0; index < operations; index++) {
      const disk = createFaultyFileSystem({ seed: index })
      disk.faultAt = (operation) => (operation.index === index ? fault : undefined)
      const progress = { saved: 0 }
      const { crashed } = disk
      // The first operations are those of load; a load that fails stops the start, and the start is tried again.
      const work = saveUntil(disk, 4, progress).catch(() => saveUntil(disk, 4, progress))
      await Promise.race([work, crashed])
      disk.faultAt = undefined
      disk.crash()
      const loaded = await storeOn(disk).load()
      const found = numberIn(loaded?.bytes)
      expect(
        found === progress.saved || found === progress.saved + 1,
        `fault at ${index}: ${found}, ${progress.saved}`,
      ).toBe(true)
      if (found > 0) expect(Buffer.from(loaded?.bytes ?? []).equals(bytesOf(found))).toBe(true)
    }
  })
})

test.each([
  ['cut short', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 7)],
  ['one bit flipped', (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, i) => (i === 100 ? byte ^ 4 : byte))],
  ['empty', () => new Uint8Array(0)],
  ['something else', () => Buffer.from('hello, this is a foreign file')],
])('a damaged newest file (%s): the generation before, loudly; then it goes on', async (_, damage) => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const store = storeOn(disk)
  await store.load()
  for (let n = 1; n <= 3; n++) await store.save(bytesOf(n), n - 1)
  const newest = `${FOLDER}/partition-03.1`
  disk.put(newest, damage(disk.contents(newest) as Uint8Array))
  const said: string[] = []
  const next = storeOn(disk, createLogger('test', 'error', { write: (line: string) => said.push(line) }))
  const loaded = await next.load()
  expect(numberIn(loaded?.bytes)).toBe(2)
  expect(said.join()).toContain('checkpoint is damaged')
  expect(said.join()).toContain('the account goes on from an earlier checkpoint')
  expect(await next.save(bytesOf(9), 2)).toBe(3)
  expect(await next.save(bytesOf(10), 3)).toBe(4)
  expect(numberIn((await storeOn(disk).load())?.bytes)).toBe(10)
})

test('both files damaged: it starts anew and goes on, as if there had been none', async () => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const store = storeOn(disk)
  await store.load()
  for (let n = 1; n <= 3; n++) await store.save(bytesOf(n), n - 1)
  for (const file of [`${FOLDER}/partition-03.0`, `${FOLDER}/partition-03.1`]) {
    const bytes = disk.contents(file) as Uint8Array
    disk.put(
      file,
      Uint8Array.from(bytes, (byte, i) => (i === 100 ? byte ^ 4 : byte)),
    )
  }
  const next = storeOn(disk)
  expect(await next.load()).toBeUndefined()
  expect(await next.save(bytesOf(9), 0)).toBe(1)
  expect(numberIn((await storeOn(disk).load())?.bytes)).toBe(9)
  expect(await next.save(bytesOf(10), 1)).toBe(2)
  expect(numberIn((await storeOn(disk).load())?.bytes)).toBe(10)
})

test('a processor that was replaced cannot overwrite its successor', async () => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const first = storeOn(disk)
  await first.load()
  await first.save(bytesOf(1), 0)
  const second = storeOn(disk)
  const loaded = await second.load()
  await second.save(bytesOf(2), loaded?.revision ?? 0)
  await expect(first.save(bytesOf(3), 1)).rejects.toBeInstanceOf(CheckpointConflictError)
  expect(numberIn((await storeOn(disk).load())?.bytes)).toBe(2)
})
