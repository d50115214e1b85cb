/** A state is lost at any moment; what a gateway keeps gives the next one its account back, and no window suffers. */
import { type KeptWatermark, type Tombstone, windowName } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { isInDoubt, takeOver } from './prior-life.ts'
import { agentOf, type PartitionState } from './state.ts'
import { watermarkOfEpoch } from './stored-watermark.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  EPOCH,
  intakeOf,
  RECEIVED_AT_MS,
  readingsOf,
  stateFor,
  step,
} from './testing.ts'

const START_MS = 1_767_225_600_000
const NOW = { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS }

/**
 * Of each sequence: time between its samples, how many, whether one is refused; shed ones come as a tombstone in the next. Some have one
 * of another device, too, measured so long before: in time, or behind what was promised.
 */
const history = fc.array(
  fc.record({
    samples: fc.integer({ min: 1, max: 4 }),
    stepMs: fc.integer({ min: 500, max: 4_000 }),
    refused: fc.boolean(),
    isShed: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    otherBeforeMs: fc.option(fc.integer({ min: 0, max: 40_000 })),
  }),
  { minLength: 4, maxLength: 40 },
)

interface Measured {
  samples: number
  stepMs: number
  refused: boolean
  isShed: boolean
  otherBeforeMs: number | null
}

function plansOf(batches: readonly Measured[]): BatchPlan[] {
  let timeMs = START_MS
  let readingsBefore = 0
  let shed: Tombstone[] = []
  const plans: BatchPlan[] = []
  for (const [i, { samples, stepMs, refused, isShed, otherBeforeMs }] of batches.entries()) {
    const sequence = i + 1
    const levels = Array.from({ length: samples }, (_, s) => {
      timeMs += stepMs
      return { timeMs, values: { level: refused && s === 0 ? 5_000 : s } }
    })
    const blocks = [blockOf('pump-1', 'mixed', levels)]
    // No two samples of a device share a time.
    const other = { timeMs: timeMs - (otherBeforeMs ?? 0) + (i + 1) / 64, values: { level: i } }
    if (otherBeforeMs !== null) blocks.push(blockOf('pump-2', 'mixed', [other]))
    const readings = readingsOf(blocks)
    if (isShed && i < batches.length - 1)
      shed.push({ epoch: EPOCH, fromSequence: sequence, toSequence: sequence, readingCount: readings, reason: 'shed' })
    else {
      plans.push({ sequence, readingsBefore, completeThroughMs: timeMs, blocks, tombstones: shed })
      shed = []
    }
    readingsBefore += readings
  }
  return plans
}

/** What InfluxDB holds: readings in each window. */
type Store = Map<string, number>

function life(store: Store) {
  const context = contextOf()
  const state = stateFor(context)
  const effects = createEffects()
  const give = (plan: BatchPlan) => {
    clearEffects(effects)
    step(state, intakeOf(batchOf(plan)), context, effects)
    for (let i = 0; i < effects.rollups.count; i++) {
      const text = effects.rollups.line(i).toString().trim()
      const count = Number(/level_count=(\d+)i/.exec(text)?.[1] ?? 0)
      const [, kind, device] = /^(\w+),\S*?device=([\w-]+)/.exec(text) ?? []
      store.set(`${kind} ${device} ${text.slice(text.lastIndexOf(' ') + 1)}`, count)
    }
  }
  return { state, give, answer: (kept: KeptWatermark) => takeOver(state, 'workshop', kept, NOW) }
}

const sumsOf = (state: PartitionState) => {
  const [row] = accountOf(state, RECEIVED_AT_MS, 600_000)
  if (row === undefined) return undefined
  const { produced, stored, deadLettered, shed, inFlight, missing } = row
  return { produced, stored, deadLettered, shed, inFlight, missing }
}
const keptBy = (state: PartitionState): KeptWatermark => {
  const agent = agentOf(state, 'workshop', 'agent-a')
  const epoch = agent.epochs.get(EPOCH)
  return epoch ? watermarkOfEpoch(agent, epoch) : { agent: 'agent-a', epoch: EPOCH, sequence: 0 }
}
const dirtyOf = ({ dirty }: PartitionState) =>
  new Set(
    [...dirty.values()].map(
      (window) => `${window.kind}_${windowName(window.widthMs)} ${window.device} ${window.startMs}`,
    ),
  )

