import type { Batch } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { clearEffects, createEffects } from './effects.ts'
import { createSketch, quantiles, type Sketch, sketchedCount, sketchRun } from './sketch.ts'
import { allSeries, type PartitionState } from './state.ts'
import { step } from './step.ts'
import { batchOf, blockOf, contextOf, intakeOf, readingsOf, type SampleValues, stateFor } from './testing.ts'
import { CELLS } from './window.ts'

const START_MS = 1_767_225_600_000
const DEVICES = ['pump-1', 'pump-2']

const sample = fc.record({
  device: fc.constantFrom(...DEVICES),
  offsetMs: fc.integer({ min: 0, max: 150_000 }),
  values: fc.record(
    {
      // No line has the sign of a zero.
      level: fc
        .oneof(fc.integer({ min: -2000, max: 2000 }), fc.double({ min: -1000, max: 1000, noNaN: true }))
        .map((level) => level + 0),
      count: fc.integer({ min: -5, max: 1_000_000 }),
      running: fc.boolean(),
      mode: fc.constantFrom('idle', 'on', 'off'),
    },
    { requiredKeys: ['level'] },
  ),
})

interface Story {
  readonly batches: readonly Batch[]
  readonly samples: readonly (SampleValues & { device: string })[]
  readonly order: readonly number[]
}

/** Samples in order of time, cut into batches that promise completeness; then shuffled and repeated. */
const story: fc.Arbitrary<Story> = fc
  .record({
    raw: fc.uniqueArray(sample, { selector: (s) => `${s.device}/${s.offsetMs}`, minLength: 1, maxLength: 60 }),
    cut: fc.integer({ min: 1, max: 10 }),
  })
  .chain(({ raw, cut }) => {
    const samples = raw
      .map(({ device, offsetMs, values }) => ({ device, timeMs: START_MS + offsetMs, values }))
      .sort((a, b) => a.timeMs - b.timeMs)
    const batches: Batch[] = []
    let readingsBefore = 0
    for (let from = 0; from < samples.length; from += cut) {
      const part = samples.slice(from, from + cut)
      const next = samples[from + cut]
      const blocks = DEVICES.map((device) =>
        blockOf(
          device,
          'mixed',
          part.filter((s) => s.device === device),
        ),
      ).filter(({ timesMs }) => timesMs.length > 0)
      const completeThroughMs = next?.timeMs ?? START_MS + 7_200_000
      batches.push(batchOf({ sequence: batches.length + 1, readingsBefore, completeThroughMs, blocks }))
      readingsBefore += readingsOf(blocks)
    }
    const all = batches.map((_, i) => i)
    return fc.record({
      batches: fc.constant(batches),
      samples: fc.constant(samples),
      order: fc
        .shuffledSubarray(
          [...all, ...all].map((_, i) => i),
          { minLength: all.length * 2 },
        )
        .map((shuffled) => shuffled.map((i) => i % batches.length)),
    })
  })

/** All rows stay, so that all can be compared. */
const MEMORY_MS = 100_000_000

function run(batches: readonly Batch[], order: readonly number[]): { state: PartitionState; rollups: string } {
  const context = contextOf(undefined, { memoryMs: MEMORY_MS, punctualMemoryMs: MEMORY_MS })
  const state = stateFor(context)
  const effects = createEffects()
  let rollups = ''
  for (const [i, index] of order.entries()) {
    step(state, intakeOf(batches[index] as Batch, { streamSequence: i + 1 }), context, effects)
    rollups += effects.rollups.bytes.toString('utf8', 0, effects.rollups.length)
    clearEffects(effects)
  }
  return { state, rollups }
}

/** Percentiles of all ranks. */
function sketched(sketch: Sketch, slot: number): Float64Array {
  const found = new Float64Array(sketchedCount(sketch, slot))
  quantiles(sketch, slot, [...found.keys()], found)
  return found
}

