/**
 * Windows that agents rolled up come in any order, twice, later than memory, and to a processor that has lost its state: none is ever
 * overwritten from a part of its readings, and each is right, or entered to be recomputed.
 */
import { type KeptWatermark, type RollupBlock, type Tombstone, windowName } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { takeOver } from './prior-life.ts'
import { agentOf, type PartitionState } from './state.ts'
import { watermarkOfEpoch } from './stored-watermark.ts'
import {
  accountOf,
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
  rollupOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'

const START_MS = 1_767_225_600_000
const NOW = { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS }
const WIDTHS_MS = { rolled_up_10s: 10_000, rolled_up_1m: 60_000 } as const

interface Measured {
  readonly samples: number
  readonly stepMs: number
  /** What became of the batch at the agent. */
  readonly fate: 'sent' | 'rolled_up_10s' | 'rolled_up_1m' | 'shed'
  /** The agent makes room after it: one record with what is left of all that went since the last one. */
  readonly makesRoom: boolean
  /** It was rolled up to 10 s although it had left. */
  readonly isStray: boolean
}

const history: fc.Arbitrary<Measured[]> = fc.array(
  fc.record({
    samples: fc.integer({ min: 1, max: 4 }),
    stepMs: fc.integer({ min: 500, max: 6_000 }),
    fate: fc.constantFrom('sent', 'sent', 'rolled_up_10s', 'rolled_up_1m', 'shed'),
    makesRoom: fc.boolean(),
    isStray: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  }),
  { minLength: 3, maxLength: 40 },
)
const LAST: Measured = { samples: 1, stepMs: 1_000, fate: 'sent', makesRoom: false, isStray: false }
/** Batches at the end that the first life does not see: a device of which nothing comes again is not known to the second. */
const UNSEEN = 3

/** What leaves the agent, in the order of sequences; the last two promise that all windows are complete. */
function plansOf(batches: readonly Measured[]): { plans: BatchPlan[]; strays: BatchPlan[] } {
  const plans: BatchPlan[] = []
  const strays: BatchPlan[] = []
  let [sequence, timeMs, readingsBefore] = [0, START_MS, 0]
  let tombstones: Tombstone[] = []
  let rollups: RollupBlock[] = []
  const makeRoom = () => {
    if (tombstones.length === 0) return
    sequence += 1
    plans.push({ sequence, readingsBefore, tombstones, rollups, completeThroughMs: timeMs })
    tombstones = []
    rollups = []
  }
  for (const { samples, stepMs, fate, makesRoom, isStray } of batches) {
    sequence += 1
    const levels = Array.from({ length: samples }, (_, s): SampleValues => {
      timeMs += stepMs
      return { timeMs, values: { level: s } }
    })
    const blocks = [blockOf('pump-1', 'mixed', levels)]
    const readingCount = readingsOf(blocks)
    const plan = { sequence, readingsBefore, completeThroughMs: timeMs, blocks }
    if (fate === 'sent') plans.push(plan)
    else {
      if (isStray && fate === 'rolled_up_10s') strays.push(plan)
      tombstones.push({ epoch: EPOCH, fromSequence: sequence, toSequence: sequence, readingCount, reason: fate })
      if (fate !== 'shed')
        rollups.push(rollupOf('pump-1', levels, { widthMs: WIDTHS_MS[fate], fromSequence: sequence }))
    }
    readingsBefore += readingCount
    if (makesRoom) makeRoom()
  }
  makeRoom()
  for (const afterMs of [7_200_000, 7_320_000]) {
    sequence += 1
    plans.push({ sequence, readingsBefore, completeThroughMs: START_MS + afterMs })
  }
  return { plans, strays }
}

/** Measurement with tags, and start → readings, as InfluxDB has them. */
type Store = Map<string, number>

/** A second passes from batch to batch. @param missingAfterMs a gap that is as old is passed by */
function life(store: Store, memoryMs: number, missingAfterMs = 600_000) {
  const context = contextOf(undefined, { memoryMs, missingAfterMs })
  let receivedAtMs = RECEIVED_AT_MS
  const state = stateFor(context)
  const effects = createEffects()
  const give = (plan: BatchPlan) => {
    clearEffects(effects)
    receivedAtMs += 1_000
    step(state, intakeOf(batchOf(plan), { receivedAtMs }), context, effects)
    for (let i = 0; i < effects.rollups.count; i++) {
      const text = effects.rollups.line(i).toString().trim()
      const count = Number(/level_count=(\d+)i/.exec(text)?.[1] ?? 0)
      const key = `${text.slice(0, text.indexOf(' '))} ${text.slice(text.lastIndexOf(' ') + 1)}`
      expect(count, `${key} is not overwritten from a part`).toBeGreaterThanOrEqual(store.get(key) ?? 0)
      store.set(key, count)
    }
  }
  return { state, give, answer: (kept: KeptWatermark) => takeOver(state, 'workshop', kept, NOW) }
}

const keyOf = (width: string, startMs: number, part = '') =>
  `mixed_${width},device=pump-1${part},site=workshop ${startMs}`

/** Each window that all readings but those shed make, or a coarser one than their roll-up. */
function truthOf(plans: readonly BatchPlan[]): Map<string, { width: string; startMs: number; count: number }> {
  const truth = new Map<string, { width: string; startMs: number; count: number }>()
  const add = (width: string, widthMs: number, timeMs: number, readings: number) => {
    const startMs = Math.floor(timeMs / widthMs) * widthMs
    const key = keyOf(width, startMs)
    truth.set(key, { width, startMs, count: (truth.get(key)?.count ?? 0) + readings })
  }
  for (const { blocks = [], rollups = [] } of plans) {
    for (const { timesMs } of blocks)
      for (const timeMs of timesMs) {
        add('10s', 10_000, timeMs, 1)
        add('1m', 60_000, timeMs, 1)
        add('15m', 900_000, timeMs, 1)
        add('1h', 3_600_000, timeMs, 1)
      }
    for (const { timesMs, widthMs, columns } of rollups)
      for (const [i, timeMs] of timesMs.entries()) {
        const readings = columns[0]?.counts[i] ?? 0
        if (widthMs === 10_000) add('10s', 10_000, timeMs, readings)
        add('1m', 60_000, timeMs, readings)
        add('15m', 900_000, timeMs, readings)
        add('1h', 3_600_000, timeMs, readings)
      }
  }
  return truth
}

const dirtyOf = ({ dirty }: PartitionState) =>
  new Set([...dirty.values()].map(({ widthMs, startMs }) => keyOf(windowName(widthMs), startMs)))

const sumsOf = (state: PartitionState) => {
  const [row] = accountOf(state, RECEIVED_AT_MS, 600_000)
  if (row === undefined) return undefined
  const { produced, stored, deadLettered, shed, inFlight, missing } = row
  return { produced, stored, deadLettered, shed, inFlight, missing }
}

/** Swaps neighbours. */
function mix<T>(items: readonly T[], swaps: readonly number[]): T[] {
  const mixed = [...items]
  for (const i of swaps) if (i + 1 < mixed.length) [mixed[i], mixed[i + 1]] = [mixed[i + 1] as T, mixed[i] as T]
  return mixed
}

const shuffled = <T>(items: T[]) => fc.shuffledSubarray(items, { minLength: items.length })
const swaps = fc.array(fc.nat({ max: 50 }), { maxLength: 20 })
const lives = history.map((batches) => plansOf([...batches, LAST]))

test('in any order, each twice, beside their readings, and later than memory: every window has all that is left of its readings, in one row or two, or is dirty', () => {
  const stories = lives.chain(({ plans, strays }) =>
    fc.record({
      plans: fc.constant(plans),
      answeredAfter: fc.nat({ max: 4 }),
      order: shuffled([...plans.slice(0, -1), ...plans.slice(0, -1), ...strays]),
      memoryMs: fc.constantFrom(10_000, 60_000, 600_000),
      missingAfterMs: fc.constantFrom(2_000, 10_000, 600_000),
    }),
  )
  fc.assert(
    fc.property(stories, ({ plans, order, answeredAfter, memoryMs, missingAfterMs }) => {
      const store: Store = new Map()
      const { state, give, answer } = life(store, memoryMs, missingAfterMs)
      for (const [i, plan] of order.entries()) {
        give(plan)
        if (i === answeredAfter) answer({ agent: 'agent-a', epoch: EPOCH, sequence: 0 })
      }
      const last = plans.at(-1) as BatchPlan
      give(last)
      const produced = last.readingsBefore
      expect(sumsOf(state)).toMatchObject({ produced, inFlight: 0, missing: 0 })
      const dirty = dirtyOf(state)
      for (const [key, { width, startMs, count }] of truthOf(plans)) {
        const whole = (store.get(key) ?? 0) + (store.get(keyOf(width, startMs, ',part=rolled_up')) ?? 0)
        if (dirty.has(key)) expect(whole, key).toBeLessThanOrEqual(count)
        else expect(whole, key).toBe(count)
      }
    }),
    { numRuns: 500 },
  )
})

test('the state is lost at any moment: the account comes out, and every window is right, or dirty and not overwritten', () => {
  const losses = lives.chain(({ plans }) =>
    fc.record({
      plans: fc.constant(plans),
      seen: fc.nat({ max: plans.length - UNSEEN }),
      first: swaps,
      second: swaps,
      /** Sequences below the kept watermark that come again all the same. */
      again: fc.nat({ max: 5 }),
      answeredAfter: fc.integer({ min: 0, max: 6 }),
      memoryMs: fc.constantFrom(10_000, 60_000, 600_000),
    }),
  )
  fc.assert(
    fc.property(losses, ({ plans, seen, first, second, again, answeredAfter, memoryMs }) => {
      const calm = life(new Map(), memoryMs)
      for (const plan of plans) calm.give(plan)

      const store: Store = new Map()
      const before = life(store, memoryMs)
      for (const plan of mix(plans.slice(0, -UNSEEN), first).slice(0, seen)) before.give(plan)
      const agent = agentOf(before.state, 'workshop', 'agent-a')
      const epoch = agent.epochs.get(EPOCH)
      const kept = epoch ? watermarkOfEpoch(agent, epoch) : { agent: 'agent-a', epoch: EPOCH, sequence: 0 }

      const after = life(store, memoryMs)
      const resent = mix(
        plans
          .slice(0, -1)
          .filter(({ sequence }) => sequence > Math.max(Math.min(kept.sequence, 1), kept.sequence - again)),
        second,
      )
      for (const [i, plan] of resent.entries()) {
        if (i === answeredAfter) after.answer(kept)
        after.give(plan)
      }
      after.answer(kept)
      after.give(plans.at(-1) as BatchPlan)

      expect(sumsOf(after.state)).toEqual(sumsOf(calm.state))
      const dirty = dirtyOf(after.state)
      for (const [key, { width, startMs, count }] of truthOf(plans)) {
        if (dirty.has(key)) continue
        const whole = (store.get(key) ?? 0) + (store.get(keyOf(width, startMs, ',part=rolled_up')) ?? 0)
        expect(whole, key).toBe(count)
      }
    }),
    { numRuns: 500 },
  )
})
