import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  contiguousThrough,
  createSequences,
  gapsOf,
  givenUpReadings,
  producedReadings,
  RUNS_MAX,
  receiveBatch,
  receiveTombstone,
} from './deduplicate.ts'
import { shedReadings } from './losses.ts'

const at = (atMs: number) => ({ atMs, patienceMs: atMs })

/** An epoch as the agent knows it: readings of each sequence; which ones arrive; which are shed, in ranges. */
const history = fc
  .array(
    fc.record({
      readings: fc.integer({ min: 0, max: 50 }),
      fate: fc.constantFrom('sent', 'sent', 'sent', 'shed', 'lost'),
    }),
    {
      minLength: 1,
      maxLength: 40,
    },
  )
  .chain((batches) =>
    fc.record({
      batches: fc.constant(batches),
      order: fc.shuffledSubarray(
        [...batches.keys(), ...batches.keys()].map((index, i) => ({ index, i })),
        { minLength: batches.length * 2 },
      ),
    }),
  )

test('produced = received + shed + readings in gaps, after every single event, in any order and with repeats', () => {
  fc.assert(
    fc.property(history, ({ batches, order }) => {
      const totals: number[] = []
      let total = 0
      for (const { readings } of batches) {
        total += readings
        totals.push(total)
      }
      const sequences = createSequences()
      let received = 0
      const seen = new Set<number>()
      for (const { index } of order) {
        const { readings, fate } = batches[index] as (typeof batches)[number]
        const sequence = index + 1
        const readingsTotal = totals[index] as number
        if (fate === 'sent') {
          const fresh = receiveBatch(
            sequences,
            { sequence, readingCount: readings, readingsTotal, completeThroughMs: sequence },
            at(1_000),
          )
          expect(fresh).toBe(!seen.has(index))
          if (fresh) received += readings
          seen.add(index)
        } else if (fate === 'shed') {
          receiveTombstone(
            sequences,
            { fromSequence: sequence, toSequence: sequence, readingCount: readings, reason: 'shed' },
            at(1_000),
          )
          seen.add(index)
        }
        const gaps = gapsOf(sequences)
        const inGaps = gaps.reduce((sum, gap) => sum + (Number.isNaN(gap.readings) ? 0 : gap.readings), 0)
        if (gaps.every((gap) => !Number.isNaN(gap.readings)))
          expect(producedReadings(sequences)).toBe(received + shedReadings(sequences.losses) + inGaps)
      }
      const highest = Math.max(-1, ...seen)
      const lost = batches.flatMap((batch, i) => (batch.fate === 'lost' && i < highest ? [i + 1] : []))
      const firstLost = lost[0]
      expect(contiguousThrough(sequences)).toBe(firstLost === undefined ? highest + 1 : firstLost - 1)
      const missing = gapsOf(sequences).flatMap(({ fromSequence, toSequence }) =>
        Array.from({ length: toSequence - fromSequence + 1 }, (_, i) => fromSequence + i),
      )
      expect(missing).toEqual(lost)
    }),
    { numRuns: 300 },
  )
})

test('a tombstone that only estimates is corrected by the totals of the batches beside it', () => {
  const sequences = createSequences()
  receiveBatch(sequences, { sequence: 1, readingCount: 10, readingsTotal: 10, completeThroughMs: 1 }, at(0))
  receiveTombstone(sequences, { fromSequence: 2, toSequence: 4, readingCount: 0, reason: 'shed' }, at(0))
  receiveBatch(sequences, { sequence: 5, readingCount: 10, readingsTotal: 50, completeThroughMs: 5 }, at(0))
  expect(shedReadings(sequences.losses)).toBe(30)
  expect(gapsOf(sequences)).toEqual([])
  expect(contiguousThrough(sequences)).toBe(5)
})

test('a tombstone over what has arrived counts only what has not', () => {
  const sequences = createSequences()
  receiveBatch(sequences, { sequence: 1, readingCount: 5, readingsTotal: 5, completeThroughMs: 1 }, at(0))
  receiveBatch(sequences, { sequence: 3, readingCount: 5, readingsTotal: 17, completeThroughMs: 3 }, at(0))
  receiveTombstone(sequences, { fromSequence: 1, toSequence: 3, readingCount: 17, reason: 'shed' }, at(0))
  expect(shedReadings(sequences.losses)).toBe(7)
  expect(producedReadings(sequences)).toBe(17)
})

test('more holes than it may remember: the lowest is given up, and its readings count as missing for good', () => {
  const sequences = createSequences()
  for (let sequence = 2; sequence <= 2 * (RUNS_MAX + 1); sequence += 2)
    receiveBatch(
      sequences,
      { sequence, readingCount: 3, readingsTotal: sequence * 3, completeThroughMs: sequence },
      at(0),
    )
  expect(sequences.runs.length).toBe(RUNS_MAX)
  expect(givenUpReadings(sequences)).toBe(6)
  expect(sequences.givenUpBatches).toBe(2)
  expect(contiguousThrough(sequences)).toBe(4)
  const inGaps = gapsOf(sequences).reduce((sum, gap) => sum + gap.readings, 0)
  expect(producedReadings(sequences)).toBe(3 * (RUNS_MAX + 1) + 6 + inGaps)
})

test('the hole that is left keeps its age when a batch falls into its middle', () => {
  const sequences = createSequences()
  const batch = (sequence: number) => ({
    sequence,
    readingCount: 1,
    readingsTotal: sequence,
    completeThroughMs: sequence,
  })
  receiveBatch(sequences, batch(10), at(1_000))
  receiveBatch(sequences, batch(5), at(9_000))
  expect(gapsOf(sequences)).toEqual([
    { fromSequence: 1, toSequence: 4, readings: 4, seenAtMs: 1_000, seenPatienceMs: 1_000 },
    { fromSequence: 6, toSequence: 9, readings: 4, seenAtMs: 1_000, seenPatienceMs: 1_000 },
  ])
})
