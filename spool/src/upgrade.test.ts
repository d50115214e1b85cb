/** The folders in `fixtures/` were written by the versions that their names tell, with `payloadOf` and segments of 1 KB. */
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSpool, type Spool } from './index.ts'

const payloadOf = (sequence: number) => `record ${sequence} `.padEnd(40 + ((sequence * 37) % 160), 'tributary ')

async function readAll(spool: Spool): Promise<[number, string][]> {
  const found: [number, string][] = []
  for (let from = spool.firstSequence; ; ) {
    const records = await spool.read(from, 700)
    if (records.length === 0) return found
    for (const { sequence, payload } of records) found.push([sequence, Buffer.from(payload).toString()])
    from = (found.at(-1)?.[0] ?? from) + 1
  }
}
const sequences = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('a spool of version 1', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spool-'))
  })
  afterEach(() => rm(folder, { recursive: true }))
  const open = async (fixture: string) => {
    if (fixture)
      await cp(fileURLToPath(new URL(`../fixtures/${fixture}`, import.meta.url)), folder, { recursive: true })
    return openSpool(
      folder,
      { segmentBytesMax: 1024, bytesMax: 64 * 1024, durabilityMs: 0, freeBytesMin: 0 },
      { clock: systemClock, log: createLogger('spool', 'silent'), metrics: createMetrics('test') },
    )
  }

  it.each([
    // Sixty records, sent through 41, trimmed through 23: the first segments are gone.
    ['version-1/closed', { sentThrough: 41, last: 60 }],
    // Sent through 47 a second before the end; of record 63 eleven bytes are missing.
    ['version-1/power-cut', { sentThrough: 47, last: 62 }],
  ])(
    '%s opens, has the same records, and goes on counting in the same epoch',
    async (fixture, { sentThrough, last }) => {
      const spool = await open(fixture)
      expect(spool).toMatchObject({ epoch: 'ad43972f6923e4dd', sentThrough, sentRanges: [], trimmedThrough: 23 })
      expect(spool).toMatchObject({ firstSequence: 21, nextSequence: last + 1, losses: [] })
      expect(await readAll(spool)).toEqual(sequences(21, last).map((n) => [n, payloadOf(n)]))
      expect(await readdir(folder)).not.toContain('quarantine')
      for (const n of sequences(last + 1, last + 20)) expect(await spool.append(Buffer.from(payloadOf(n)))).toBe(n)
      spool.markSentRange(last + 5, last + 9)
      await spool.discard(50)
      await spool.close()

      const again = await open('')
      expect(again).toMatchObject({ epoch: spool.epoch, sentThrough: 50, trimmedThrough: 50, losses: [] })
      expect(again.sentRanges).toEqual([{ from: last + 5, to: last + 9 }])
      expect((await readAll(again)).at(-1)).toEqual([last + 20, payloadOf(last + 20)])
      expect(again.losses).toEqual([])
      await again.close()
    },
  )
})