/** What the readings of one field in one window come to, computed the plain way. */
function naive(samples: Story['samples'], device: string, field: string, startMs: number, widthMs: number) {
  const inside = samples.filter(
    (s) =>
      s.device === device &&
      s.timeMs >= startMs &&
      s.timeMs < startMs + widthMs &&
      s.values[field] !== undefined &&
      // The contract's range refuses the others.
      (field !== 'level' || Math.abs(s.values[field] as number) <= 1000),
  )
  const values = inside.map((s) => Number(s.values[field]))
  const sketch = createSketch()
  sketchRun(sketch, 0, Float64Array.from(values), null, null, 0, values.length)
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  return {
    count: values.length,
    mean,
    m2: values.reduce((sum, v) => sum + (v - mean) ** 2, 0),
    min: Math.min(...values),
    max: Math.max(...values),
    last: values.at(-1),
    sketch,
  }
}

test('any order and any repetition of the same batches: every window equals the plain computation, the account balances', () => {
  fc.assert(
    fc.property(story, ({ batches, samples, order }) => {
      const { state } = run(batches, order)
      let windows = 0
      for (const series of allSeries(state))
        for (const { rows, widthMs } of series.windows ?? [])
          for (const row of rows.values())
            for (const field of series.fields) {
              const at = field.slot * CELLS
              const count = row.cells[at] as number
              if (field.type === 'string' || count === 0) continue
              windows += 1
              const expected = naive(samples, series.device, field.name, row.startMs, widthMs)
              expect(row.closed && !row.changed).toBe(true)
              expect(count).toBe(expected.count)
              expect(row.cells[at + 1]).toBeCloseTo(expected.mean, 8)
              expect(Math.abs((row.cells[at + 2] as number) - expected.m2)).toBeLessThanOrEqual(
                1e-9 * Math.max(1, expected.m2),
              )
              expect(row.cells[at + 3]).toBe(expected.min)
              expect(row.cells[at + 4]).toBe(expected.max)
              expect(row.cells[at + 5]).toBe(expected.last)
              if (field.hasPercentiles && row.sketch)
                expect(sketched(row.sketch, field.slot)).toEqual(sketched(expected.sketch, 0))
            }
      const accepted = samples.some(
        ({ values }) => 'count' in values || 'running' in values || Math.abs(values['level'] as number) <= 1000,
      )
      if (accepted) expect(windows).toBeGreaterThan(0)
      const [account] = accountOf(state, START_MS + 0, 1_000)
      expect(account).toMatchObject({ inFlight: 0, missing: 0, shed: 0, gaps: [] })
      expect(account?.produced).toBe(batches.at(-1)?.header.readingsTotal)
      expect((account?.stored ?? 0) + (account?.deadLettered ?? 0)).toBe(account?.produced)
      expect(state.counters.duplicates).toBe(batches.length)
    }),
    { numRuns: 150 },
  )
})

test('the account balances after every batch, and what is in flight is what lies in gaps', () => {
  fc.assert(
    fc.property(story, ({ batches, order }) => {
      const context = contextOf()
      const state = stateFor(context)
      const effects = createEffects()
      for (const index of order) {
        step(state, intakeOf(batches[index] as Batch, { receivedAtMs: START_MS + 5_000 }), context, effects)
        clearEffects(effects)
        for (const nowMs of [START_MS + 5_000, START_MS + 50_000]) {
          const [account] = accountOf(state, nowMs, 10_000)
          if (account === undefined) throw new Error('no account')
          const { produced, stored, deadLettered, shed, inFlight, missing } = account
          expect(stored + deadLettered + shed + inFlight + missing).toBe(produced)
          const young = account.gaps.reduce((sum, gap) => sum + (gap.missing ? 0 : (gap.readings ?? 0)), 0)
          expect(inFlight).toBe(young)
          expect(inFlight === 0 || nowMs === START_MS + 5_000).toBe(true)
        }
      }
    }),
    { numRuns: 100 },
  )
})
