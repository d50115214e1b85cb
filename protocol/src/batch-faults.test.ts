/** The encoder refuses what the decoder would; and it takes what stands exactly at a limit. */
import { describe, expect, test } from 'vitest'
import type { Batch, DeviceBlock, FieldColumn } from './batch.ts'
import { decodeBatch, encodeBatch, rewriteSendFields } from './batch-codec.ts'
import { countReadings, countSamples } from './batch-faults.ts'
import { goldenBatches } from './golden-batches.ts'
import {
  BATCH_DEVICES_MAX,
  BATCH_READINGS_MAX,
  BATCH_SAMPLES_MAX,
  BATCH_SLOTS_MAX,
  BLOCK_FIELDS_MAX,
  DEAD_LETTER_ORIGINAL_BYTES_MAX,
  DEAD_LETTERS_PER_BATCH_MAX,
  NAME_BYTES_MAX,
  ROLLUP_WIDTH_MS_MAX,
  ROLLUPS_PER_BATCH_MAX,
  STRING_VALUE_BYTES_MAX,
  TOMBSTONES_PER_BATCH_MAX,
} from './limits.ts'
import type { RollupBlock, RollupColumn } from './rollup.ts'

const empty = goldenBatches['empty'] as Batch

/** A batch whose counts are right. */
function batch(body: Partial<Omit<Batch, 'header'>>, header: Partial<Batch['header']> = {}): Batch {
  const whole = { ...empty, ...body }
  const counts = { sampleCount: countSamples(whole.blocks), readingCount: countReadings(whole) }
  return { ...whole, header: { ...empty.header, ...counts, ...header } }
}
const numbers = (field: string, length: number, present: Uint8Array | null = null): FieldColumn => ({
  field,
  present,
  type: 'number',
  values: new Float64Array(length),
})
const block = (sampleCount: number, columns: FieldColumn[], device = 'd'): DeviceBlock => ({
  device,
  kind: 'k',
  timesMs: new Float64Array(sampleCount),
  columns,
})
const strings = (...values: string[]): FieldColumn => ({ field: 's', present: null, type: 'string', values })
const letter = {
  input: 'i',
  device: '',
  reason: 'r',
  detail: '',
  receivedAtMs: 0,
  original: new Uint8Array(0),
  originalBytes: 0,
  readingCount: 0,
}
const stone = { epoch: empty.header.epoch, fromSequence: 1, toSequence: 1, readingCount: 0, reason: 'r' }
type NumberRollup = Extract<RollupColumn, { type: 'number' }>
const numberRollup = (windows: number, change: Partial<NumberRollup> = {}): NumberRollup => ({
  field: 'f',
  type: 'number',
  counts: new Float64Array(windows).fill(1),
  lastOffsetsMs: new Float64Array(windows),
  sums: new Float64Array(windows),
  spreads: new Float64Array(windows),
  minimums: new Float64Array(windows),
  maximums: new Float64Array(windows),
  lasts: new Float64Array(windows),
  ...change,
})
const rollup = (windows: number, columns: readonly RollupColumn[] = []): RollupBlock => ({
  device: 'd',
  kind: 'k',
  widthMs: 1000,
  fromSequence: 1,
  toSequence: 6,
  timesMs: Float64Array.from({ length: windows }, (_, i) => i * 1000),
  columns,
})
/** The batch's sequence is 7. */
const rolledUp = (...rollups: RollupBlock[]): Batch => batch({ rollups }, { sequence: 7 })
const oneWindow = (change: Partial<NumberRollup>): Batch => rolledUp(rollup(1, [numberRollup(1, change)]))
const several = <T>(count: number, item: T): T[] => new Array(count).fill(item)

const refused = (given: Batch): string => {
  try {
    encodeBatch(given)
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError)
    return (error as RangeError).message
  }
  throw new Error('was accepted')
}
const accepted = (given: Batch) => expect(decodeBatch(encodeBatch(given)).header).toEqual(given.header)

