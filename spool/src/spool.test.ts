import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import {
  createLogger,
  createMetrics,
  type FileSystem,
  nodeFileSystem,
  systemClock,
  UserError,
} from '@tributary/runtime'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSpool, SpoolFullError, type SpoolOptions } from './index.ts'

const options: SpoolOptions = { segmentBytesMax: 4096, bytesMax: 64 * 1024, durabilityMs: 0, freeBytesMin: 0 }
const payloadOf = (sequence: number) => Buffer.from(`record ${sequence} ${'x'.repeat(sequence % 300)}`)
const open = (folder: string, changed: Partial<SpoolOptions> = {}, fileSystem: FileSystem = nodeFileSystem) =>
  openSpool(
    folder,
    { ...options, ...changed },
    { clock: systemClock, log: createLogger('spool', 'silent'), metrics: createMetrics('test'), fileSystem },
  )

describe('a spool on a real disk', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spool-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('folders that bear the names of its files are set aside', async () => {
    for (const name of ['identity.new', 'lock', 'lock.1.stale', '00000000000000000009.seg', 'mine'])
      await mkdir(join(folder, name))
    for (let i = 1; i <= 3; i++) {
      const spool = await open(folder)
      expect(await spool.append(payloadOf(i))).toBe(spool.nextSequence - 1)
      expect((await spool.read(spool.nextSequence - 1, 1)).length).toBe(1)
      await spool.close()
    }
    expect(await readdir(join(folder, 'quarantine'))).toContain('mine')
  })

  it('files of another user are named, with what to do; none is taken for damaged', async () => {
    const spool = await open(folder)
    await spool.append(payloadOf(1))
    await spool.close()
    const refusing = (name: string): FileSystem => ({
      ...nodeFileSystem,
      open: async (path, mode) => {
        if (path.endsWith(name)) throw Object.assign(new Error(`EACCES: ${path}`), { code: 'EACCES' })
        return nodeFileSystem.open(path, mode)
      },
    })
    for (const name of ['cursor', 'identity', '.seg']) {
      const opening = open(folder, {}, refusing(name))
      await expect(opening).rejects.toThrow(UserError)
      await expect(opening).rejects.toThrow(/cannot be read \(EACCES\)/)
    }
    const again = await open(folder)
    expect(again.epoch).toBe(spool.epoch)
    expect((await again.read(1, 10_000)).map(({ sequence }) => sequence)).toEqual([1])
    await again.close()
  })

  it('does not wait for others to share its fsync when it is hurried', async () => {
    const spool = await open(folder, { durabilityMs: 60_000 })
    spool.hurry()
    const appended = [spool.append(payloadOf(1)), spool.append(payloadOf(2))]
    await systemClock.sleep(20)
    expect(await spool.read(1, 10_000)).toEqual([])
    spool.hurry()
    expect(await Promise.all(appended)).toEqual([1, 2])
    await spool.close()
  })

  it('gives back what was appended, across segments and a restart', async () => {
    const spool = await open(folder)
    const epoch = spool.epoch
    const appended = await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        expect(spool.nextSequence).toBe(i + 1)
        return spool.append(payloadOf(i + 1))
      }),
    )
    expect(appended).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    spool.markSent(40)
    await spool.close()

    const again = await open(folder)
    expect(again).toMatchObject({ epoch, nextSequence: 101, sentThrough: 40, losses: [] })
    const records = []
    for (let from = 1; ; ) {
      const read = await again.read(from, 1000)
      if (read.length === 0) break
      records.push(...read)
      from = (read[read.length - 1] as { sequence: number }).sequence + 1
    }
    expect(records.map((r) => [r.sequence, Buffer.from(r.payload).toString()])).toEqual(
      appended.map((s) => [s, payloadOf(s).toString()]),
    )
    expect(again.losses).toEqual([])
    await again.close()
  })

  it('refuses at once when its budget is full, and takes records again after a trim', async () => {
    const spool = await open(folder, { bytesMax: 16 * 1024 })
    let refused: unknown
    for (let i = 0; i < 100 && !refused; i++)
      await spool.append(Buffer.alloc(500)).catch((error) => {
        refused = error
      })
    expect(refused).toBeInstanceOf(SpoolFullError)
    expect(spool.bytesUsed).toBeLessThanOrEqual(16 * 1024)
    const next = spool.nextSequence
    spool.markSent(next - 1)
    await spool.trim(next - 1)
    expect(spool.firstSequence).toBeGreaterThan(1)
    expect(spool.firstSequence).toBeLessThan(next)
    expect(await spool.append(Buffer.alloc(500))).toBe(next)
    await spool.close()
  })

  it('keeps a second process out, and has all that a process acknowledged before it was killed', async () => {
    const fixture = fileURLToPath(new URL('append-forever.fixture.ts', import.meta.url))
    let acknowledged = 0
    for (let round = 1; round <= 2; round++) {
      const child = spawn(process.execPath, ['--import', 'tsx', fixture, folder, '20'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const exited = new Promise((resolve) => child.once('exit', resolve))
      const enough = acknowledged + 300
      for await (const line of createInterface({ input: child.stdout })) {
        const [word, sequence, losses] = line.split(' ')
        if (word === 'open') expect([Number(sequence) > acknowledged, losses]).toEqual([true, '0'])
        else acknowledged = Number(sequence)
        if (acknowledged >= enough && !child.killed) {
          await expect(open(folder)).rejects.toThrow(`${folder} is in use by process ${child.pid}`)
          child.kill('SIGKILL')
        }
      }
      await exited
    }
    const spool = await open(folder)
    expect(spool.nextSequence).toBeGreaterThan(acknowledged)
    let from = 1
    for (let records = await spool.read(from, 50_000); records.length > 0; records = await spool.read(from, 50_000))
      for (const { sequence, payload } of records) {
        expect(sequence).toBe(from)
        expect(Buffer.from(payload).toString().trimEnd()).toBe(`${spool.epoch}/${sequence}`)
        from = sequence + 1
      }
    expect(from).toBe(spool.nextSequence)
    expect(spool.losses).toEqual([])
    await spool.close()
  })
})
