import { expect, test } from 'vitest'
import { joined, remarks } from './ledger.ts'

const EPOCH = '0123456789abcdef'
const at = Date.UTC(2026, 0, 2)
const nothing = {
  site: 'hall',
  agent: 'pi-1',
  produced: 0,
  stored: 0,
  deadLettered: 0,
  shed: 0,
  inFlight: 0,
  missing: 0,
}
const quiet = {
  ...nothing,
  waiting: null,
  gaps: [],
  shedReasons: [],
  epochs: [{ epoch: EPOCH, recovered: 0, inDoubt: false }],
}

test('nothing is said of an agent of which there is nothing to say', () => {
  expect(remarks(quiet)).toEqual([])
})

test('what was lost is named: which agent, epoch and sequences, how many readings, why', () => {
  const ranges = [{ epoch: EPOCH, fromSequence: 3, toSequence: 9, readings: 700 }]
  const shedReasons = [
    { reason: 'rolled_up_10s', readings: 700, batches: 7, ranges, unnamedBatches: 0 },
    { reason: 'damaged', readings: 50, batches: 12, ranges: [], unnamedBatches: 12 },
    { reason: 'spool_full', readings: 9, batches: 0, ranges: [], unnamedBatches: 0 },
    {
      reason: 'something_new',
      readings: 1,
      batches: 1,
      ranges: ranges.map((range) => ({ ...range, readings: 1 })),
      unnamedBatches: 0,
    },
  ]
  expect(remarks({ ...quiet, shedReasons })).toEqual([
    `shed: pi-1, epoch ${EPOCH}, sequences 3 to 9: 700 readings, rolled_up_10s (kept as windows of 10 s, because the spool was nearly full)`,
    'shed: pi-1, 12 more batches: 50 readings, damaged (lost in a damaged part of the spool)',
    'shed: pi-1, more: 9 readings, spool_full (refused as they came, because the spool was full)',
    `shed: pi-1, epoch ${EPOCH}, sequences 3 to 9: 1 readings, something_new (as the agent said)`,
  ])
})

test('gaps, what waits, what was taken over, what is in doubt', () => {
  const gap = {
    epoch: EPOCH,
    fromSequence: 12,
    toSequence: 14,
    readings: 30,
    seenAtMs: at,
    missing: false,
    requested: 0,
    requestedAtMs: null,
  }
  const gaps = [gap, { ...gap, readings: null, missing: true, requested: 4, requestedAtMs: at }]
  const waiting = { batches: 1_200, sinceMs: at, saidAtMs: at + 1_000 }
  const epochs = [{ epoch: EPOCH, recovered: 500, inDoubt: true }]
  expect(remarks({ ...quiet, gaps, waiting, epochs })).toEqual([
    'waiting: pi-1, 1200 batches wait at the agent since 2026-01-02T00:00:00.000Z (said 2026-01-02T00:00:01.000Z)',
    `gap: pi-1, epoch ${EPOCH}, sequences 12 to 14 have not arrived: 30 readings`,
    `gap: pi-1, epoch ${EPOCH}, sequences 12 to 14 are missing: an unknown number of readings; asked for 4 times, last at 2026-01-02T00:00:00.000Z`,
    `recovered: pi-1, epoch ${EPOCH}: 500 readings were stored before the processor lost its state`,
    `in doubt: pi-1, epoch ${EPOCH}: its gateway has not said yet what was stored of it before`,
  ])
})

test('processors that share a stream have one account', () => {
  const one = { agents: [quiet], total: { ...nothing, produced: 5, stored: 3, deadLettered: 1, shed: 1 } }
  const other = { agents: [], total: { ...nothing, produced: 4, inFlight: 3, missing: 1 } }
  expect(joined([one, other])).toEqual({
    agents: [quiet],
    total: { produced: 9, stored: 3, deadLettered: 1, shed: 1, inFlight: 3, missing: 1 },
  })
})