describe('limits: the last that is allowed, and one more', () => {
  test.each<[string, number, (count: number) => Batch]>([
    ['readings', BATCH_READINGS_MAX, (n) => batch({ blocks: [block(n, [numbers('f', n)])] })],
    ['samples', BATCH_SAMPLES_MAX, (n) => batch({ blocks: [block(n, [])] })],
    [
      'slots',
      BATCH_SLOTS_MAX,
      (n) =>
        batch({
          blocks: several(4, 0)
            .map((_, i) => block(1 + i, []))
            .concat(
              block(
                n / 8,
                several(8, 0).map((_, i) => numbers(`f${i}`, n / 8, new Uint8Array(n / 8))),
              ),
            ),
        }),
    ],
    [
      'columns',
      BLOCK_FIELDS_MAX,
      (n) =>
        batch({
          blocks: [
            block(
              1,
              several(n, 0).map((_, i) => numbers(`f${i}`, 1)),
            ),
          ],
        }),
    ],
    ['devices', BATCH_DEVICES_MAX, (n) => batch({ blocks: several(n, 0).map((_, i) => block(1, [], `d${i}`)) })],
    ['dead letters', DEAD_LETTERS_PER_BATCH_MAX, (n) => batch({ deadLetters: several(n, letter) })],
    ['tombstones', TOMBSTONES_PER_BATCH_MAX, (n) => batch({ tombstones: several(n, stone) })],
    ['roll-ups', ROLLUPS_PER_BATCH_MAX, (n) => rolledUp(...several(n, rollup(0)))],
    [
      'samples and windows together',
      BATCH_SAMPLES_MAX,
      (n) => batch({ blocks: [block(n - 1000, [])], rollups: [rollup(1000)] }, { sequence: 7 }),
    ],
    [
      'statistics of windows',
      BATCH_SLOTS_MAX,
      (n) => rolledUp(rollup(Math.ceil(n / 7 - 0.9), [numberRollup(Math.ceil(n / 7 - 0.9))])),
    ],
    [
      'columns of windows',
      BLOCK_FIELDS_MAX,
      (n) =>
        rolledUp(
          rollup(
            1,
            several(n, 0).map((_, i) => numberRollup(1, { field: `f${i}` })),
          ),
        ),
    ],
    [
      'bytes in a string that is left of a window',
      STRING_VALUE_BYTES_MAX,
      (n) =>
        rolledUp(
          rollup(1, [
            {
              field: 's',
              type: 'string',
              counts: Float64Array.of(1),
              lastOffsetsMs: Float64Array.of(0),
              lasts: ['x'.repeat(n)],
            },
          ]),
        ),
    ],
    ['bytes in a string', STRING_VALUE_BYTES_MAX, (n) => batch({ blocks: [block(1, [strings('x'.repeat(n))])] })],
    ['bytes in a name', NAME_BYTES_MAX, (n) => batch({ blocks: [block(1, [], 'x'.repeat(n))] })],
    [
      'bytes in an original',
      DEAD_LETTER_ORIGINAL_BYTES_MAX,
      (n) => batch({ deadLetters: [{ ...letter, original: new Uint8Array(n), originalBytes: n }] }),
    ],
  ])('%s', (_, limit, make) => {
    accepted(make(limit))
    expect(refused(make(limit + 8))).toMatch(/are allowed/)
  })

  test('a batch whose bytes are too many', () => {
    const original = new Uint8Array(DEAD_LETTER_ORIGINAL_BYTES_MAX)
    let state = 1
    for (let i = 0; i < original.length; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      original[i] = state >>> 24
    }
    // Noise does not shrink.
    const letters = several(20, { ...letter, original, originalBytes: original.length })
    expect(
      refused(batch({ deadLetters: letters.map((l, i) => ({ ...l, original: original.map((b) => b ^ (i * 37)) })) })),
    ).toMatch(/1048576 are allowed/)
    expect(refused(batch({ deadLetters: several(300, letters[0] ?? letter) }))).toMatch(/16777216 are allowed/)
  })

  test('a limit on text counts bytes', () => {
    expect(refused(batch({ blocks: [block(1, [strings('ü'.repeat(600))])] }))).toMatch(/1200 bytes; 1024/)
    expect(refused(batch({ blocks: [block(1, [], 'ü'.repeat(40))] }))).toMatch(/80 bytes; 64/)
  })
})

