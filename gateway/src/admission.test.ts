import { crc32 } from 'node:zlib'
import { BATCH_FORMAT_VERSION } from '@tributary/protocol'
import {
  createLogger,
  createMetrics,
  createStage,
  type FileSystem,
  nodeFileSystem,
  systemClock,
} from '@tributary/runtime'
import { openSpool } from '@tributary/spool'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAdmission } from './admission.ts'
import { createMarks } from './marks.ts'
import { decodeRecord } from './record.ts'
import { createStoredIndex, EPOCHS_PER_AGENT_MAX } from './stored.ts'
import { EPOCH, makeBatch, temporaryFolder, until } from './testing.ts'
import { createWaiting } from './waiting.ts'

const log = createLogger('gateway', 'silent')
const MIB = 1024 * 1024
let folder: Awaited<ReturnType<typeof temporaryFolder>>
const ending: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  folder = await temporaryFolder()
})
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
  await folder.remove()
})

/** A disk whose fsync can be held, and whose writes can fail. */
function trickyDisk() {
  let held: (() => void)[] | undefined
  let failWith: string | undefined
  const fileSystem: FileSystem = {
    ...nodeFileSystem,
    async open(path, mode) {
      const file = await nodeFileSystem.open(path, mode)
      return {
        ...file,
        async write(bytes, position) {
          if (failWith) throw Object.assign(new Error(`the disk says ${failWith}`), { code: failWith })
          return file.write(bytes, position)
        },
        async sync() {
          const waiting = held
          if (waiting) await new Promise<void>((resolve) => waiting.push(resolve))
          await file.sync()
        },
      }
    },
  }
  return {
    fileSystem,
    hold: () => {
      held = []
    },
    release: () => {
      const waiting = held ?? []
      held = undefined
      for (const resolve of waiting) resolve()
    },
    get syncsHeld() {
      return held?.length ?? 0
    },
    fail: (code: string | undefined) => {
      failWith = code
    },
  }
}

async function admissionOn(fileSystem: FileSystem) {
  const metrics = createMetrics('gateway')
  const spool = await openSpool(
    `${folder.path}/spool`,
    { segmentBytesMax: 4 * MIB, bytesMax: 64 * MIB, durabilityMs: 0, freeBytesMin: 0 },
    { clock: systemClock, log, metrics, fileSystem },
  )
  ending.push(() => spool.close())
  const marks = createMarks(`${folder.path}/marks`, spool.epoch, { log })
  const index = createStoredIndex()
  return {
    spool,
    marks,
    admission: createAdmission({
      spool,
      marks,
      index,
      waiting: createWaiting(),
      stage: createStage(),
      onReceived: () => undefined,
      holdBack: async () => undefined,
      clock: systemClock,
      log,
      metrics,
      patienceMs: 400,
    }),
  }
}
const state = async (work: Promise<unknown>) =>
  Promise.race([
    work.then(
      () => 'done',
      (error) => error.reason ?? String(error),
    ),
    systemClock.sleep(50).then(() => 'waits'),
  ])

test('neither a batch nor its repeat is admitted before the fsync', async () => {
  const disk = trickyDisk()
  const { admission } = await admissionOn(disk.fileSystem)
  disk.hold()
  const first = admission.admit('agent-1', makeBatch('agent-1', 1))
  await until('the fsync is under way', () => disk.syncsHeld > 0)
  const repeat = admission.admit('agent-1', makeBatch('agent-1', 1))
  expect([await state(first), await state(repeat)]).toEqual(['waits', 'waits'])
  disk.release()
  expect(await Promise.all([first, repeat])).toEqual(['stored', 'repeated'])
})

