import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool } from '@tributary/spool'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type FilledSpool, fillSpool } from './fill-spool.ts'
import { tombstonesFor } from './losses.ts'
import { recover } from './recover.ts'
import { createRepeatGuard } from './repeat-guard.ts'
import { temporaryFolder } from './testing.ts'

const log = createLogger('test', 'silent')
const SEGMENT_BYTES = 2_048
const spoolOptions = { segmentBytesMax: SEGMENT_BYTES, bytesMax: 64 * SEGMENT_BYTES }

let parent: string
let folder: string
let filled: FilledSpool
beforeEach(async () => {
  parent = temporaryFolder()
  folder = join(parent, 'spool')
  const samples = Array.from({ length: 300 }, (_, i) => ({
    device: 'room',
    kind: 'climate',
    measuredAtMs: 1_000 * i,
    sequence: i,
    names: i % 3 === 0 ? ['sequence'] : ['sequence', 'temperature_c'],
    values: i % 3 === 0 ? [i] : [i, 20 + (i % 50) / 10],
  }))
  const options = { agent: 'pi-1', bootId: 'boot', readingsPerBatch: 10, spool: spoolOptions }
  filled = await fillSpool(folder, samples, options, systemClock)
})
afterEach(() => rmSync(parent, { recursive: true }))

const segments = () =>
  readdirSync(folder)
    .filter((file) => file.endsWith('.seg'))
    .sort()
    .map((file) => join(folder, file))

/** As an agent opens it, and reads all of it. */
async function told() {
  const dependencies = { clock: systemClock, log, metrics: createMetrics('test') }
  const spool = await openSpool(folder, { ...spoolOptions, durabilityMs: 0, freeBytesMin: 0 }, dependencies)
  const { readingsTotal } = await recover(spool, createRepeatGuard(), log)
  const tombstones = await tombstonesFor(spool, readingsTotal)
  await spool.close()
  return { readingsTotal, tombstones }
}
const tombstone = (fromSequence: number, toSequence: number) => ({
  epoch: filled.epoch,
  fromSequence,
  toSequence,
  readingCount: (filled.readingsThrough[toSequence - 1] ?? 0) - (filled.readingsThrough[fromSequence - 2] ?? 0),
  reason: 'damaged',
})
const firstOf = (path: string) => Number(path.slice(-24, -4))

it('counts the readings of batches that are gone from the end, and goes on counting behind them', async () => {
  const newest = segments().at(-1) as string
  truncateSync(newest, 60)
  const { readingsTotal, tombstones } = await told()
  expect(readingsTotal).toBe(filled.readings)
  expect(tombstones).toEqual([tombstone(firstOf(newest), filled.batches)])
})

it('counts the readings of a damaged batch in the middle', async () => {
  const path = segments()[1] as string
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(70) ^ 1, 70)
  writeFileSync(path, bytes)
  const { readingsTotal, tombstones } = await told()
  expect(readingsTotal).toBe(filled.readings)
  expect(tombstones).toEqual([tombstone(firstOf(path), firstOf(path))])
})
