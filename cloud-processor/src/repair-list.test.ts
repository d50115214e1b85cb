/** What leaves the list of dirty windows, and when. */
import { type Contract, contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { createModelStore } from './model-store-harness.ts'
import { takeOver } from './prior-life.ts'
import { type Recomputed, recompute } from './recompute.ts'
import { createRepairList, UNREST_MS_MAX } from './repair-list.ts'
import { addDirty } from './state.ts'
import {
  allSeries,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  decodeState,
  EPOCH,
  encodeState,
  intakeOf,
  RECEIVED_AT_MS,
  readingsOf,
  rollupOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'

const T = 1_767_225_600_000
const REST_MS = 10_000

const plant = contractSchema.parse({
  kind: 'plant',
  version: 1,
  description: 'A switch and a counter.',
  interval: '1s',
  windows: ['10s'],
  fields: {
    running: { type: 'boolean', label: 'Running' },
    total: { type: 'integer', label: 'Total', role: 'counter' },
  },
})

/** Readings of one batch that the agent rolled up. */
const rolledUpAs = (sequence: number, samples: readonly SampleValues[]) => ({
  rollups: [rollupOf('d', samples, { kind: 'plant', fromSequence: sequence })],
  tombstones: [
    {
      ...{ epoch: EPOCH, fromSequence: sequence, toSequence: sequence, reason: 'rolled_up_10s' },
      readingCount: readingsOf([blockOf('d', 'plant', samples)]),
    },
  ],
})

/** A partition with its store; a second passes with each turn. */
function world() {
  const context = contextOf([plant], { memoryMs: 60_000, punctualMemoryMs: 60_000 })
  let state = stateFor(context)
  const store = createModelStore()
  const effects = createEffects()
  let nowMs = 0
  let sequence = 0
  const list = createRepairList(REST_MS, () => nowMs)
  const turn = (
    samples: readonly SampleValues[] = [],
    { throughMs = 0, contracts = context.contracts, skips = 0, rolledUp = [] as SampleValues[] } = {},
  ) => {
    nowMs += 1_000
    clearEffects(effects)
    // At once, as in the loop when it has nothing to write.
    list.look(state, contracts)
    list.settle(state, effects, contracts)
    if (samples.length > 0 || throughMs > 0) {
      const given = rolledUp.length > 0 ? rolledUpAs(++sequence, rolledUp) : {}
      sequence += 1 + skips
      const blocks = samples.length > 0 ? [blockOf('d', 'plant', samples)] : []
      step(state, intakeOf(batchOf({ ...given, sequence, completeThroughMs: throughMs, blocks })), context, effects)
    }
    for (const lines of [effects.lines, effects.rollups])
      for (let i = 0; i < lines.count; i++) store.write(lines.line(i).toString('utf8').trimEnd())
  }
  return {
    get state() {
      return state
    },
    restart() {
      state = decodeState(encodeState(state), context.contracts)
      list.forget()
    },
    store,
    list,
    turn,
    ask: () => recompute(store.query, list.contracts, list.due, new AbortController().signal),
    row: (startMs: number) =>
      Object.fromEntries(store.series.get('plant_10s,device=d,site=workshop')?.get(startMs) ?? []),
    /** Turns until the time has passed, what is due recomputed in each. */
    async pass(ms: number) {
      const given: Recomputed[] = []
      for (let untilMs = nowMs + ms; nowMs < untilMs; ) {
        turn()
        const recomputed = await this.ask()
        given.push(...recomputed)
        list.give(recomputed)
      }
      return given
    },
  }
}
const at = (seconds: number, values: SampleValues['values']): SampleValues => ({ timeMs: T + seconds * 1_000, values })

test('windows of a kind that has no contract any more do not stay in the list', () => {
  const w = world()
  w.turn([at(1, { running: true })], { throughMs: T + 20_000 })
  const [series] = [...allSeries(w.state)]
  for (let i = 0; series && i < 7_000; i++) addDirty(w.state, series, 10_000, T - 1_000_000 - i * 10_000)
  w.turn([], { contracts: new Map<string, Contract>() })
  expect([w.state.dirty.size, w.state.counters.windowsKept]).toEqual([0, 7_000])
})

test('a window that memory knows leaves the list', () => {
  const w = world()
  w.turn([at(1, { running: true })], { throughMs: T + 20_000 })
  const [series] = [...allSeries(w.state)]
  if (series) addDirty(w.state, series, 10_000, T)
  for (let i = 0; i < 3; i++) w.turn()
  expect(w.state.dirty.size).toBe(0)
  expect(w.row(T)).toMatchObject({ running_count: 1, revision: 0 })
})

test('a row of booleans is not overwritten by one of fewer readings, and stands once the store said so three times', async () => {
  const w = world()
  const { store } = w
  store.write(`plant,device=d,site=workshop running=f ${T + 2_000}`)
  store.write(`plant_10s,device=d,site=workshop running_mean=0.5,running_count=2i,running_last=f,revision=3i ${T}`)
  w.turn([at(3_600, { running: true })], { throughMs: T + 3_700_000 })
  const [series] = [...allSeries(w.state)]
  if (series) addDirty(w.state, series, 10_000, T)
  await w.pass(2 * REST_MS + 5_000)
  expect([w.state.dirty.size, w.state.counters.windowsKept]).toEqual([1, 0])
  await w.pass(2 * REST_MS)
  expect([w.state.dirty.size, w.state.counters.windowsKept]).toEqual([0, 1])
  expect(w.row(T)).toMatchObject({ running_mean: 0.5, running_count: 2, revision: 3 })
})

test('a reading that comes while the store is asked: what it answered is written, and the window stays dirty', async () => {
  const w = world()
  w.turn([at(1, { running: true }), at(3_600, { running: true })], { throughMs: T + 3_700_000 })
  w.turn([at(2, { running: false })])
  for (let i = 0; i < 12; i++) w.turn()
  const answered = await w.ask()
  expect(answered).toHaveLength(1)
  w.turn([at(3, { running: false })])
  w.list.give(answered)
  w.turn()
  expect(w.row(T)).toMatchObject({ running_count: 2 })
  expect(w.state.dirty.size).toBe(1)
  await w.pass(3 * REST_MS)
  expect(w.row(T)).toMatchObject({ running_count: 3, running_mean: expect.closeTo(1 / 3) })
  expect(w.state.dirty.size).toBe(0)
})

test('a window that never rests is recomputed all the same', async () => {
  const w = world()
  w.turn([at(3_600, { running: true })], { throughMs: T + 3_700_000 })
  let answers = 0
  for (let i = 1; i < UNREST_MS_MAX / 1_000 + 5; i++) {
    w.turn([at(i / 100, { running: true })])
    const recomputed = await w.ask()
    answers += recomputed.length
    w.list.give(recomputed)
  }
  expect(answers).toBe(1)
  expect(w.row(T)['running_count']).toBeGreaterThan(50)
  expect(w.state.dirty.size).toBe(1)
})

test('what memory cannot tell of a counter is corrected while the row is in memory, and again when memory wrote it', async () => {
  const w = world()
  w.turn([at(1, { total: 10 }), at(3, { total: 150 }), at(5, { total: 160 })])
  w.turn([at(4, { total: 20 })], { throughMs: T + 11_000 })
  expect(w.row(T)).toMatchObject({ total_increase: 150, total_count: 4, revision: 0 })
  await w.pass(2 * REST_MS)
  expect(w.row(T)).toMatchObject({ total_increase: 140 + 20 + 140, total_resets: 1, revision: 1 })
  expect(w.state.dirty.size).toBe(0)
  w.restart()
  w.turn([at(8, { total: 165 })])
  expect(w.row(T)).toMatchObject({ total_count: 5, revision: 2 })
  await w.pass(2 * REST_MS)
  expect(w.row(T)).toMatchObject({ total_increase: 305, total_count: 5, revision: 3 })
  expect(w.state.dirty.size).toBe(0)
})

test('a late reading of a counter, minutes before the next: the window of that one begins there, wherever both are', async () => {
  const w = world()
  w.turn([at(0, { total: 100 }), at(300, { total: 160 }), at(360, { total: 200 })], { throughMs: T + 390_000 })
  expect(w.row(T + 300_000)).toMatchObject({ total_increase: 60, total_rate: 0.2 })
  w.turn([at(100, { total: 110 })])
  w.turn([at(290, { total: 150 })])
  await w.pass(4 * REST_MS)
  expect(w.row(T + 100_000)).toMatchObject({ total_increase: 10, total_rate: 0.1 })
  expect(w.row(T + 290_000)).toMatchObject({ total_increase: 40 })
  expect(w.row(T + 300_000)).toMatchObject({ total_increase: 10, total_rate: 1 })
  expect(w.row(T + 360_000)).toMatchObject({ total_increase: 40 })
  expect(w.state.dirty.size).toBe(0)
})

test('what a counter counted between raw readings and rolled-up ones is counted once, when the store is asked', async () => {
  const w = world()
  w.turn([at(5, { total: 100 })])
  const rolledUp = [at(11, { total: 110 }), at(18, { total: 130 })]
  w.turn([at(21, { total: 135 }), at(25, { total: 150 }), at(41, { total: 190 })], { rolledUp, throughMs: T + 50_000 })
  w.turn([at(65, { total: 230 })], { rolledUp: [at(52, { total: 210 })], throughMs: T + 3_700_000 })
  const increases = () => [0, 10, 20, 40, 50, 60].map((second) => w.row(T + second * 1_000)['total_increase'])
  const expected = [0, 30, 20, 40, 20, 20]
  expect(increases()).toEqual(expected)
  // Some before what is rolled up, some behind it, all of them at once: memory has forgotten them.
  for (const late of [[4], [24, 42], [66], [4, 22, 42, 64]]) {
    w.turn(late.map((second) => at(second, { running: true })))
    await w.pass(3 * REST_MS)
    expect(w.state.dirty.size).toBe(0)
    expect(increases()).toEqual(expected)
  }
})

test('a state was lost: the first window of a counter that it knows begins with what the store has before', async () => {
  const w = world()
  w.store.write(`plant,device=d,site=workshop total=100i ${T + 5_000}`)
  w.turn([at(50, { total: 140 }), at(61, { total: 150 })], { skips: 4 })
  const totals = { readings: 9, deadLettered: 0, shed: 0, missing: 0, newestMs: T + 5_000, closedThroughMs: T }
  const now = { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS }
  takeOver(w.state, 'workshop', { agent: 'agent-a', epoch: EPOCH, sequence: 4, totals }, now)
  w.turn([], { throughMs: T + 80_000 })
  expect(w.row(T + 50_000)).toMatchObject({ total_increase: 0 })
  await w.pass(3 * REST_MS)
  expect(w.row(T + 50_000)).toMatchObject({ total_increase: 40 })
  expect(w.row(T + 60_000)).toMatchObject({ total_increase: 10 })
  expect(w.state.dirty.size).toBe(0)
})

test('a state was lost that had held windows open for hours: all of them are computed from the store', async () => {
  const w = world()
  for (const seconds of [100, 3_000, 7_000])
    w.store.write(`plant,device=d,site=workshop running=t ${T + seconds * 1_000}`)
  w.turn([at(7_300, { running: false })], { skips: 4 })
  const totals = { readings: 9, deadLettered: 0, shed: 0, missing: 0, newestMs: T + 7_200_000, closedThroughMs: T }
  const now = { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS }
  takeOver(w.state, 'workshop', { agent: 'agent-a', epoch: EPOCH, sequence: 4, totals }, now)
  w.turn([], { throughMs: T + 7_400_000 })
  await w.pass(60_000)
  for (const seconds of [100, 3_000, 7_000, 7_300])
    expect(w.row(T + seconds * 1_000)).toMatchObject({ running_count: 1 })
  expect(w.state.dirty.size + w.state.dirtySpans.size).toBe(0)
})
