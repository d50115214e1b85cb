/** The spool on this machine's disk: appends a second, bytes to the device for each byte of payload, opening 1 GB. */
import { strict as assert } from 'node:assert'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool, type SpoolOptions } from '@tributary/spool'

const clock = systemClock
const PAYLOAD_BYTES = 4096
const SEGMENT_BYTES = 8 * 1024 ** 2
const GIGABYTE = 1024 ** 3
const OPEN_MS_MAX = 500

type Print = (line: string) => void

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

/** Pages that this process made dirty and the kernel will write. Source: proc(5). */
async function deviceBytes(): Promise<number> {
  return Number(/^write_bytes: (\d+)$/m.exec(await readFile('/proc/self/io', 'utf8'))?.[1])
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

/** As an agent on a Pi does: 20 batches of 4 KB a second, read, sent and trimmed as they become durable. */
async function writeAmplification(folder: string, durabilityMs: number, ratioMax: number, print: Print): Promise<void> {
  const spool = await open(folder, durabilityMs)
  const stop = new AbortController()
  const uplink = (async () => {
    for (let next = 1; !stop.signal.aborted; ) {
      await spool.waitFor(next, stop.signal).catch(() => undefined)
      for (const { sequence } of await spool.read(next, 1024 ** 2)) next = sequence + 1
      spool.markSent(next - 1)
      await spool.trim(next - 1)
    }
  })()
  const before = await deviceBytes()
  const batches = 160
  const waiting: Promise<number>[] = []
  for (let i = 0; i < batches; i++) {
    waiting.push(spool.append(payloadOf(spool.nextSequence)))
    await clock.sleep(50)
  }
  await Promise.all(waiting)
  const ratio = ((await deviceBytes()) - before) / (batches * PAYLOAD_BYTES)
  stop.abort(new DOMException('measured', 'AbortError'))
  await uplink
  assert.equal(spool.sentThrough, batches)
  await spool.close()
  print(
    `bytes to the device for each byte of payload, 20 × 4 KB a second, durability ${durabilityMs} ms: ` +
      `${ratio.toFixed(2)} (budget ${ratioMax}: ${ratio <= ratioMax ? 'met' : 'MISSED'})`,
  )
}

async function openGigabyte(folder: string, print: Print): Promise<void> {
  const filling = await open(folder, 0)
  const count = Math.ceil(GIGABYTE / PAYLOAD_BYTES)
  while (filling.nextSequence <= count)
    await Promise.all(Array.from({ length: 2_000 }, () => filling.append(payloadOf(filling.nextSequence))))
  const { nextSequence, bytesUsed } = filling
  await filling.close()

  const startedMs = clock.monotonicMs()
  const spool = await open(folder, 250)
  const openMs = clock.monotonicMs() - startedMs
  assert.equal(spool.nextSequence, nextSequence)
  const readingMs = clock.monotonicMs()
  const records = await readAll(spool)
  const seconds = (clock.monotonicMs() - readingMs) / 1000
  assert.equal(records, nextSequence - 1)
  await spool.close()
  print(
    `opening ${(bytesUsed / GIGABYTE).toFixed(2)} GB: ${openMs.toFixed(0)} ms ` +
      `(budget ${OPEN_MS_MAX}: ${openMs < OPEN_MS_MAX ? 'met' : 'MISSED'}); reading it: ${Math.round(bytesUsed / 1e6 / seconds)} MB/s`,
  )
}

/** Prints a line a figure; throws when a record is not what was appended. */
export async function run(print: Print): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-'))
  try {
    for (const durabilityMs of [250, 1_000])
      await appendsPerSecond(join(folder, `appends-${durabilityMs}`), durabilityMs, print)
    await writeAmplification(join(folder, 'device-250'), 250, 2.5, print)
    await writeAmplification(join(folder, 'device-1000'), 1_000, 1.5, print)
    await openGigabyte(join(folder, 'gigabyte'), print)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
