/** What is recomputed from raw points is what memory would have written, of every width, percentiles and counters among it. */
import { contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { createModelStore } from './model-store-harness.ts'
import { recompute } from './recompute.ts'
import { createRepairList } from './repair-list.ts'
import { addDirty } from './state.ts'
import {
  allSeries,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  intakeOf,
  readingsOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'

const START_MS = 1_767_225_600_000
const SECONDS = 9_000
const meter = contractSchema.parse({
  kind: 'meter',
  version: 1,
  description: 'A meter that wraps.',
  interval: '1s',
  fields: {
    energy: { type: 'integer', label: 'Energy', role: 'counter', wraps_at: 10_000 },
    power: { type: 'float', label: 'Power', decimals: 1 },
  },
})

/** Rises, and wraps twice. */
const samplesOf = (from: number, to: number): SampleValues[] =>
  Array.from({ length: to - from }, (_, i) => ({
    timeMs: START_MS + (from + i) * 1_000,
    values: { energy: ((from + i) * 3) % 10_000, power: ((from + i) * 7919) % 500 },
  }))

test('rows of four widths, with their percentiles and counters, come out of the store as out of memory', async () => {
  const context = contextOf([meter])
  const store = createModelStore()
  const effects = createEffects()
  const state = stateFor(context)
  let sequence = 0
  let readingsBefore = 0
  const write = () => {
    for (const lines of [effects.lines, effects.rollups])
      for (let i = 0; i < lines.count; i++) store.write(lines.line(i).toString('utf8').trimEnd())
    clearEffects(effects)
  }
  for (let from = 0; from < SECONDS; from += 30) {
    const blocks = [blockOf('meter-1', 'meter', samplesOf(from, from + 30))]
    const completeThroughMs = START_MS + (from + 30) * 1_000
    step(
      state,
      intakeOf(batchOf({ sequence: ++sequence, readingsBefore, completeThroughMs, blocks })),
      context,
      effects,
    )
    readingsBefore += readingsOf(blocks)
    write()
  }
  const rowsOf = (width: string) => store.series.get(`meter_${width},device=meter-1,site=workshop`)
  const series = [...allSeries(state)][0] as ReturnType<typeof allSeries> extends Iterable<infer S> ? S : never
  const chosen = [
    ['10s', 10_000, 10_000],
    ['10s', 10_000, 3_330_000],
    ['1m', 60_000, 3_300_000],
    ['15m', 900_000, 900_000],
    ['1h', 3_600_000, 3_600_000],
  ] as const
  const expected = chosen.map(([width, , startMs]) => new Map(rowsOf(width)?.get(START_MS + startMs)))
  for (const row of expected) {
    expect(row.get('power_p95')).toBeGreaterThan(0)
    expect(row.get('energy_increase')).toBeGreaterThan(0)
  }
  for (const [width, widthMs, startMs] of chosen) {
    for (const field of ['power_p50', 'power_p95', 'power_p99', 'power_mean', 'energy_increase', 'energy_rate'])
      store.write(`meter_${width},device=meter-1,site=workshop ${field}=-1 ${START_MS + startMs}`)
    addDirty(state, series, widthMs, START_MS + startMs)
  }
  let nowMs = 0
  const list = createRepairList(0, () => nowMs)
  for (let turn = 0; turn < 5 && state.dirty.size > 0; turn++) {
    nowMs += 1_000
    list.settle(state, effects, context.contracts)
    write()
    list.look(state, context.contracts)
    list.give(await recompute(store.query, list.contracts, list.due, new AbortController().signal))
  }
  expect(state.dirty.size).toBe(0)
  for (const [i, [width, , startMs]] of chosen.entries()) {
    const row = new Map(rowsOf(width)?.get(START_MS + startMs))
    for (const [field, value] of expected[i] ?? [])
      if (field === 'revision') expect(row.get(field)).toBeGreaterThan(value as number)
      else if (typeof value === 'number') expect(row.get(field), `${width} ${field}`).toBeCloseTo(value, 6)
  }
})

test('what was recomputed by other contracts is not taken', async () => {
  const before = contextOf([meter])
  const store = createModelStore()
  const state = stateFor(before)
  const effects = createEffects()
  const blocks = [blockOf('meter-1', 'meter', samplesOf(0, 10))]
  const plan = { sequence: 1, readingsBefore: 0, completeThroughMs: START_MS + 20_000_000, blocks }
  step(state, intakeOf(batchOf(plan)), before, effects)
  for (let i = 0; i < effects.lines.count; i++) store.write(effects.lines.line(i).toString('utf8').trimEnd())
  clearEffects(effects)
  const [series] = [...allSeries(state)]
  for (const windows of series?.windows ?? []) {
    windows.rows.clear()
    windows.forgottenBeforeMs = START_MS + 20_000_000
  }
  if (series) addDirty(state, series, 10_000, START_MS)
  let nowMs = 0
  const list = createRepairList(0, () => nowMs)
  list.look(state, before.contracts)
  list.give(await recompute(store.query, list.contracts, list.due, new AbortController().signal))
  const after = contextOf([contractSchema.parse({ ...meter, interval: '1s', version: 2 })])
  nowMs += 1_000
  list.settle(state, effects, after.contracts)
  expect([effects.rollups.count, state.dirty.size]).toEqual([0, 1])
})
