/** The spool on this machine's disk: appends a second, reading 1 GB. What has a budget is in `edge`. */
import { strict as assert } from 'node:assert'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool, type SpoolOptions } from '@tributary/spool'
import type { Report } from './report.ts'

const clock = systemClock
const PAYLOAD_BYTES = 4096
const SEGMENT_BYTES = 8 * 1024 ** 2
const GIGABYTE = 1024 ** 3

type Print = Report['print']

const open = (folder: string, durabilityMs: number): Promise<Spool> => {
  const options: SpoolOptions = {
    segmentBytesMax: SEGMENT_BYTES,
    bytesMax: 3 * GIGABYTE,
    durabilityMs,
    freeBytesMin: 0,
  }
  return openSpool(folder, options, {
    clock,
    log: createLogger('bench', 'error'),
    metrics: createMetrics('bench'),
  })
}

/** Its own sequence is at the head of each payload; the rest does not compress into anything. */
function payloadOf(sequence: number): Buffer {
  const payload = Buffer.alloc(PAYLOAD_BYTES, sequence % 251)
  payload.writeUIntLE(sequence, 0, 6)
  return payload
}

async function readAll(spool: Spool): Promise<number> {
  let expected = spool.firstSequence
  for (;;) {
    const records = await spool.read(expected, 1024 ** 2)
    if (records.length === 0) break
    for (const { sequence, payload } of records) {
      assert.equal(sequence, expected)
      assert.equal(payload.length, PAYLOAD_BYTES)
      assert.equal(Buffer.from(payload.buffer, payload.byteOffset, 6).readUIntLE(0, 6), sequence)
      assert.equal(payload[PAYLOAD_BYTES - 1], sequence % 251)
      expected += 1
    }
  }
  assert.equal(expected, spool.nextSequence, 'every record was read')
  assert.deepEqual(spool.losses, [])
  return expected - spool.firstSequence
}

async function appendsPerSecond(folder: string, durabilityMs: number, print: Print): Promise<void> {
  const spool = await open(folder, durabilityMs)
  const startedMs = clock.monotonicMs()
  const untilMs = startedMs + 4 * Math.max(durabilityMs, 250)
  let appended = 0
  const source = async () => {
    while (clock.monotonicMs() < untilMs) {
      await spool.append(payloadOf(spool.nextSequence))
      appended += 1
    }
  }
  await Promise.all(Array.from({ length: 3_000 }, source))
  const seconds = (clock.monotonicMs() - startedMs) / 1000
  assert.equal(await readAll(spool), appended)
  await spool.close()
  print(`appends of 4 KB, durability ${durabilityMs} ms: ${Math.round(appended / seconds)} a second, all read back`)
}

async function readGigabyte(folder: string, print: Print): Promise<void> {
  const spool = await open(folder, 0)
  const count = Math.ceil(GIGABYTE / PAYLOAD_BYTES)
  while (spool.nextSequence <= count)
    await Promise.all(Array.from({ length: 2_000 }, () => spool.append(payloadOf(spool.nextSequence))))
  const readingMs = clock.monotonicMs()
  const records = await readAll(spool)
  const seconds = (clock.monotonicMs() - readingMs) / 1000
  assert.equal(records, spool.nextSequence - 1)
  print(`reading ${(spool.bytesUsed / GIGABYTE).toFixed(2)} GB: ${Math.round(spool.bytesUsed / 1e6 / seconds)} MB/s`)
  await spool.close()
}

/** Prints a line a figure; throws when a record is not what was appended. */
export async function run({ print }: Report): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-'))
  try {
    for (const durabilityMs of [250, 1_000])
      await appendsPerSecond(join(folder, `appends-${durabilityMs}`), durabilityMs, print)
    await readGigabyte(join(folder, 'gigabyte'), print)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
