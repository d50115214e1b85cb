import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  createLogger,
  createMetrics,
  createRandom,
  type FileSystem,
  nodeFileSystem,
  systemClock,
  UserError,
} from '@tributary/runtime'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkSpool, type ExportedRecord, inspectSpool, openSpool, readSpool, type SpoolDamage } from './index.ts'
import { segmentName } from './segment.ts'
import { createSpoolHarness, FOLDER, simulatedProcesses, smallOptions } from './testing.ts'

/** Whoever only looks opens files for nothing else. */
const lookingOnly = (fileSystem: FileSystem): FileSystem => {
  const refuse = async () => {
    throw new Error('something was written')
  }
  return {
    ...fileSystem,
    rename: refuse,
    remove: refuse,
    makeFolder: refuse,
    syncFolder: refuse,
    open: async (path, mode) => ({
      ...(mode === 'read' ? await fileSystem.open(path, mode) : await refuse()),
      write: refuse,
      sync: refuse,
      truncate: refuse,
    }),
  }
}

const sequencesOf = (damage: readonly SpoolDamage[]): number[] => {
  const found = new Set<number>()
  for (const { fromSequence, toSequence, standing } of damage)
    if (fromSequence !== undefined && standing !== 'trimmed')
      for (let n = fromSequence; n <= (toSequence ?? fromSequence); n++) found.add(n)
  return [...found].sort((a, b) => a - b)
}

/** A spool of thirty records that was sent in parts, trimmed, and closed. */
async function closedSpool(seed: number) {
  const harness = createSpoolHarness(seed)
  const looking = () => ({
    fileSystem: lookingOnly(harness.disk.mount()),
    processes: simulatedProcesses(() => harness.disk.crashes),
  })
  await harness.open()
  await harness.append(30)
  harness.markSent(9)
  harness.markSentRange(20, 22)
  await harness.trim(3)
  await harness.close()
  const change = (path: string, edit: (bytes: Buffer) => Uint8Array) =>
    harness.disk.put(path, edit(Buffer.from(harness.disk.contents(path) ?? [])))
  const check = () => harness.pump(checkSpool(FOLDER, {}, looking())) as ReturnType<typeof checkSpool>
  return { harness, looking, change, check }
}

