/** What was rolled up for windows that only the store knows stands beside them; both together are the window. */
import type { RollupBlock, Tombstone } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { createModelStore } from './model-store-harness.ts'
import { takeOver } from './prior-life.ts'
import { recompute } from './recompute.ts'
import { createRepairList } from './repair-list.ts'
import { decodeState } from './state-codec.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  EPOCH,
  encodeState,
  intakeOf,
  RECEIVED_AT_MS,
  rollupOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'

const T = 1_767_225_600_000
const WIDTHS = ['10s', '1m', '15m', '1h']

const samplesAt = (...values: [seconds: number, level: number][]): SampleValues[] =>
  values.map(([seconds, level]) => ({ timeMs: T + seconds * 1_000, values: { level, mode: `m${level}` } }))

/** A state that begins when another one is lost: that had stored sequences 1 to 4, some readings of the first 35 seconds. */
function second() {
  const context = contextOf()
  let state = stateFor(context)
  const effects = createEffects()
  const store = createModelStore()
  let nowMs = 0
  const list = createRepairList(0, () => nowMs)
  const write = () => {
    const texts: string[] = []
    for (const lines of [effects.lines, effects.rollups])
      for (let i = 0; i < lines.count; i++) texts.push(lines.line(i).toString('utf8').trimEnd())
    for (const text of texts) store.write(text)
    clearEffects(effects)
    return texts.filter((text) => text.includes('part=rolled_up')).map((text) => text.slice(0, text.indexOf(',')))
  }
  for (const seconds of [5, 15, 35])
    store.write(`mixed,device=pump-1,site=workshop level=${seconds},mode="m${seconds}" ${T + seconds * 1_000}`)
  return {
    get state() {
      return state
    },
    give(plan: BatchPlan) {
      step(state, intakeOf(batchOf(plan)), context, effects)
      return write()
    },
    takeOver() {
      const totals = {
        readings: 6,
        deadLettered: 0,
        shed: 0,
        missing: 0,
        newestMs: T + 35_000,
        closedThroughMs: T + 30_000,
      }
      const now = { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS }
      expect(takeOver(state, 'workshop', { agent: 'agent-a', epoch: EPOCH, sequence: 4, totals }, now)).toBe(true)
    },
    restart() {
      state = decodeState(encodeState(state), context.contracts)
    },
    async repair() {
      for (let turn = 0; turn < 10 && state.dirty.size > 0; turn++) {
        nowMs += 1_000
        list.settle(state, effects, context.contracts)
        write()
        list.look(state, context.contracts)
        list.give(await recompute(store.query, list.contracts, list.due, new AbortController().signal))
      }
    },
    row: (width: string, part: '' | ',part=rolled_up') =>
      Object.fromEntries(store.series.get(`mixed_${width},device=pump-1${part},site=workshop`)?.get(T) ?? []),
  }
}

/** Readings of a sequence that an agent had to roll up. */
const rolledUp = (sequence: number, samples: SampleValues[]): { rollups: RollupBlock[]; tombstones: Tombstone[] } => ({
  rollups: [rollupOf('pump-1', samples, { fromSequence: sequence })],
  tombstones: [
    {
      epoch: EPOCH,
      fromSequence: sequence,
      toSequence: sequence,
      readingCount: 2 * samples.length,
      reason: 'rolled_up_10s',
    },
  ],
})

test('the wide window of a roll-up is left to the store: its part stands beside it, goes on over a restart, and both are the window', async () => {
  const p = second()
  const live = { readingsBefore: 10, blocks: [blockOf('pump-1', 'mixed', samplesAt([52, 52]))] }
  expect(p.give({ sequence: 6, ...live, ...rolledUp(5, samplesAt([42, 42], [45, 45])) })).toEqual([])
  p.takeOver()
  expect(p.give({ sequence: 7, readingsBefore: 12, completeThroughMs: T + 50_000 })).toEqual([
    'mixed_1m',
    'mixed_15m',
    'mixed_1h',
  ])
  for (const width of WIDTHS.slice(1))
    expect(p.row(width, ',part=rolled_up')).toMatchObject({
      level_count: 2,
      level_mean: 43.5,
      mode_last: 'm45',
      revision: 0,
    })
  p.restart()
  p.give({ sequence: 9, readingsBefore: 14, completeThroughMs: T + 50_000, ...rolledUp(8, samplesAt([47, 48])) })
  for (const width of WIDTHS.slice(1))
    expect(p.row(width, ',part=rolled_up')).toMatchObject({
      level_count: 3,
      level_max: 48,
      mode_last: 'm48',
      revision: 1,
    })
  expect(p.state.counters.rolledUpRefused).toBe(0)
  p.give({ sequence: 10, readingsBefore: 14, completeThroughMs: T + 7_200_000 })
  await p.repair()
  expect(p.state.dirty.size).toBe(0)
  for (const width of WIDTHS.slice(1)) {
    expect(p.row(width, '')).toMatchObject({ level_count: 4, level_min: 5, level_max: 52 })
    expect(p.row(width, ',part=rolled_up')).toMatchObject({ level_count: 3, level_mean: 45 })
  }
})
