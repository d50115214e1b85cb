/** What a state that was lost had of an agent that gave readings up. */
import { describe, expect, test } from 'vitest'
import { takeOver } from './prior-life.ts'
import {
  accountOf,
  type BatchPlan,
  batchOf,
  blockOf,
  contextOf,
  createEffects,
  EPOCH,
  intakeOf,
  RECEIVED_AT_MS,
  rollupOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'

const T = 1_767_225_600_000
const NOW = { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS }

const samplesAt = (...offsetsMs: number[]): SampleValues[] =>
  offsetsMs.map((offsetMs) => ({ timeMs: T + offsetMs, values: { level: 1 } }))
const sent = (sequence: number, readingsBefore: number, ...offsetsMs: number[]): BatchPlan => ({
  sequence,
  readingsBefore,
  completeThroughMs: T + Math.max(...offsetsMs),
  blocks: [blockOf('pump-1', 'mixed', samplesAt(...offsetsMs))],
})
const stone = (sequence: number, readingCount: number, reason = 'shed') => ({
  epoch: EPOCH,
  fromSequence: sequence,
  toSequence: sequence,
  readingCount,
  reason,
})

function life() {
  const context = contextOf()
  const state = stateFor(context)
  const effects = createEffects()
  return {
    state,
    give: (plan: BatchPlan) => step(state, intakeOf(batchOf(plan)), context, effects),
    answer: (
      sequence: number,
      totals: Partial<{ readings: number; shed: number; newestMs: number; closedThroughMs: number }>,
    ) =>
      takeOver(
        state,
        'workshop',
        {
          agent: 'agent-a',
          epoch: EPOCH,
          sequence,
          totals: {
            readings: 0,
            deadLettered: 0,
            shed: 0,
            missing: 0,
            newestMs: null,
            closedThroughMs: null,
            ...totals,
          },
        },
        NOW,
      ),
    newestMs: () => [...state.agents.values()][0]?.epochs.get(EPOCH)?.newestMs,
    dirty: () => [...state.dirty.values()].map(({ widthMs, startMs }) => `${widthMs} ${startMs - T}`),
    account: () => accountOf(state, RECEIVED_AT_MS, 600_000)[0],
  }
}

test('what is rolled up counts for the newest time of an epoch: whoever takes over leaves those windows alone', () => {
  const { give, newestMs } = life()
  const rollups = [rollupOf('pump-1', samplesAt(1_000, 12_000))]
  give({ sequence: 2, readingsBefore: 2, rollups, tombstones: [stone(1, 2, 'rolled_up_10s')] })
  expect(newestMs()).toBe(T + 12_000)
})

test('a state that was in doubt itself had closed nothing: all windows up to the newest time are entered', () => {
  const { give, answer, dirty } = life()
  give(sent(8, 4, 31_000))
  answer(7, { readings: 4, newestMs: T + 25_000 })
  expect(dirty()).toEqual(expect.arrayContaining(['10000 0', '10000 10000', '10000 20000', '60000 0']))
})

describe('tombstones close holes around the watermark that was kept', () => {
  test('beyond it: they are not among what the totals tell', () => {
    const { give, answer, account } = life()
    // 1 was shed, 2 to 4 stored; 5 was shed, 6 a hole, 7 shed: known through 8.
    give({ sequence: 8, readingsBefore: 70, tombstones: [stone(5, 10), stone(7, 10)] })
    give(sent(6, 50, ...Array.from({ length: 10 }, (_, i) => i * 100)))
    answer(5, { readings: 50, shed: 20 })
    give(sent(9, 70, 90_000))
    expect(account()).toMatchObject({ produced: 71, stored: 41, shed: 30, inFlight: 0, missing: 0 })
  })

  test('up to it: what lies before them was stored, and is not taken for shed', () => {
    const { give, answer, account } = life()
    give({ sequence: 5, readingsBefore: 43, tombstones: [stone(3, 10)] })
    answer(3, { readings: 40, shed: 10 })
    give(sent(4, 40, 1_000, 2_000, 3_000))
    expect(account()).toMatchObject({ produced: 43, stored: 33, shed: 10, inFlight: 0, missing: 0 })
  })
})