describe('a spool that is looked at', () => {
  it('shows what it is, and all its records', async () => {
    const folder = fileURLToPath(new URL('../fixtures/version-1/closed', import.meta.url))
    const looking = { fileSystem: lookingOnly(nodeFileSystem) }
    const inspection = await inspectSpool(folder, looking)
    expect(inspection).toMatchObject({
      owner: undefined,
      epochs: [{ epoch: 'ad43972f6923e4dd', firstSequence: 1 }],
      cursor: { version: 1, closed: true, sentThrough: 41, sentRanges: [], trimmedThrough: 23, durableThrough: 60 },
      firstSequence: 21,
      lastSequence: 60,
      bytes: 5820,
      unsentRecords: 19,
      damage: [],
      quarantine: [],
    })
    expect(inspection.segments[2]).toEqual({
      file: '00000000000000000034.seg',
      version: 1,
      epoch: 'ad43972f6923e4dd',
      firstSequence: 34,
      lastSequence: 40,
      bytes: 923,
    })
    const progress: number[] = []
    const check = await checkSpool(folder, { onProgress: ({ bytesRead }) => progress.push(bytesRead) }, looking)
    expect(check).toMatchObject({ records: 40, bytesRead: 5820, damage: [], sound: true })
    expect(progress).toHaveLength(7)
    const records: ExportedRecord[] = []
    for await (const record of readSpool(folder, { fromSequence: 50 }, looking)) records.push(record)
    expect(records.map(({ sequence }) => sequence)).toEqual([50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60])
    expect(Buffer.from(records[0]?.payload ?? []).toString()).toMatch(/^record 50 tributary/)
    expect(records[0]?.epoch).toBe('ad43972f6923e4dd')
  })

  it('is told from a folder that is none', async () => {
    for (const folder of ['/nowhere/at/all', fileURLToPath(new URL('.', import.meta.url))]) {
      await expect(inspectSpool(folder)).rejects.toThrow(UserError)
      await expect(checkSpool(folder)).rejects.toThrow(/there is no spool in/)
    }
  })

  it('has each damage named with file, offset and sequences, and whether somebody still needs them', async () => {
    const { harness, change, check } = await closedSpool(1)
    const flip = (sequence: number) => {
      const paths = harness.disk.files().filter((path) => path.endsWith('.seg'))
      const path = paths.filter((one) => Number(one.slice(-24, -4)) <= sequence).at(-1) as string
      const at = Buffer.from(harness.disk.contents(path) ?? []).indexOf(`/${sequence}|`)
      change(path, (bytes) => {
        bytes[at + 1] = 0
        return bytes
      })
      return { file: path.slice(-24), offset: at - 36, kind: 'records' }
    }
    const expected = [
      { ...flip(5), fromSequence: 5, toSequence: 5, standing: 'sent' },
      { ...flip(12), fromSequence: 12, toSequence: 12, standing: 'unsent' },
      { ...flip(21), fromSequence: 21, toSequence: 21, standing: 'sent' },
    ]
    harness.disk.put(`${FOLDER}/notes.txt`, Buffer.from('buy milk'))
    change(`${FOLDER}/cursor`, (bytes) => bytes.fill(1, 0, 20))
    const found = await check()
    expect(found).toMatchObject({ records: 27, sound: false })
    expect(found.damage).toMatchObject([...expected, { kind: 'cursor' }, { kind: 'foreign_file', file: 'notes.txt' }])
  })

  it('has the same sequences named that are found lost when it is opened and read', async () => {
    const damages = fc.array(fc.constantFrom('flip', 'truncate', 'zero', 'remove', 'lengthen'), {
      minLength: 1,
      maxLength: 3,
    })
    let lostInAll = 0
    const property = fc.asyncProperty(fc.nat(), damages, async (seed, kinds) => {
      const { harness, check } = await closedSpool(seed)
      const random = createRandom(seed)
      for (const kind of kinds) {
        const paths = harness.disk.files().filter((path) => path.endsWith('.seg'))
        const path = paths[random.below(paths.length)] as string
        const bytes = Buffer.from(harness.disk.contents(path) ?? [])
        const at = random.below(bytes.length)
        if (kind === 'remove') harness.disk.discard(path)
        else if (kind === 'truncate') harness.disk.put(path, bytes.subarray(0, at))
        else if (kind === 'lengthen') harness.disk.put(path, Buffer.concat([bytes, Buffer.alloc(50, at)]))
        else if (kind === 'zero') harness.disk.put(path, bytes.fill(0, at, Math.min(bytes.length, at + 90)))
        else if (bytes.length > 0) {
          bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
          harness.disk.put(path, bytes)
        }
      }
      const named = await check()
      await harness.open({ damage: true })
      await harness.verify({ damage: true })
      const lost = harness.spool.losses.flatMap(({ fromSequence, toSequence }) =>
        Array.from({ length: toSequence - fromSequence + 1 }, (_, i) => fromSequence + i),
      )
      lostInAll += lost.length
      expect(sequencesOf(named.damage)).toEqual(lost)
    })
    await fc.assert(property, { numRuns: Number(process.env['SPOOL_RUNS'] ?? 100) })
    expect(lostInAll).toBeGreaterThan(50)
  }, 60_000)

  it('names a whole segment that is missing, and one of a later version', async () => {
    const { harness, change, check } = await closedSpool(4)
    const paths = harness.disk.files().filter((path) => path.endsWith('.seg'))
    const [second, third, fourth] = paths.slice(1, 4).map((path) => Number(path.slice(-24, -4))) as [
      number,
      number,
      number,
    ]
    harness.disk.discard(`${FOLDER}/${segmentName(second)}`)
    expect((await check()).damage).toMatchObject([{ kind: 'records', fromSequence: second, toSequence: third - 1 }])
    change(`${FOLDER}/${segmentName(third)}`, (bytes) => bytes.fill(9, 8, 10).fill(9, 36, 40))
    expect((await check()).damage.at(-1)).toMatchObject({ kind: 'segment_header', file: segmentName(third), offset: 0 })
    expect(fourth).toBeGreaterThan(third)
  })
})

describe('beside a running owner', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spool-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('nothing is taken for damage, whatever the owner does meanwhile', async () => {
    const spool = await openSpool(
      folder,
      { ...smallOptions, durabilityMs: 0 },
      { clock: systemClock, log: createLogger('spool', 'silent'), metrics: createMetrics('test') },
    )
    let ended = false
    const owner = (async () => {
      while (!ended) {
        await Promise.all(Array.from({ length: 5 }, () => spool.append(Buffer.alloc(150, 7))))
        spool.markSent(spool.nextSequence - 20)
        await spool.trim(spool.nextSequence - 30)
      }
    })()
    const looking = { fileSystem: lookingOnly(nodeFileSystem) }
    let checks = 0
    for (; checks < 30 || spool.nextSequence < 500; checks++) {
      const check = await checkSpool(folder, {}, looking)
      expect(check.damage).toEqual([])
      expect(check.inspection.owner).toEqual({ pid: process.pid, alive: true })
      let last = 0
      for await (const { sequence } of readSpool(folder, {}, looking)) {
        expect(sequence).toBeGreaterThan(last)
        last = sequence
      }
      await systemClock.sleep(1)
    }
    ended = true
    await owner
    await spool.close()
    expect((await inspectSpool(folder, looking)).owner).toBeUndefined()
  })
})
