import { createLogger } from '@tributary/runtime'
import { createFaultyFileSystem, type DiskFault, type FaultyFileSystem } from '@tributary/runtime/testing'
import { describe, expect, test } from 'vitest'
import { checkpointConformance, numberIn, stateOf, take } from './checkpoint.conformance.ts'
import { TakenOverError } from './checkpoint.ts'
import { createFileCheckpointStore } from './file-checkpoint.ts'

const log = createLogger('test', 'silent')
const FOLDER = '/state'
const FILES = [`${FOLDER}/partition-03.0`, `${FOLDER}/partition-03.1`] as const
const storeOn = (disk: FaultyFileSystem, owner = 'a', logger = log) =>
  createFileCheckpointStore(FOLDER, 3, { owner, log: logger, fileSystem: disk.mount() })
const flipped = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, i) => (i === 100 ? byte ^ 4 : byte))
const revisionIn = (bytes: Uint8Array | undefined) => (bytes ? Number(Buffer.from(bytes).readBigUInt64LE(8)) : 0)
const newestOn = (disk: FaultyFileSystem) =>
  revisionIn(disk.contents(FILES[0])) > revisionIn(disk.contents(FILES[1])) ? FILES[0] : FILES[1]

describe('as every store', () =>
  checkpointConformance(async () => {
    const disk = createFaultyFileSystem({ seed: 1 })
    return {
      open: (owner) => storeOn(disk, owner),
      async damage(what) {
        for (const file of what === 'all' ? FILES : [newestOn(disk)])
          disk.put(file, flipped(disk.contents(file) as Uint8Array))
      },
    }
  }))

/** Saves 1, 2, … until something fails for good. @returns the number of the last save that resolved */
async function saveUntil(disk: FaultyFileSystem, count: number, progress: { saved: number }): Promise<void> {
  const store = storeOn(disk)
  let revision = await take(store)
  for (let n = 1; n <= count; n++) {
    for (;;)
      try {
        revision = await store.save(stateOf(n), revision)
        break
      } catch (error) {
        // As the loop does: a failed save is tried again.
        if (error instanceof TakenOverError) throw error
      }
    progress.saved = n
  }
}

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
      // The first operations are those of load and claim; one that fails stops the start, and the start is tried again.
      const work = saveUntil(disk, 4, progress).catch(() => saveUntil(disk, 4, progress))
      await Promise.race([work, crashed])
      disk.faultAt = undefined
      disk.crash()
      const loaded = await storeOn(disk, 'b').load()
      const found = numberIn(loaded.bytes)
      expect(
        found === progress.saved || found === progress.saved + 1,
        `fault at ${index}: ${found}, ${progress.saved}`,
      ).toBe(true)
      if (found > 0) expect(Buffer.from(loaded.bytes ?? []).equals(stateOf(found))).toBe(true)
    }
  })
})

test.each([
  ['cut short', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 7)],
  ['one bit flipped', flipped],
  ['empty', () => new Uint8Array(0)],
  ['something else', () => Buffer.from('hello, this is a foreign file')],
])('a damaged newest file (%s): the generation before, loudly; then it goes on', async (_, damage) => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const store = storeOn(disk)
  await take(store)
  for (let n = 1; n <= 3; n++) await store.save(stateOf(n), n - 1)
  const newest = newestOn(disk)
  disk.put(newest, damage(disk.contents(newest) as Uint8Array))
  const said: string[] = []
  const next = storeOn(disk, 'b', createLogger('test', 'error', { write: (line: string) => said.push(line) }))
  const loaded = await next.load()
  expect(numberIn(loaded.bytes)).toBe(2)
  expect(said.join()).toContain('checkpoint is damaged')
  expect(said.join()).toContain('the account goes on from an earlier checkpoint')
  await next.claim(loaded)
  expect(await next.save(stateOf(9), 2)).toBe(3)
  expect(await next.save(stateOf(10), 3)).toBe(4)
  expect(numberIn((await storeOn(disk).load()).bytes)).toBe(10)
})

test('a predecessor that was replaced while it wrote is told so: what it wrote is not acknowledged, and written over', async () => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const first = storeOn(disk, 'first')
  await take(first)
  await first.save(stateOf(1), 0)
  const second = storeOn(disk, 'second')
  let revision = 0
  let replaced = false
  disk.faultAt = () => {
    // In the middle of the write of the first one: the second one claims, and has not saved yet.
    if (!replaced && disk.contents(`${FILES[0]}.new`) !== undefined) {
      replaced = true
      disk.put(`${FOLDER}/partition-03.owner`, Buffer.from('second'))
    }
    return undefined
  }
  await expect(first.save(stateOf(2), 1)).rejects.toBeInstanceOf(TakenOverError)
  expect(replaced).toBe(true)
  disk.faultAt = undefined
  revision = await second.save(stateOf(3), 1)
  expect(numberIn((await storeOn(disk).load()).bytes)).toBe(3)
  await second.save(stateOf(4), revision)
  expect(numberIn((await storeOn(disk).load()).bytes)).toBe(4)
})