test('a disk that fails admits nothing and says so; the same batches are admitted when it works again', async () => {
  const disk = trickyDisk()
  const { admission, spool } = await admissionOn(disk.fileSystem)
  const admit = (sequence: number) => admission.admit('agent-1', makeBatch('agent-1', sequence))
  await admit(1)
  disk.fail('EIO')
  await expect(admit(2)).rejects.toMatchObject({ reason: 'spool_failed', message: expect.stringContaining('EIO') })
  expect(admission.failing).toContain('EIO')
  expect(await state(admit(3)), 'at once, from now on').toBe('spool_failed')
  disk.fail(undefined)
  await until('it works again', () => admission.failing === undefined)
  expect(await admit(2), 'it was kept after all').toBe('repeated')
  expect(await admit(3)).toBe('stored')
  const sequences: (number | undefined)[] = []
  for (let next = 1; next < spool.nextSequence; ) {
    const records = await spool.read(next, MIB)
    sequences.push(...records.map(({ payload }) => decodeRecord(payload)?.identity?.sequence))
    next = (records.at(-1)?.sequence ?? next) + 1
  }
  expect(sequences).toEqual([1, 2, 3])
})

test('a record holds who sent it, when, and the batch as it came', async () => {
  const { admission, spool } = await admissionOn(nodeFileSystem)
  const batch = makeBatch('agent-1', 7)
  const beforeMs = systemClock.wallMs()
  expect(await admission.admit('agent-1', batch)).toBe('stored')
  expect(await admission.admit('agent-1', batch.subarray(0, 30))).toBe('unreadable')
  const [good, cut] = (await spool.read(1, MIB)).map(({ payload }) => decodeRecord(payload))
  expect(good).toMatchObject({ agent: 'agent-1', identity: { epoch: EPOCH, sequence: 7, readingCount: 3 }, batch })
  expect(good?.receivedAtMs).toBeGreaterThanOrEqual(Math.floor(beforeMs))
  expect(cut).toMatchObject({ agent: 'agent-1', identity: undefined, batch: batch.subarray(0, 30) })
})

test("another's batch and a newer format are refused: they stay with the sender", async () => {
  const { admission, spool } = await admissionOn(nodeFileSystem)
  await expect(admission.admit('agent-1', makeBatch('agent-2', 1))).rejects.toMatchObject({ reason: 'foreign_agent' })
  await expect(admission.admit('agent-1', newerFormat())).rejects.toMatchObject({ reason: 'newer_format' })
  expect(spool.nextSequence).toBe(1)
})

test('an agent that begins epoch after epoch while nothing is stored is refused after a while', async () => {
  const { admission } = await admissionOn(nodeFileSystem)
  const epoch = (i: number) => i.toString(16).padStart(16, '0')
  const batches = Array.from({ length: EPOCHS_PER_AGENT_MAX }, (_, i) =>
    makeBatch('agent-1', 1, { epoch: epoch(i + 1) }),
  )
  await Promise.all(batches.map((batch) => admission.admit('agent-1', batch)))
  await expect(admission.admit('agent-1', makeBatch('agent-1', 1, { epoch: epoch(999) }))).rejects.toMatchObject({
    reason: 'too_many_epochs',
  })
  expect(await admission.admit('agent-1', makeBatch('agent-1', 2, { epoch: epoch(3) }))).toBe('stored')
  expect(await admission.admit('agent-2', makeBatch('agent-2', 1))).toBe('stored')
})

/** A batch whose header, checksum and all, says format version 2. Offsets: `protocol/src/batch-codec.ts`. */
function newerFormat(): Buffer {
  const batch = makeBatch('agent-1', 1)
  const [checksumAt, headerAt] = [6, 12]
  const headerBytes = batch[headerAt - 1] as number
  expect([batch[headerAt], batch[headerAt + 1]]).toEqual([0x08, BATCH_FORMAT_VERSION])
  batch[headerAt + 1] = BATCH_FORMAT_VERSION + 1
  batch.writeUInt32LE(crc32(batch.subarray(headerAt, headerAt + headerBytes)), checksumAt)
  return batch
}
