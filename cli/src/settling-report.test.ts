import type { DeadLetter } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { isSelected, isSelective } from './dead-letter-selection.ts'
import { createSettlingTally, settlingText } from './settling-report.ts'

const letterOf = (change: Partial<DeadLetter>): DeadLetter => ({
  ...{ id: 'pi-1/0123456789abcdef/1/c0', stage: 'contract', reason: 'out_of_range', detail: '', site: 'site-1' },
  ...{ agent: 'pi-1', epoch: '0123456789abcdef', sequence: 1, device: 'pump-1', kind: 'vibration', field: 'speed_rpm' },
  ...{ timeMs: 0, refusedAtMs: 1_000, readingCount: 10, original: '', originalBytes: 0 },
  ...change,
})

test('a selection is all that it says together; ids are beside it', () => {
  const letter = letterOf({})
  expect(isSelective({})).toBe(false)
  expect(isSelective({ since: 0 })).toBe(true)
  for (const one of [
    {},
    { agent: 'pi-1', kind: 'vibration' },
    { since: 1_000, until: 1_001 },
    { device: 'pump-1', stage: 'contract' },
  ] as const)
    expect(isSelected(letter, one)).toBe(true)
  for (const one of [
    { agent: 'pi-2' },
    { reason: 'wrong_type' },
    { until: 1_000 },
    { since: 1_001 },
    { stage: 'store' },
  ] as const)
    expect(isSelected(letter, one)).toBe(false)
  expect(isSelected(letter, {}, new Set(['another']))).toBe(false)
  expect(isSelected(letter, {}, new Set([letter.id]))).toBe(true)
})

test('the report adds up, by reason, and says why what was not stored was not', () => {
  const tally = createSettlingTally('requeue', false)
  const answer = { reason: '', detail: '' }
  tally.add(letterOf({}), { ...answer, outcome: 'stored', stored: 10, refused: 0 })
  tally.add(letterOf({}), { outcome: 'stored', stored: 7, refused: 3, reason: 'wrong_type', detail: 'it is text' })
  tally.add(letterOf({ stage: 'edge', reason: 'not_json', readingCount: 0 }), 'line 17 cannot be read')
  tally.add(letterOf({ stage: 'edge', reason: 'not_json', readingCount: 0 }), 'line 18 cannot be read')
  tally.add(letterOf({}), undefined)
  const report = tally.report()
  expect(report).toMatchObject({
    letters: 5,
    readings: 30,
    stored: 17,
    refused: 3,
    unchanged: 2,
    unanswered: 1,
    dropped: 0,
  })
  expect(report.groups.map(({ reason, letters }) => [reason, letters])).toEqual([
    ['out_of_range', 3],
    ['not_json', 2],
  ])
  expect(report.refusedAgain).toMatchObject([{ reason: 'wrong_type', readings: 3, exampleDetail: 'it is text' }])
  expect(report.obstacles).toMatchObject([{ letters: 2, exampleDetail: 'line 17 cannot be read' }])
  const text = settlingText(report)
  for (const part of [
    '17 readings were stored, 3 refused again',
    '2 letters stay as they were',
    '1 letters were asked for',
  ])
    expect(text).toContain(part)
  expect(settlingText(createSettlingTally('drop', true).report())).toBe('no dead letter is selected')
})
