import { describe, expect, it } from 'vitest'
import { createFaultyFileSystem } from './faulty-file-system.ts'

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString()

/** What is left of a file, over many seeds. */
async function leftOvers(work: (disk: ReturnType<typeof createFaultyFileSystem>) => Promise<unknown>) {
  const found = new Set<string | undefined>()
  for (let seed = 1; seed <= 40; seed++) {
    const disk = createFaultyFileSystem({ seed })
    await work(disk)
    disk.crash()
    found.add(text(disk.contents('/a')))
  }
  return found
}

describe('the faulty disk', () => {
  it('keeps what was synced, bytes and name', async () => {
    const found = await leftOvers(async (disk) => {
      const fileSystem = disk.mount()
      const file = await fileSystem.open('/a', 'create')
      await file.write(Buffer.from('safe'), 0)
      await file.sync()
      await fileSystem.syncFolder('/')
    })
    expect([...found]).toEqual(['safe'])
  })

  it('may lose or tear what was not', async () => {
    const found = await leftOvers(async (disk) => {
      const fileSystem = disk.mount()
      const file = await fileSystem.open('/a', 'create')
      await fileSystem.syncFolder('/')
      await file.write(Buffer.from('unsafe'), 0)
    })
    expect(found).toContain('')
    expect(found).toContain('unsafe')
    expect([...found].some((left) => left !== '' && left !== 'unsafe')).toBe(true)
    const names = await leftOvers(async (disk) => (await disk.mount().open('/a', 'create')).sync())
    expect(names).toContain(undefined)
  })

  it('may have lost bytes after a sync that failed, whatever the next one says', async () => {
    const found = await leftOvers(async (disk) => {
      const fileSystem = disk.mount()
      const file = await fileSystem.open('/a', 'create')
      await fileSystem.syncFolder('/')
      await file.write(Buffer.from('bytes'), 0)
      disk.faultAt = ({ kind }) => (kind === 'sync' ? 'EIO' : undefined)
      await expect(file.sync()).rejects.toThrow('EIO')
      disk.faultAt = undefined
      await file.sync()
    })
    expect(found).toEqual(new Set(['', 'bytes']))
  })

  it('runs full, writes short, flips bits, and is the same again with the same seed', async () => {
    const run = async () => {
      const disk = createFaultyFileSystem({ seed: 5 })
      const fileSystem = disk.mount()
      const file = await fileSystem.open('/a', 'create')
      disk.bytesMax = 6
      expect(await file.write(Buffer.from('12345678'), 0)).toBe(6)
      await expect(file.write(Buffer.from('9'), 6)).rejects.toMatchObject({ code: 'ENOSPC' })
      expect(await fileSystem.freeBytes('/')).toBe(0)
      disk.bytesMax = 100
      disk.faultAt = ({ kind }) => (kind === 'write' ? 'short_write' : undefined)
      expect(await file.write(Buffer.from('abcd'), 0)).toBe(2)
      disk.faultAt = ({ kind }) => (kind === 'write' ? 'bit_flip' : undefined)
      await file.write(Buffer.from('abcd'), 0)
      return text(disk.contents('/a'))
    }
    const once = await run()
    expect(once).not.toBe('abcd56')
    expect(await run()).toBe(once)
  })

  it('leaves a dead process hanging: its operations never settle', async () => {
    const disk = createFaultyFileSystem({ seed: 1 })
    const before = disk.mount()
    disk.crash()
    let settled = false
    before.list('/').finally(() => {
      settled = true
    })
    expect(await disk.mount().list('/')).toEqual([])
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(settled).toBe(false)
  })
})
