import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createLogger } from '@tributary/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createMarks, EPOCHS_PER_AGENT_MAX } from './marks.ts'
import { temporaryFolder } from './testing.ts'

const log = createLogger('gateway', 'silent')
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let path: string
beforeEach(async () => {
  folder = await temporaryFolder()
  path = `${folder.path}/spool.marks`
})
afterEach(() => folder.remove())

test('marks come back from the file', async () => {
  const before = createMarks(path, 'spool-1', { log })
  for (const sequence of [1, 2, 3, 5, 6]) before.add('agent-1', 'e1', sequence)
  before.stored('agent-1', 'e1', 2)
  before.add('agent-2', 'e2', 1)
  before.streamMark = { created: '2026-01-01', lastSequence: 77 }
  await before.save()

  const after = createMarks(path, 'spool-1', { log })
  await after.load()
  expect([1, 2, 3, 4, 5, 6, 7].map((sequence) => after.has('agent-1', 'e1', sequence))).toEqual([
    true,
    true,
    true,
    false,
    true,
    true,
    false,
  ])
  expect(after.latest('agent-1')).toEqual({ epoch: 'e1', receivedThrough: 3, storedThrough: 2 })
  expect(after.has('agent-2', 'e1', 1)).toBe(false)
  expect(after.streamMark).toEqual({ created: '2026-01-01', lastSequence: 77 })
})

test('the watermark that was told last comes back with its totals; nothing is told of an epoch that is not known', async () => {
  const totals = { readings: 90, deadLettered: 3, shed: 2, missing: 0, newestMs: 1_000, closedThroughMs: null }
  const before = createMarks(path, 'spool-1', { log })
  for (const sequence of [1, 2, 3]) before.add('agent-1', 'e1', sequence)
  before.add('agent-1', 'e2', 1)
  before.stored('agent-1', 'e1', 2, totals)
  // A processor that lost its state tells of less than is stored.
  before.stored('agent-1', 'e1', 1, { ...totals, readings: 40 })
  await before.save()

  const after = createMarks(path, 'spool-1', { log })
  await after.load()
  expect(after.watermark('agent-1', 'e1')).toEqual({ agent: 'agent-1', epoch: 'e1', sequence: 2, totals })
  expect(after.watermark('agent-1', 'e2')).toEqual({ agent: 'agent-1', epoch: 'e2', sequence: 0 })
  expect(after.watermark('agent-1', 'e3')).toBeUndefined()
})

test('a file that cannot be read does not keep the gateway from starting', async () => {
  await mkdir(path)
  const marks = createMarks(path, 'spool-1', { log })
  await marks.load()
  expect(marks.has('agent-1', 'e1', 1)).toBe(false)
})

test('what is in the store was received, also when the gateway forgot it', () => {
  const marks = createMarks(path, 'spool-1', { log })
  marks.add('agent-1', 'e1', 9)
  marks.stored('agent-1', 'e1', 8)
  expect(marks.has('agent-1', 'e1', 4)).toBe(true)
  expect(marks.latest('agent-1')?.receivedThrough).toBe(9)
})

test.each([
  ['a flipped bit', (bytes: Buffer) => bytes.fill((bytes[20] as number) ^ 4, 20, 21)],
  ['half a file', (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
  ['nothing', () => Buffer.alloc(0)],
  ['something else', () => Buffer.from('{"agents": 3}')],
])('a file with %s is ignored, and written anew', async (_what, damage) => {
  const before = createMarks(path, 'spool-1', { log })
  before.add('agent-1', 'e1', 1)
  await before.save()
  await writeFile(path, damage(await readFile(path)))

  const after = createMarks(path, 'spool-1', { log })
  await after.load()
  expect(after.has('agent-1', 'e1', 1)).toBe(false)
  after.add('agent-1', 'e1', 2)
  await after.save()
  await expect(createMarks(path, 'spool-1', { log }).load()).resolves.toBeUndefined()
})

test('marks of another spool are ignored: they would acknowledge what is nowhere', async () => {
  const before = createMarks(path, 'spool-1', { log })
  before.add('agent-1', 'e1', 1)
  await before.save()
  const after = createMarks(path, 'spool-2', { log })
  await after.load()
  expect(after.has('agent-1', 'e1', 1)).toBe(false)
})

test('an agent has a bounded number of epochs; the one longest unheard of goes first', () => {
  const marks = createMarks(path, 'spool-1', { log })
  for (let i = 0; i < EPOCHS_PER_AGENT_MAX; i++) marks.add('agent-1', `e${i}`, 1)
  marks.add('agent-1', 'e0', 2)
  marks.add('agent-1', 'one more', 1)
  expect(marks.has('agent-1', 'e0', 1)).toBe(true)
  expect(marks.has('agent-1', 'e1', 1)).toBe(false)
  expect(marks.has('agent-1', 'one more', 1)).toBe(true)
})
