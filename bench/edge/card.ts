/** What the spool does to a card: bytes written for each byte of payload, and how long a gigabyte takes to open. */
import { strict as assert } from 'node:assert'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool } from '@tributary/spool'
import type { Report } from '../report.ts'

const clock = systemClock
const PAYLOAD_BYTES = 4096
const BATCHES_PER_SECOND = 20
const SECONDS = 15
const GIGABYTE = 1024 ** 3
const OPENINGS = 3

const open = (folder: string, durabilityMs: number): Promise<Spool> =>
  openSpool(
    folder,
    { segmentBytesMax: 8 * 1024 ** 2, bytesMax: 3 * GIGABYTE, durabilityMs, freeBytesMin: 0 },
    { clock, log: createLogger('bench', 'error'), metrics: createMetrics('bench') },
  )

/** Follows from the sequence alone, and does not compress. */
function payloadOf(sequence: number): Buffer {
  const seed = createHash('sha512').update(String(sequence)).digest()
  return Buffer.concat(Array.from({ length: PAYLOAD_BYTES / seed.length }, () => seed))
}

/** @returns records read, each compared with what was appended */
async function readAll(spool: Spool, everyNth: number): Promise<number> {
  let expected = spool.firstSequence
  for (;;) {
    const records = await spool.read(expected, 1024 ** 2)
    if (records.length === 0) break
    for (const { sequence, payload } of records) {
      assert.equal(sequence, expected)
      if (sequence % everyNth === 0) assert(payloadOf(sequence).equals(payload), `record ${sequence} is another`)
      expected += 1
    }
  }
  assert.equal(expected, spool.nextSequence, 'every record was read')
  assert.deepEqual(spool.losses, [])
  return expected - spool.firstSequence
}

/** Pages that this process made dirty and the kernel will write. Source: proc(5). */
const deviceBytes = async (): Promise<number> =>
  Number(/^write_bytes: (\d+)$/m.exec(await readFile('/proc/self/io', 'utf8'))?.[1])

/** As on a Pi: 20 batches of 4 KB a second, sent and trimmed as they become durable. */
export async function writtenBytes(
  folder: string,
  { durabilityMs, budget }: { durabilityMs: number; budget: number },
  report: Report,
): Promise<void> {
  const spool = await open(folder, durabilityMs)
  const batches = BATCHES_PER_SECOND * SECONDS
  const stop = new AbortController()
  const uplink = (async () => {
    for (let next = 1; !stop.signal.aborted; ) {
      await spool.waitFor(next, stop.signal).catch(() => undefined)
      for (const { sequence } of await spool.read(next, 1024 ** 2)) next = sequence + 1
      spool.markSent(next - 1)
      await spool.trim(next - 1)
    }
  })()
  const before = { device: await deviceBytes(), spool: spool.bytesWritten }
  const startMs = clock.monotonicMs()
  const waiting: Promise<number>[] = []
  for (let i = 0; i < batches; i++) {
    waiting.push(spool.append(payloadOf(spool.nextSequence)))
    await clock.sleep(startMs + ((i + 1) * 1000) / BATCHES_PER_SECOND - clock.monotonicMs())
    report.progress(`${i + 1} of ${batches} batches, durability ${durabilityMs} ms`)
  }
  await Promise.all(waiting)
  const after = { device: await deviceBytes(), spool: spool.bytesWritten }
  stop.abort(new DOMException('measured', 'AbortError'))
  await uplink
  assert.equal(spool.sentThrough, batches)
  await spool.close()
  const ratio = (bytes: number) => bytes / (batches * PAYLOAD_BYTES)
  report.figure({
    what: `bytes to the device for each byte of payload, ${BATCHES_PER_SECOND} × 4 KB a second, durability ${durabilityMs} ms`,
    value: ratio(after.device - before.device),
    unit: '',
    budget,
    beside: `the spool's own count ${ratio(after.spool - before.spool).toFixed(2)}; the file system's journal is in neither`,
  })
}

export async function openGigabyte(folder: string, report: Report): Promise<void> {
  const filling = await open(folder, 0)
  const count = Math.ceil(GIGABYTE / PAYLOAD_BYTES)
  while (filling.nextSequence <= count) {
    await Promise.all(Array.from({ length: 2_000 }, () => filling.append(payloadOf(filling.nextSequence))))
    report.progress(`${Math.round((100 * filling.nextSequence) / count)} % of a gigabyte written`)
  }
  const { nextSequence, bytesUsed } = filling
  await filling.close()
  const openMs: number[] = []
  for (let i = 0; i < OPENINGS; i++) {
    const startMs = clock.monotonicMs()
    const spool = await open(folder, 250)
    openMs.push(clock.monotonicMs() - startMs)
    assert.equal(spool.nextSequence, nextSequence)
    if (i === OPENINGS - 1) assert.equal(await readAll(spool, 97), nextSequence - 1)
    await spool.close()
  }
  report.figure({
    what: `opening a spool of ${(bytesUsed / GIGABYTE).toFixed(2)} GB, the slowest of ${OPENINGS}`,
    value: Math.max(...openMs),
    unit: 'ms',
    budget: 500,
  })
}

export async function card(folder: string, report: Report): Promise<void> {
  await writtenBytes(join(folder, 'written-1000'), { durabilityMs: 1_000, budget: 1.5 }, report)
  await writtenBytes(join(folder, 'written-250'), { durabilityMs: 250, budget: 2.5 }, report)
  await openGigabyte(join(folder, 'gigabyte'), report)
}
