import { BATCH_BYTES_MAX, BATCH_FORMAT_VERSION, type BatchHeader, decodeBatch, encodeBatch } from '@tributary/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type BatchContent, createBatcher } from './batcher.ts'
import type { FieldValue, Sample } from './sample.ts'

const header = (content: BatchContent): BatchHeader => ({
  formatVersion: BATCH_FORMAT_VERSION,
  agent: 'a',
  epoch: '0123456789abcdef',
  sequence: 1,
  lane: 'live',
  createdAtMs: 1_700_000_000_000,
  completeThroughMs: 1_700_000_000_000,
  bootId: 'b',
  clockQuality: 'trusted',
  sampleCount: content.sampleCount,
  readingCount: content.readingCount,
  readingsTotal: content.readingCount,
  backlogBatches: 0,
  backlogBytes: 0,
  drainSeconds: 0,
  monotonicMs: 0,
})
const encoded = (content: BatchContent) =>
  encodeBatch({
    header: header(content),
    blocks: content.blocks,
    deadLetters: content.deadLetters,
    tombstones: [],
    rollups: [],
  })

/** Samples as they went in: a list of field → value by device, kind and time. */
function unpack(bytes: Uint8Array): Map<string, Record<string, FieldValue>> {
  const found = new Map<string, Record<string, FieldValue>>()
  for (const block of decodeBatch(bytes).blocks)
    for (let i = 0; i < block.timesMs.length; i++) {
      const fields: Record<string, FieldValue> = {}
      for (const column of block.columns) {
        if (column.present && !column.present[i]) continue
        const value = column.values[i] as number | string
        fields[column.field] = column.type === 'boolean' ? value === 1 : value
      }
      found.set(`${block.device}/${block.kind}/${block.timesMs[i]}`, fields)
    }
  return found
}

const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0),
  fc.boolean(),
  fc.string({ maxLength: 20 }),
)
const field = fc.constantFrom('a', 'b', 'c', 'd')
const shaped = fc.record({
  device: fc.constantFrom('d1', 'd2'),
  kind: fc.constantFrom('k1', 'k2'),
  fields: fc.dictionary(field, value, { minKeys: 1 }),
})
const sampleOf = (device: string, kind: string, fields: Record<string, FieldValue>): Sample => ({
  device,
  kind,
  measuredAtMs: undefined,
  sequence: undefined,
  names: Object.keys(fields),
  values: Object.values(fields),
})

test('what goes in comes out: missing fields, and fields whose type changes between samples', () => {
  fc.assert(
    fc.property(fc.array(shaped, { minLength: 1, maxLength: 80 }), (samples) => {
      const batcher = createBatcher()
      const expected = new Map<string, Record<string, FieldValue>>()
      for (const [i, { device, kind, fields }] of samples.entries()) {
        expect(batcher.add(sampleOf(device, kind, fields), 1_700_000_000_000 + i)).toBe(true)
        expected.set(`${device}/${kind}/${1_700_000_000_000 + i}`, { ...fields })
      }
      const content = batcher.finish()
      expect(content.sampleCount).toBe(samples.length)
      expect(unpack(encoded(content))).toEqual(expected)
    }),
  )
})

/** Fills batchers until each is full, and encodes each: the codec must take them all. */
function fillAndEncode(samples: Iterable<Sample>): { batches: number; readings: number } {
  let batcher = createBatcher()
  let batches = 0
  let readings = 0
  const finish = () => {
    const content = batcher.finish()
    expect(encoded(content).length).toBeLessThanOrEqual(BATCH_BYTES_MAX)
    readings += content.readingCount
    batches++
    batcher = createBatcher()
  }
  let timeMs = 1_700_000_000_000
  for (const sample of samples) {
    timeMs++
    if (batcher.add(sample, timeMs)) continue
    finish()
    expect(batcher.add(sample, timeMs)).toBe(true)
  }
  finish()
  return { batches, readings }
}

describe('no shape of samples breaks a limit', () => {
  let state = 12_345
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state / 2 ** 32
  }
  const noise = (length: number) =>
    Array.from({ length }, () => String.fromCharCode(33 + Math.floor(random() * 90))).join('')
  const shapes: [string, number, number, (i: number) => Record<string, FieldValue>, (i: number) => string][] = [
    ['many plain readings', 60_000, 2, () => ({ a: random() }), () => 'd'],
    ['strings that do not compress', 2_000, 2, () => ({ a: noise(1_024) }), () => 'd'],
    ['a new field in every sample', 5_000, 19, (i) => ({ [`f${i}`]: i }), () => 'd'],
    [
      'many fields',
      1_000,
      2,
      (i) => Object.fromEntries(Array.from({ length: 256 }, (_, j) => [`f${j}_${i % 2}`, random()])),
      () => 'd',
    ],
    ['a new device in every sample', 10_000, 3, () => ({ a: 1 }), (i) => `device-${i}`],
    ['a field of every type in turn', 5_000, 1, (i) => ({ a: [1, true, 'x'][i % 3] as FieldValue }), () => 'd'],
  ]
  test.each(shapes)('%s', (_, count, batchesMin, fields, device) => {
    const samples = Array.from({ length: count }, (_, i) => sampleOf(device(i), 'k', fields(i)))
    const { batches, readings } = fillAndEncode(samples)
    expect(batches).toBeGreaterThanOrEqual(batchesMin)
    expect(readings).toBe(samples.reduce((sum, sample) => sum + sample.names.length, 0))
  })

  test('dead letters of the largest size', () => {
    const letter = {
      input: 'i',
      device: '',
      reason: 'r',
      detail: 'd',
      receivedAtMs: 1_700_000_000_000,
      original: Buffer.from(noise(64 * 1024)),
      originalBytes: 70_000,
      readingCount: 3,
    }
    const batcher = createBatcher()
    let taken = 0
    while (batcher.addDeadLetter(letter)) taken++
    expect(taken).toBeGreaterThan(5)
    const content = batcher.finish()
    expect(content.readingCount).toBe(taken * 3)
    expect(encoded(content).length).toBeLessThanOrEqual(BATCH_BYTES_MAX)
  })
})
