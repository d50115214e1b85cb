import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createStoredIndex } from './stored.ts'

interface Row {
  agent: string
  sequence: number
}
const rows = fc.array(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({ agent: fc.constantFrom('a', 'b', 'c'), sequence: fc.integer({ min: 1, max: 400 }) }),
    },
    { weight: 1, arbitrary: fc.constant(undefined) },
  ),
  { maxLength: 300 },
)
const watermarks = fc.array(
  fc.record({ agent: fc.constantFrom('a', 'b', 'c'), sequence: fc.integer({ min: 1, max: 400 }) }),
  { maxLength: 8 },
)

/** Holds a spool of these rows, one sequence each, and goes through watermarks and trims. */
function check(history: (Row | undefined)[], stored: Row[], sentThrough: number, entriesMax: number | undefined): void {
  const index = createStoredIndex(entriesMax)
  history.forEach((row, i) => void index.add(i + 1, row && { ...row, epoch: 'e' }))
  if (entriesMax !== undefined) expect(index.size).toBeLessThanOrEqual(entriesMax + 3)
  const marks = new Map<string, number>()
  let trimmed = 0
  for (const { agent, sequence } of stored) {
    index.stored(agent, 'e', sequence)
    marks.set(agent, Math.max(marks.get(agent) ?? 0, sequence))
    const through = index.trimmableThrough(sentThrough)
    expect(through).toBeLessThanOrEqual(sentThrough)
    for (const row of history.slice(trimmed, through))
      if (row) expect(row.sequence).toBeLessThanOrEqual(marks.get(row.agent) ?? 0)
    index.forget(through)
    trimmed = Math.max(trimmed, through)
    // What is left is found, wherever it is.
    history.forEach((row, i) => {
      if (!row || i < trimmed) return
      const ranges = index.find(row.agent, 'e', row.sequence, row.sequence)
      expect(ranges.some(({ from, to }) => from <= i + 1 && i + 1 <= to)).toBe(true)
    })
  }
}

test('nothing is free to go that was not sent, or is not in the store; what is left is found', () => {
  fc.assert(
    fc.property(rows, watermarks, fc.nat(300), (history, stored, sent) => check(history, stored, sent, undefined)),
    { numRuns: 60 },
  )
})

test('the same holds when the index is full and its runs are joined', () => {
  fc.assert(
    fc.property(rows, watermarks, fc.nat(300), (history, stored, sent) => check(history, stored, sent, 4)),
    { numRuns: 60 },
  )
})

test('what is stored and sent is let go of, and the index is empty then', () => {
  const index = createStoredIndex()
  for (let i = 1; i <= 200; i++)
    index.add(i, i % 10 === 0 ? undefined : { agent: `agent-${i % 3}`, epoch: 'e', sequence: i })
  for (const agent of ['agent-0', 'agent-1', 'agent-2']) expect(index.stored(agent, 'e', 200)).toBe(true)
  expect(index.trimmableThrough(200)).toBe(200)
  index.forget(200)
  expect(index.size).toBe(0)
  expect(index.stored('agent-0', 'e', 300)).toBe(false)
})

test('a gap that never closes holds nothing that is in the store beyond it', () => {
  const index = createStoredIndex()
  const sequences = [
    ...Array.from({ length: 50 }, (_, i) => 901 + i),
    ...Array.from({ length: 150 }, (_, i) => 5_001 + i),
  ]
  for (const [i, sequence] of sequences.entries()) index.add(i + 1, { agent: 'a', epoch: 'e', sequence })
  index.stored('a', 'e', 950)
  expect(index.trimmableThrough(200), 'the run with the gap in it is not whole').toBe(0)
  index.stored('a', 'e', 950, [[5_001, 5_100]])
  expect(index.trimmableThrough(200)).toBe(128)
  expect(index.isStored({ agent: 'a', epoch: 'e', sequence: 5_100 })).toBe(true)
  expect(index.isStored({ agent: 'a', epoch: 'e', sequence: 5_101 })).toBe(false)
  index.stored('a', 'e', 950, [[5_001, 5_150]])
  expect(index.trimmableThrough(200)).toBe(200)
})

test('of two lanes whose sequences alternate nothing goes before both are in the store', () => {
  const index = createStoredIndex()
  for (let i = 0; i < 32; i++) {
    index.add(2 * i + 1, { agent: 'a', epoch: 'e', sequence: 5_001 + i })
    index.add(2 * i + 2, { agent: 'a', epoch: 'e', sequence: 101 + i })
  }
  index.stored('a', 'e', 100, [[5_001, 5_032]])
  expect(index.trimmableThrough(64)).toBe(0)
  index.stored('a', 'e', 132, [[5_001, 5_032]])
  expect(index.trimmableThrough(64)).toBe(64)
})
