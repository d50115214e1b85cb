/** More dirty windows than can be named: all are recomputed all the same. */
import { expect, test } from 'vitest'
import { widenSpan } from './dirty-spans.ts'
import { createModelStore } from './model-store-harness.ts'
import { recompute } from './recompute.ts'
import { createRepairList } from './repair-list.ts'
import { DIRTY_MAX } from './state.ts'
import { decodeState } from './state-codec.ts'
import {
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  encodeState,
  intakeOf,
  stateFor,
  step,
} from './testing.ts'

const START_MS = 1_767_225_600_000
const LATE_MS = 86_400_000

test('a day of late readings fills the list: what does not go in is entered later, over a restart, and every window comes out', async () => {
  const context = contextOf(undefined, { memoryMs: 10_000 })
  const store = createModelStore()
  const effects = createEffects()
  let nowMs = 0
  let state = stateFor(context)
  const list = createRepairList(0, () => nowMs)
  const turn = (samples: readonly { timeMs: number; values: { level: number } }[], sequence: number) => {
    nowMs += 1_000
    clearEffects(effects)
    list.settle(state, effects, context.contracts)
    if (samples.length > 0) {
      const blocks = ['pump-1', 'pump-2'].map((device) => blockOf(device, 'mixed', samples))
      const plan = { sequence, readingsBefore: 0, completeThroughMs: START_MS + LATE_MS + 3_600_000, blocks }
      step(state, intakeOf(batchOf(plan)), context, effects)
    }
    for (const lines of [effects.lines, effects.rollups])
      for (let i = 0; i < lines.count; i++) store.write(lines.line(i).toString('utf8').trimEnd())
    list.look(state, context.contracts)
  }
  turn([{ timeMs: START_MS + LATE_MS, values: { level: 1 } }], 1)
  turn([{ timeMs: START_MS + LATE_MS + 1, values: { level: 1 } }], 2)
  const late = Array.from({ length: 5_400 }, (_, i) => ({ timeMs: START_MS + i * 10_000, values: { level: i % 50 } }))
  turn(late, 3)
  expect(state.dirty.size).toBe(DIRTY_MAX)
  expect(state.dirtySpans.size).toBe(1)
  expect(state.dirtyOverflow).toBe(0)
  state = decodeState(encodeState(state), context.contracts)
  list.forget()
  for (let turns = 0; state.dirty.size + state.dirtySpans.size > 0; turns++) {
    expect(turns).toBeLessThan(500)
    turn([], 0)
    list.give(await recompute(store.query, context.contracts, list.due, new AbortController().signal))
    expect(state.dirty.size).toBeLessThanOrEqual(DIRTY_MAX)
  }
  for (const device of ['pump-1', 'pump-2']) {
    const rowsOf = (width: string) => store.series.get(`mixed_${width},device=${device},site=workshop`)
    const inLate = (startMs: number) => startMs < START_MS + 54_000_000
    expect([...(rowsOf('10s') ?? [])].filter(([startMs]) => inLate(startMs))).toHaveLength(5_400)
    for (const [startMs, row] of rowsOf('10s') ?? [])
      if (inLate(startMs)) expect(row.get('level_max')).toBe(((startMs - START_MS) / 10_000) % 50)
    const minutes = [...(rowsOf('1m') ?? [])].filter(([startMs]) => inLate(startMs))
    expect(minutes.map(([, row]) => row.get('level_count')).filter((count) => count !== 6)).toEqual([])
    expect(minutes).toHaveLength(Math.ceil(5_400 / 6))
  }
})

test('stretches have limits: a week each, so many of them', () => {
  const spans = new Map()
  const at = (device: string, startMs: number) => ({ site: 's', device, kind: 'mixed', widthMs: 10_000, startMs })
  expect(widenSpan(spans, at('a', START_MS))).toBe(true)
  expect(widenSpan(spans, at('a', START_MS + 6 * 86_400_000))).toBe(true)
  expect(widenSpan(spans, at('a', START_MS + 8 * 86_400_000))).toBe(false)
  expect(spans.get('s/a/mixed')).toMatchObject({ fromMs: START_MS, toMs: START_MS + 6 * 86_400_000 + 10_000 })
  for (let i = 1; i < 10_000; i++) widenSpan(spans, at(`d${i}`, START_MS))
  expect(widenSpan(spans, at('one too many', START_MS))).toBe(false)
})