describe('contradictions', () => {
  const presence = Uint8Array.of(1)
  test.each<[string, Batch, RegExp]>([
    ['sample count', batch({}, { sampleCount: 1 }), /says 1 samples, the blocks hold 0/],
    [
      'reading count',
      batch({ deadLetters: [{ ...letter, readingCount: 2 }] }, { readingCount: 0 }),
      /says 0 readings.*hold 2/,
    ],
    ['format version', batch({}, { formatVersion: 3 }), /format version 3/],
    ['a former format version', batch({}, { formatVersion: 1 }), /only 2 is written/],
    ['monotonic time', batch({}, { monotonicMs: -1 }), /monotonicMs is -1/],
    ['agent', batch({}, { agent: 'Pi 7' }), /"Pi 7" is no name/],
    ['epoch', batch({}, { epoch: 'XX' }), /"XX" is no epoch/],
    ['sequence', batch({}, { sequence: 0 }), /sequence is 0/],
    [
      'time',
      batch({}, { completeThroughMs: Number.NEGATIVE_INFINITY }),
      /complete through -Infinity ms, which is no time/,
    ],
    ['total', batch({}, { readingsTotal: 1.5 }), /readingsTotal is 1.5/],
    [
      'time of a sample',
      batch({ blocks: [{ ...block(1, []), timesMs: Float64Array.of(Number.NaN) }] }),
      /measured at NaN ms/,
    ],
    ['values', batch({ blocks: [block(2, [numbers('f', 1)])] }), /1 values for 2 samples/],
    ['presence', batch({ blocks: [block(2, [numbers('f', 2, presence)])] }), /1 presence flags for 2 samples/],
    [
      'same type twice',
      batch({ blocks: [block(1, [numbers('f', 1, presence), numbers('f', 1, Uint8Array.of(0))])] }),
      /or the same type/,
    ],
    ['overlap', batch({ blocks: [block(1, [numbers('s', 1, presence), strings('x')])] }), /for the same sample/],
    ['no device', batch({ blocks: [block(1, [], '')] }), /a device without a name/],
    ['line break in a device', batch({ blocks: [block(1, [], 'a\nb')] }), /"a\\nb", with a control character/],
    [
      'a letter longer than its original',
      batch({ deadLetters: [{ ...letter, original: new Uint8Array(3), originalBytes: 2 }] }),
      /keeps 3 bytes of 2/,
    ],
    [
      'a tombstone backwards',
      batch({ tombstones: [{ ...stone, fromSequence: 5, toSequence: 4 }] }),
      /from sequence 5 to 4/,
    ],
    ['a window without width', rolledUp({ ...rollup(0), widthMs: 0 }), /a window of 0 ms/],
    ['a window that is too wide', rolledUp({ ...rollup(0), widthMs: ROLLUP_WIDTH_MS_MAX + 1 }), /a window of 86400001/],
    ['a window beside the grid', rolledUp({ ...rollup(1), timesMs: Float64Array.of(5) }), /multiples of 1000/],
    ['the same window twice', rolledUp({ ...rollup(2), timesMs: Float64Array.of(0, 0) }), /ascending/],
    ['a window at no time', rolledUp({ ...rollup(1), timesMs: Float64Array.of(Number.NaN) }), /no time/],
    ['a roll-up backwards', rolledUp({ ...rollup(0), fromSequence: 7 }), /sequences 7 to 6/],
    ['a roll-up of sequence 0', rolledUp({ ...rollup(0), fromSequence: 0 }), /sequences 0 to 6/],
    [
      'a roll-up of itself',
      batch({ rollups: [rollup(0)] }, { sequence: 6 }),
      /sequence 6 holds a roll-up of sequence 6/,
    ],
    ['a roll-up without a device', rolledUp({ ...rollup(0), device: '' }), /a device without a name/],
    ['two columns of a type', rolledUp(rollup(1, [numberRollup(1), numberRollup(1)])), /two columns of one type/],
    [
      'statistics for other windows',
      rolledUp(rollup(2, [numberRollup(2, { sums: new Float64Array(1) })])),
      /one slot for/,
    ],
    ['half a reading', oneWindow({ counts: Float64Array.of(0.5) }), /a window of 0.5 readings/],
    ['a last reading after its window', oneWindow({ lastOffsetsMs: Float64Array.of(1000) }), /1000 ms after the start/],
    ['a minimum above the maximum', oneWindow({ minimums: Float64Array.of(2) }), /from 2 to 0/],
    ['a last value beyond the maximum', oneWindow({ lasts: Float64Array.of(1) }), /with 1 as its last value/],
    ['an infinite maximum', oneWindow({ maximums: Float64Array.of(Infinity) }), /from 0 to Infinity/],
    ['values that are none', oneWindow({ lasts: Float64Array.of(Number.NaN) }), /with NaN as its last value/],
    [
      'more trues than readings',
      rolledUp(
        rollup(1, [
          {
            field: 'b',
            type: 'boolean',
            counts: Float64Array.of(1),
            lastOffsetsMs: Float64Array.of(0),
            trueCounts: Float64Array.of(2),
            lasts: Uint8Array.of(1),
          },
        ]),
      ),
      /2 of 1 readings are true/,
    ],
  ])('%s', (_, given, detail) => {
    expect(refused(given)).toMatch(detail)
  })

  test('send fields that are none', () => {
    const bytes = encodeBatch(empty)
    const fields = { lane: 'live', backlogBatches: 0, backlogBytes: 0, drainSeconds: 0 } as const
    expect(() => rewriteSendFields(bytes, { ...fields, drainSeconds: Number.POSITIVE_INFINITY })).toThrow(RangeError)
    expect(() => rewriteSendFields(bytes, { ...fields, backlogBytes: -1 })).toThrow(/backlogBytes is -1/)
    expect(() => rewriteSendFields(bytes.subarray(0, 30), fields)).toThrow(/ends after 30 bytes/)
  })
})

test('a surrogate without its partner is replaced, and harms nothing else', () => {
  const given = batch({ blocks: [block(2, [strings('a\ud800', 'b')])] })
  expect(decodeBatch(encodeBatch(given)).blocks[0]?.columns[0]?.values).toEqual(['a\ufffd', 'b'])
})

test('readings are counted over presence and dead letters', () => {
  const counted = batch({
    blocks: [block(3, [numbers('a', 3), numbers('b', 3, Uint8Array.of(1, 0, 1))]), block(1, [strings('x')])],
    deadLetters: [{ ...letter, readingCount: 4 }],
  })
  expect(countReadings(counted.blocks)).toBe(6)
  expect(countReadings(counted)).toBe(10)
  expect(countSamples(counted.blocks)).toBe(4)
})
