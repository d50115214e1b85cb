import { BATCH_FORMAT_VERSION, type BatchHeader, countReadings, decodeBatch, encodeBatch } from '@tributary/protocol'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool } from '@tributary/spool'
import { expect, test } from 'vitest'
import { correctBatch } from './correct-batch.ts'
import { createEventTime } from './event-time.ts'
import { createRecordClaims } from './record-claims.ts'
import { createRetention, type OwnRecords } from './retention.ts'
import { temporaryFolder } from './testing.ts'

const clock = systemClock
const log = createLogger('test', 'silent')
const SEGMENT_BYTES = 8 * 1024
const RIGHT_MS = Date.UTC(2026, 5, 1)

test('the clock becomes trusted while old records are made coarser: their windows are in the right time all the same', async () => {
  const bytesMax = 8 * SEGMENT_BYTES
  const limits = { segmentBytesMax: SEGMENT_BYTES, bytesMax, durabilityMs: 0, freeBytesMin: 0 }
  const spool = await openSpool(temporaryFolder(), limits, { clock, log, metrics: createMetrics('test') })
  const claims = createRecordClaims(spool, clock, 0)
  // As after a start in 1970.
  const eventTime = createEventTime({ offsetMs: 0, quality: 'untrusted' })
  const header = (readingCount: number): BatchHeader => ({
    formatVersion: BATCH_FORMAT_VERSION,
    agent: 'pi-1',
    epoch: spool.epoch,
    sequence: spool.nextSequence,
    lane: 'live',
    createdAtMs: 1_000_000 + eventTime.timeline.offsetMs,
    completeThroughMs: 0,
    bootId: 'boot',
    clockQuality: eventTime.timeline.quality,
    sampleCount: 0,
    readingCount,
    readingsTotal: 0,
    backlogBatches: 0,
    backlogBytes: 0,
    drainSeconds: 0,
    monotonicMs: 1_000_000,
  })
  const own: OwnRecords = {
    encode: (content) => encodeBatch({ header: header(countReadings(content.blocks)), ...content }),
    append: async (bytes) => void (await spool.append(bytes, { reserve: true })),
  }
  for (let i = 0; spool.oldestSegmentThrough === undefined; i++) {
    const timesMs = Float64Array.from({ length: 100 }, (_, n) => 900_000 + i * 1_000 + n)
    const values = timesMs.map(() => Math.random())
    const column = { field: 'value', type: 'number', present: null, values } as const
    const block = { device: 'pump', kind: 'flow', stampedByAgent: true, timesMs, columns: [column] } as const
    const bytes = encodeBatch({
      header: { ...header(100), sampleCount: 100 },
      blocks: [block],
      deadLetters: [],
      tombstones: [],
      rollups: [],
    })
    await spool.append(bytes)
  }
  const retention = createRetention(
    { bytesMax, segmentBytesMax: SEGMENT_BYTES, keepLast: [], bootId: 'boot' },
    {
      spool,
      claims,
      losses: async () => {
        // Trust comes when it likes.
        if (eventTime.timeline.quality === 'untrusted') eventTime.turn({ offsetMs: RIGHT_MS, quality: 'trusted' }, 0)
        return []
      },
      eventTime,
      corrected: (batch) =>
        eventTime.timeline.quality === 'trusted' ? correctBatch(batch, RIGHT_MS, 'corrected') : batch,
      log,
      onGivenUp: () => undefined,
    },
  )
  expect(await retention.makeRoom(own, true)).toBe(true)
  const [last] = await spool.read(spool.nextSequence - 1, 1)
  const { header: told, rollups } = decodeBatch(last?.payload as Uint8Array)
  expect(told.clockQuality).toBe('trusted')
  expect(rollups).toHaveLength(1)
  expect(Math.min(...(rollups[0]?.timesMs ?? []))).toBeGreaterThanOrEqual(RIGHT_MS)
  expect(rollups[0]?.stampedByAgent).toBeUndefined()
  await spool.close()
})