const lives = history.map(plansOf).filter((plans) => plans.length >= 2)
const losses = lives.chain((plans) =>
  fc.record({
    plans: fc.constant(plans),
    /** How many batches the first life saw, in an order that is a little mixed up. */
    seen: fc.integer({ min: 1, max: plans.length - 1 }),
    mixed: fc.array(fc.nat({ max: plans.length - 2 }), { maxLength: 8 }),
    /** After how many batches of the second life the answer comes. */
    answeredAfter: fc.integer({ min: 1, max: 6 }),
    withTotals: fc.boolean(),
  }),
)

function mix<T>(items: readonly T[], swaps: readonly number[]): T[] {
  const mixed = [...items]
  for (const i of swaps) if (i + 1 < mixed.length) [mixed[i], mixed[i + 1]] = [mixed[i + 1] as T, mixed[i] as T]
  return mixed
}

test('the state is lost: the account comes out as if it had not been, to the reading, and every window is right or dirty and untouched', () => {
  fc.assert(
    fc.property(losses, ({ plans, seen, mixed, answeredAfter, withTotals }) => {
      const end: BatchPlan = {
        sequence: (plans.at(-1) as BatchPlan).sequence + 1,
        readingsBefore: sumBefore(plans),
        completeThroughMs: START_MS + 3_600_000,
        // Windows of a device that is never heard again are not known to the second life.
        blocks: [blockOf('pump-2', 'mixed', [{ timeMs: START_MS + 3_590_000, values: { level: 1 } }])],
      }
      const last = {
        sequence: end.sequence + 1,
        readingsBefore: sumBefore(plans) + 1,
        completeThroughMs: START_MS + 3_720_000,
      }
      const truth: Store = new Map()
      const calm = life(truth)
      for (const plan of [...plans, end, last]) calm.give(plan)

      const store: Store = new Map()
      const first = life(store)
      for (const plan of mix(plans, mixed).slice(0, seen)) first.give(plan)
      const kept = keptBy(first.state)
      const { totals: _, ...bare } = kept
      const told = withTotals ? kept : bare
      const before = new Map(store)

      const second = life(store)
      const resent = mix(
        [...plans, end].filter(({ sequence }) => sequence > kept.sequence),
        mixed,
      )
      for (const [i, plan] of resent.entries()) {
        second.give(plan)
        if (i + 1 === Math.min(answeredAfter, resent.length - 1)) second.answer(told)
      }
      // It is asked for until the answer can be used.
      second.answer(told)
      second.give(last)

      const expected = sumsOf(calm.state)
      const found = sumsOf(second.state)
      // Without totals it is only known how many readings were stored or refused together.
      if (withTotals || kept.sequence === 0) expect(found).toEqual(expected)
      expect(found).toMatchObject({ produced: expected?.produced, inFlight: 0, missing: 0 })
      expect(isInDoubt(agentOf(second.state, 'workshop', 'agent-a'))).toBe(false)
      const dirty = dirtyOf(second.state)
      for (const [key, count] of truth) {
        if (dirty.has(key)) expect(store.get(key) ?? 0, `${key} untouched`).toBe(before.get(key) ?? 0)
        // Without totals it is not known which windows were open.
        else if (withTotals || store.get(key) !== before.get(key)) expect(store.get(key), key).toBe(count)
      }
    }),
    { numRuns: 300 },
  )
})

function sumBefore(plans: readonly BatchPlan[]): number {
  const last = plans.at(-1) as BatchPlan
  return (last.readingsBefore as number) + readingsOf(last.blocks ?? [])
}

test('nobody answers: after the time of a gap the doubt ends, and windows that may hold more than is known stay as they are', () => {
  const context = contextOf()
  const state = stateFor(context)
  const effects = createEffects()
  const give = (sequence: number, receivedAtMs: number) => {
    clearEffects(effects)
    const timeMs = receivedAtMs - 1_000
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs, values: { level: 1 } }])]
    const plan = { sequence, readingsBefore: sequence - 1, completeThroughMs: timeMs, blocks }
    step(state, intakeOf(batchOf(plan), { receivedAtMs }), context, effects)
    return effects.rollups.count
  }
  expect(give(50, RECEIVED_AT_MS)).toBe(0)
  expect(give(51, RECEIVED_AT_MS + 300_000)).toBe(0)
  expect(give(52, RECEIVED_AT_MS + 600_000)).toBeGreaterThan(0)
  expect(accountOf(state, RECEIVED_AT_MS + 600_000, 600_000)).toMatchObject([{ missing: 49, stored: 3, inFlight: 0 }])
  const starts = [...state.dirty.values()].map(({ startMs }) => startMs)
  expect(starts.length).toBeGreaterThanOrEqual(2)
  expect(Math.max(...starts)).toBeLessThanOrEqual(RECEIVED_AT_MS)
})
