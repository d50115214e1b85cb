import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readFileWhole, writeFileAtomic } from './atomic-file.ts'
import { createFaultyFileSystem, type DiskFault } from './faulty-file-system.ts'

const PATH = '/data/checkpoint'
const oldText = 'old '.repeat(400)
const newText = 'new '.repeat(600)

async function prepared(seed: number) {
  const disk = createFaultyFileSystem({ seed })
  const fileSystem = disk.mount()
  await fileSystem.makeFolder('/data')
  await fileSystem.syncFolder('/')
  await writeFileAtomic(PATH, Buffer.from(oldText), fileSystem)
  return { disk, fileSystem, first: disk.operations }
}

describe('a file that is written whole', () => {
  it.each<DiskFault>(['crash', 'ENOSPC', 'EIO', 'short_write'])(
    'holds the old bytes or the new ones, and the new ones once it said so: %s at every operation',
    async (fault) => {
      const { disk, fileSystem, first } = await prepared(0)
      await writeFileAtomic(PATH, Buffer.from(newText), fileSystem)
      const count = disk.operations - first
      expect(count).toBeGreaterThan(5)
      for (let seed = 1; seed <= 10; seed++)
        for (let at = 0; at < count; at++) {
          const { disk, fileSystem, first } = await prepared(seed)
          disk.faultAt = ({ index }) => (index === first + at ? fault : undefined)
          const crashed = disk.crashed.then(() => 'crashed')
          const result = await Promise.race([
            writeFileAtomic(PATH, Buffer.from(newText), fileSystem).then(
              () => 'written',
              () => 'failed',
            ),
            crashed,
          ])
          const onceMore = result === 'failed' && at % 2 === 0
          if (onceMore) await writeFileAtomic(PATH, Buffer.from(newText), fileSystem)
          if (result !== 'crashed') disk.crash()
          const found = Buffer.from((await readFileWhole(PATH, disk.mount())) ?? []).toString()
          const expected = result === 'written' || onceMore ? [newText] : [oldText, newText]
          expect(expected, `${fault} at operation ${at}, seed ${seed}`).toContain(found)
        }
    },
  )

  it('works on a real disk, and leaves nothing behind', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atomic-'))
    try {
      const path = join(folder, 'checkpoint')
      expect(await readFileWhole(path)).toBeUndefined()
      await writeFileAtomic(path, Buffer.from(newText))
      await writeFileAtomic(path, Buffer.from('short'))
      expect(await readFile(path, 'utf8')).toBe('short')
      expect(Buffer.from((await readFileWhole(path)) ?? []).toString()).toBe('short')
      expect(await readdir(folder)).toEqual(['checkpoint'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
