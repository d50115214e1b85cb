import { expect, test } from 'vitest'
import { createLossLedger, LOSSES_SHOWN_MAX } from './loss-ledger.ts'

test('more losses than one batch can tell are told in several, and none twice', () => {
  const ledger = createLossLedger(() => [{ epoch: '0011223344556677', firstSequence: 1 }], {
    reported: [],
    unusedReported: false,
  })
  const count = 3 * LOSSES_SHOWN_MAX + 7
  for (let i = 1; i <= count; i++) ledger.add({ fromSequence: 2 * i, toSequence: 2 * i }, 'damaged')
  const told: number[] = []
  do {
    expect(ledger.snapshot().length).toBeLessThanOrEqual(LOSSES_SHOWN_MAX)
    told.push(...ledger.snapshot().map(({ fromSequence }) => fromSequence))
  } while (ledger.reported())
  expect(told).toEqual(Array.from({ length: count }, (_, i) => 2 * (i + 1)))
})
