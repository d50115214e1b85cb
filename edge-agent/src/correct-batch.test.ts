import { BATCH_FORMAT_VERSION, type Batch, decodeBatch, encodeBatch } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { correctBatch, correctPayload } from './correct-batch.ts'

const column = { field: 'value', present: null, type: 'number', values: Float64Array.of(1, 2) } as const
const timesMs = Float64Array.of(1_000, 2_500)
const batch: Batch = {
  header: {
    formatVersion: BATCH_FORMAT_VERSION,
    agent: 'pi-1',
    epoch: '0123456789abcdef',
    sequence: 7,
    lane: 'live',
    createdAtMs: 3_000,
    completeThroughMs: 2_000,
    bootId: 'boot',
    clockQuality: 'untrusted',
    sampleCount: 4,
    readingCount: 4,
    readingsTotal: 4,
    backlogBatches: 0,
    backlogBytes: 0,
    drainSeconds: 0,
    monotonicMs: 3_000,
  },
  blocks: [
    { device: 'stamped', kind: 'k', stampedByAgent: true, timesMs, columns: [column] },
    { device: 'own-clock', kind: 'k', timesMs, columns: [column] },
  ],
  deadLetters: [
    {
      input: 'in',
      device: '',
      reason: 'not_json',
      detail: '',
      receivedAtMs: 2_900,
      original: new Uint8Array(0),
      originalBytes: 0,
      readingCount: 0,
    },
  ],
  tombstones: [{ epoch: '0123456789abcdef', fromSequence: 1, toSequence: 2, readingCount: 3, reason: 'damaged' }],
  rollups: [],
}
const SHIFT_MS = 1_780_272_000_123

test("all that the agent stamped moves alike; a device's own time stays, and so does everything else", () => {
  const corrected = decodeBatch(correctPayload(encodeBatch(batch), SHIFT_MS, 'corrected').payload)
  expect(corrected).toEqual({
    ...batch,
    header: {
      ...batch.header,
      clockQuality: 'corrected',
      createdAtMs: 3_000 + SHIFT_MS,
      completeThroughMs: 2_000 + SHIFT_MS,
    },
    blocks: [{ ...batch.blocks[0], timesMs: Float64Array.of(1_000 + SHIFT_MS, 2_500 + SHIFT_MS) }, batch.blocks[1]],
    deadLetters: [{ ...batch.deadLetters[0], receivedAtMs: 2_900 + SHIFT_MS }],
  })
})

test('back and forth gives the same batch', () => {
  expect(correctBatch(correctBatch(batch, SHIFT_MS, 'estimated'), -SHIFT_MS, 'untrusted')).toEqual(batch)
})
