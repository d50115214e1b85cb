import { BATCH_FORMAT_VERSION, type BatchHeader, countReadings, countSamples, encodeBatch } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { createRemains } from './remains.ts'

const EPOCH = '0123456789abcdef'
const header = (sequence: number, sampleCount: number, readingCount: number): BatchHeader => ({
  formatVersion: BATCH_FORMAT_VERSION,
  agent: 'pi-1',
  epoch: EPOCH,
  sequence,
  lane: 'live',
  createdAtMs: 0,
  completeThroughMs: 0,
  bootId: 'boot',
  clockQuality: 'trusted',
  sampleCount,
  readingCount,
  readingsTotal: sequence * readingCount,
  backlogBatches: 0,
  backlogBytes: 0,
  drainSeconds: 0,
  monotonicMs: 0,
})

test('however much there is of the kinds that go last, what is carried on of them fits into one record', () => {
  const remains = createRemains({
    epoch: EPOCH,
    bootId: 'boot',
    severity: 0,
    keepLast: new Set(['alarm']),
    mayHaveLeft: () => false,
    wasSent: () => false,
    corrected: (batch) => batch,
  })
  for (let sequence = 1; !remains.isFull; sequence++) {
    const timesMs = Float64Array.from({ length: 50 }, (_, i) => sequence * 1_000 + i)
    const values = timesMs.map((_, i) => i % 7)
    const columns = Array.from(
      { length: 20 },
      (_, i) => ({ field: `value_${i}`, type: 'number', present: null, values }) as const,
    )
    const block = { device: 'pump', kind: 'alarm', timesMs, columns }
    const batch = { blocks: [block], deadLetters: [], tombstones: [], rollups: [] }
    remains.add({ sequence, payload: encodeBatch({ header: header(sequence, 50, 1_000), ...batch }) })
  }
  const content = remains.finish()
  const readings = countReadings(content.blocks)
  expect(readings).toBeGreaterThan(10_000)
  expect(() => encodeBatch({ header: header(999, countSamples(content.blocks), readings), ...content })).not.toThrow()
})
