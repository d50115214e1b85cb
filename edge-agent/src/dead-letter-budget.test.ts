import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createDeadLetterBudget, LETTERS_PER_SECOND_MAX } from './dead-letter-budget.ts'

const refusal = (reason: string, bytes = 10) => ({
  device: 'd',
  reason,
  detail: 'because',
  original: Buffer.alloc(bytes, 1),
  readingCount: 2,
})

test('a flood keeps its first originals, and every one of the rest is counted, by reason', async () => {
  const clock = createSimulatedClock()
  const budget = createDeadLetterBudget(() => clock.monotonicMs())
  const kept = Array.from({ length: 5_000 }, (_, i) =>
    budget.admit('pump', refusal(i % 2 ? 'noise' : 'bad_checksum'), clock.wallMs()),
  ).filter(Boolean)
  expect(kept).toHaveLength(LETTERS_PER_SECOND_MAX)
  expect(kept[0]).toMatchObject({
    input: 'pump',
    device: 'd',
    reason: 'bad_checksum',
    detail: 'because',
    originalBytes: 10,
    readingCount: 2,
  })
  const summaries = budget.takeSummaries()
  expect(summaries.map(({ reason }) => reason).sort()).toEqual(['bad_checksum', 'noise'])
  const readings = [...kept, ...summaries].reduce((sum, letter) => sum + (letter?.readingCount ?? 0), 0)
  expect(readings).toBe(10_000)
  expect(summaries.reduce((sum, { originalBytes }) => sum + originalBytes, 0)).toBe(
    (5_000 - LETTERS_PER_SECOND_MAX) * 10,
  )
  expect(summaries[0]?.detail).toMatch(/^2495 more like this/)
  expect(budget.takeSummaries()).toEqual([])

  await clock.advance(1_000)
  expect(budget.admit('pump', refusal('noise'), clock.wallMs())).toBeDefined()
})

test('one input does not spend the budget of another; large originals are cut, and count by their bytes', () => {
  const budget = createDeadLetterBudget(() => 0)
  for (let i = 0; i < 100; i++) budget.admit('a', refusal('x'), 0)
  expect(budget.admit('b', refusal('x', 100_000), 0)).toMatchObject({
    originalBytes: 100_000,
    original: { length: 65_536 },
  })
  expect(budget.admit('b', refusal('x', 100_000), 0)).toBeDefined()
  expect(budget.admit('b', refusal('x', 100_000), 0)).toBeUndefined()
})
