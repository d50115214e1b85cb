import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSpool, SpoolFullError, type SpoolOptions } from './index.ts'

const options: SpoolOptions = { segmentBytesMax: 4096, bytesMax: 64 * 1024, durabilityMs: 0, freeBytesMin: 0 }
const payloadOf = (sequence: number) => Buffer.from(`record ${sequence} ${'x'.repeat(sequence % 300)}`)
const open = (folder: string, changed: Partial<SpoolOptions> = {}) =>
  openSpool(
    folder,
    { ...options, ...changed },
    { clock: systemClock, log: createLogger('spool', 'silent'), metrics: createMetrics('test') },
  )

describe('a spool on a real disk', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spool-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

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
})
