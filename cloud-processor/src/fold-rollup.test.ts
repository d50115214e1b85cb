import type { RollupBlock, Tombstone } from '@tributary/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { clearEffects, createEffects } from './effects.ts'
import { takeOver } from './prior-life.ts'
import { allSeries, type PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  contextOf,
  EPOCH,
  intakeOf,
  mixedContract,
  RECEIVED_AT_MS,
  readingsOf,
  rollupOf,
  type SampleValues,
  stateFor,
} from './testing.ts'
import { CELLS } from './window.ts'

const T = 1_767_225_600_000

const stone = (
  fromSequence: number,
  toSequence: number,
  readingCount: number,
  reason = 'rolled_up_10s',
): Tombstone => ({
  epoch: EPOCH,
  fromSequence,
  toSequence,
  readingCount,
  reason,
})

function partition(context = contextOf()) {
  let state = stateFor(context)
  const effects = createEffects()
  return {
    context,
    get state() {
      return state
    },
    effects,
    give(plan: BatchPlan) {
      clearEffects(effects)
      step(state, intakeOf(batchOf(plan)), context, effects)
      return effects.rollups.bytes.toString('utf8', 0, effects.rollups.length).split('\n').slice(0, -1)
    },
    restart() {
      state = decodeState(encodeState(state), context.contracts)
    },
  }
}
const samplesAt = (...values: [offsetMs: number, level: number][]): SampleValues[] =>
  values.map(([offsetMs, level]) => ({ timeMs: T + offsetMs, values: { level } }))
const account = (state: PartitionState) => accountOf(state, 0, 60_000)[0]

/** The gateway has nothing of the epoch from before; two hours on, every window is complete. */
function complete(p: ReturnType<typeof partition>, plan: BatchPlan): void {
  const now = { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS }
  takeOver(p.state, 'workshop', { agent: 'agent-a', epoch: EPOCH, sequence: 0 }, now)
  p.give({ ...plan, completeThroughMs: T + 7_200_000 })
}

/** Every row of every series: start → cells, in the order of fields. */
function rowsOf(state: PartitionState) {
  const rows: { key: string; cells: number[]; strings: readonly (string | undefined)[] | undefined }[] = []
  for (const series of allSeries(state))
    for (const { widthMs, rows: ofWidth } of series.windows ?? [])
      for (const row of ofWidth.values())
        rows.push({ key: `${series.device}/${widthMs}/${row.startMs}`, cells: [...row.cells], strings: row.strings })
  return rows.sort((a, b) => (a.key < b.key ? -1 : 1))
}

const sample = fc.record({
  timeMs: fc.integer({ min: T, max: T + 150_000 }),
  values: fc.record(
    {
      level: fc.oneof(fc.integer({ min: -1000, max: 1000 }), fc.double({ min: -1000, max: 1000, noNaN: true })),
      count: fc.integer({ min: 0, max: 1_000_000 }),
      running: fc.boolean(),
      mode: fc.constantFrom('idle', 'on', 'off'),
    },
    { requiredKeys: ['level'] },
  ),
})

test('whatever part of the readings comes as windows of 10 s, in whatever order: all rows are those of the readings alone', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(sample, fc.constantFrom('pump-1', 'pump-2'), fc.nat({ max: 9 })), {
        minLength: 1,
        maxLength: 80,
      }),
      fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
      fc.boolean(),
      (drawn, isRolledUp, isLate) => {
        const batches = Array.from({ length: 10 }, (_, k) =>
          ['pump-1', 'pump-2'].flatMap((device) => {
            const of = drawn.filter(([, d, place]) => d === device && place === k).map(([one]) => one)
            return of.length === 0 ? [] : [{ device, samples: of.sort((a, b) => a.timeMs - b.timeMs) }]
          }),
        )
        const plans: BatchPlan[] = []
        const rollups: RollupBlock[] = []
        const tombstones: Tombstone[] = []
        let readingsBefore = 0
        for (const [k, parts] of batches.entries()) {
          const blocks = parts.map(({ device, samples }) => blockOf(device, 'mixed', samples))
          const sequence = k + 1
          if (isRolledUp[k]) {
            tombstones.push(stone(sequence, sequence, readingsOf(blocks)))
            for (const { device, samples } of parts) rollups.push(rollupOf(device, samples, { fromSequence: sequence }))
          } else plans.push({ sequence, blocks, readingsBefore })
          readingsBefore += readingsOf(blocks)
        }
        const last = { sequence: 11, readingsBefore, completeThroughMs: T + 200_000 }
        const long = { memoryMs: 100_000_000, punctualMemoryMs: 100_000_000 }
        const direct = partition(contextOf([mixedContract], long))
        for (const [k, parts] of batches.entries())
          direct.give({ sequence: k + 1, blocks: parts.map((one) => blockOf(one.device, 'mixed', one.samples)) })
        direct.give(last)
        const rolled = partition(contextOf([mixedContract], long))
        const own = { ...last, rollups, tombstones }
        for (const plan of isLate ? [...plans, own] : [own, ...plans]) rolled.give(plan)
        for (const one of [direct, rolled]) complete(one, { sequence: 12, readingsBefore })
        const [ours, theirs] = [rowsOf(rolled.state), rowsOf(direct.state)]
        expect(ours.map(({ key, strings }) => [key, strings])).toEqual(theirs.map(({ key, strings }) => [key, strings]))
        for (const [i, row] of ours.entries())
          for (const [cell, value] of row.cells.entries()) {
            const expected = theirs[i]?.cells[cell] as number
            const scale = [1, 2].includes(cell % CELLS) ? 1e-9 * Math.max(1, Math.abs(expected)) : 0
            expect(Math.abs(value - expected)).toBeLessThanOrEqual(scale)
          }
        const total = account(rolled.state)
        expect(total).toMatchObject({ inFlight: 0, missing: 0, produced: readingsBefore })
        expect(total?.shed).toBe(tombstones.reduce((sum, { readingCount }) => sum + readingCount, 0))
        expect((total?.stored ?? 0) + (total?.shed ?? 0)).toBe(readingsBefore)
      },
    ),
    { numRuns: 200 },
  )
})

describe('exactly once', () => {
  const samples = samplesAt([1_000, 5], [2_000, 7])

  test('windows of readings that came otherwise are not merged; they are entered to be recomputed', () => {
    const p = partition()
    p.give({ sequence: 1, blocks: [blockOf('pump-1', 'mixed', samples)] })
    const before = rowsOf(p.state)
    p.give({
      sequence: 3,
      readingsBefore: 2,
      rollups: [rollupOf('pump-1', samples, { toSequence: 2 })],
      tombstones: [stone(1, 2, 2)],
    })
    expect(rowsOf(p.state)).toEqual(before)
    expect([...p.state.dirty.values()].map(({ widthMs, startMs }) => [widthMs, startMs])).toEqual([
      [10_000, T],
      [60_000, T],
      [900_000, T],
      [3_600_000, T],
    ])
    expect(p.state.counters).toMatchObject({ rolledUpMerged: 0, rolledUpRefused: 1 })
  })

  test('readings that come after their windows are repeated, and not counted twice', () => {
    const p = partition()
    p.give({ sequence: 2, readingsBefore: 2, rollups: [rollupOf('pump-1', samples)], tombstones: [stone(1, 1, 2)] })
    const before = rowsOf(p.state)
    p.give({ sequence: 1, blocks: [blockOf('pump-1', 'mixed', samples)] })
    p.give({ sequence: 2, readingsBefore: 2, rollups: [rollupOf('pump-1', samples)], tombstones: [stone(1, 1, 2)] })
    expect(rowsOf(p.state)).toEqual(before)
    expect(account(p.state)).toMatchObject({ produced: 2, stored: 0, shed: 2 })
    expect(account(p.state)?.shedReasons).toMatchObject([{ reason: 'rolled_up_10s', readings: 2, batches: 1 }])
  })

  test('detectors do not see them, and silence is not judged by them', () => {
    const p = partition()
    p.give({ sequence: 2, readingsBefore: 2, rollups: [rollupOf('pump-1', samples)], tombstones: [stone(1, 1, 2)] })
    const [series] = allSeries(p.state)
    expect(series?.newestMs).toBe(Number.NEGATIVE_INFINITY)
    expect(series?.fields.every(({ watchedThroughMs }) => watchedThroughMs === Number.NEGATIVE_INFINITY)).toBe(true)
  })
})

test('windows of a minute go into the row of the minute alone', () => {
  const p = partition()
  const rollups = [rollupOf('pump-1', samplesAt([1_000, 5], [45_000, 9]), { widthMs: 60_000 })]
  p.give({ sequence: 2, readingsBefore: 2, rollups, tombstones: [stone(1, 1, 2, 'rolled_up_1m')] })
  expect(rowsOf(p.state).map(({ key, cells }) => [key, ...cells.slice(0, 6)])).toEqual([
    [`pump-1/60000/${T}`, 2, 7, 8, 5, 9, 9],
  ])
})

test('a closed row is written again with the next revision', () => {
  const p = partition()
  p.give({ sequence: 1, blocks: [blockOf('pump-1', 'mixed', samplesAt([1_000, 5]))] })
  const closing = {
    readingsBefore: 2,
    completeThroughMs: T + 60_000,
    blocks: [blockOf('pump-1', 'mixed', samplesAt([60_000, 1]))],
  }
  p.give({ sequence: 3, ...closing, tombstones: [stone(2, 2, 1, 'damaged')] })
  const own = {
    sequence: 5,
    readingsBefore: 4,
    rollups: [rollupOf('pump-1', samplesAt([2_000, 7]), { fromSequence: 4 })],
  }
  expect(p.give({ ...own, tombstones: [stone(4, 4, 1)] })[0]).toMatch(
    /^mixed_10s,device=pump-1,site=workshop level_mean=6,level_min=5,level_max=7,level_count=2i,.*revision=1i/,
  )
})

describe('later than memory', () => {
  /** Rows of the first minutes are forgotten. */
  function forgetful() {
    const p = partition(contextOf(undefined, { memoryMs: 60_000 }))
    p.give({
      sequence: 1,
      blocks: [blockOf('pump-1', 'mixed', samplesAt([1_000, 5], [300_000, 6]))],
      completeThroughMs: T + 300_000,
    })
    return p
  }
  const give = (p: ReturnType<typeof forgetful>, sequence: number, ...samples: [number, number][]) =>
    p.give({
      sequence,
      readingsBefore: sequence,
      completeThroughMs: T + 300_000,
      rollups: [rollupOf('pump-1', samplesAt(...samples), { fromSequence: sequence - 1 })],
      tombstones: [stone(sequence - 1, sequence - 1, samples.length)],
    })

  test('they are written as a part of their own, and overwrite nothing', () => {
    const lines = give(forgetful(), 3, [2_000, 7], [3_000, 9])
    expect(lines).toEqual([
      `mixed_10s,device=pump-1,part=rolled_up,site=workshop level_mean=8,level_min=7,level_max=9,level_count=2i,level_stddev=1.4142135623730951,level_last=9,revision=0i ${T}`,
      `mixed_1m,device=pump-1,part=rolled_up,site=workshop level_mean=8,level_min=7,level_max=9,level_count=2i,level_stddev=1.4142135623730951,level_last=9,revision=0i ${T}`,
    ])
  })

  test('the next roll-up goes on in the window in which the last one ended, also after a restart', () => {
    const p = forgetful()
    give(p, 3, [2_000, 7])
    p.restart()
    const [first] = give(p, 5, [4_000, 9], [12_000, 1])
    expect(first).toMatch(/^mixed_10s,device=pump-1,part=rolled_up,.* level_mean=8,.*level_count=2i,.*revision=1i/)
  })

  test('those that are forgotten, too, are entered to be recomputed; the number of those kept is limited', () => {
    const p = forgetful()
    const all = Array.from({ length: 30 }, (_, i): [number, number] => [-i * 10_000 - 1, i])
    // 150 windows of 10 s before the first.
    for (let n = 0; n < 5; n++)
      give(p, 3 + 2 * n, ...all.map(([offset, level]): [number, number] => [offset - 1_500_000 + n * 300_000, level]))
    for (const series of allSeries(p.state))
      for (const { late } of series.windows ?? []) expect(late.size).toBeLessThanOrEqual(64)
    const before = p.state.dirty.size
    expect(give(p, 99, [-1_500_000 - 1, 3])).toEqual(
      ['1m', '15m', '1h'].map((width) => expect.stringMatching(`^mixed_${width},`)),
    )
    expect([...p.state.dirty.values()].slice(before)).toMatchObject([{ widthMs: 10_000, startMs: T - 1_510_000 }])
  })
})

describe('the contract', () => {
  const letters = (p: ReturnType<typeof partition>) =>
    p.effects.deadLetters.map(({ field, reason, readingCount, original }) => ({
      field,
      reason,
      readingCount,
      windows: (JSON.parse(Buffer.from(original, 'base64').toString()) as { windows: unknown[] }).windows.length,
    }))

  test('unknown fields, wrong types and values out of range become dead letters; the rest is merged', () => {
    const p = partition(contextOf([mixedContract], { memoryMs: 100_000_000, punctualMemoryMs: 100_000_000 }))
    const samples = [
      { timeMs: T, values: { level: 5, count: 1, colour: 'red', mode: 3 } },
      { timeMs: T + 10_000, values: { level: 2_000, count: 1.5, colour: 'red' } },
      { timeMs: T + 20_000, values: { level: 6, count: 2 } },
    ]
    p.give({
      sequence: 2,
      readingsBefore: 10,
      rollups: [rollupOf('pump-1', samples)],
      tombstones: [stone(1, 1, 10)],
    })
    expect(letters(p)).toEqual([
      { field: 'level', reason: 'out_of_range', readingCount: 0, windows: 1 },
      { field: 'count', reason: 'wrong_type', readingCount: 0, windows: 1 },
      { field: 'colour', reason: 'unknown_field', readingCount: 0, windows: 2 },
      { field: 'mode', reason: 'wrong_type', readingCount: 0, windows: 1 },
    ])
    complete(p, { sequence: 3, readingsBefore: 10 })
    const minute = rowsOf(p.state).find(({ key }) => key === `pump-1/60000/${T}`)
    expect(minute?.cells.slice(0, 2)).toEqual([2, 5.5])
    expect(account(p.state)).toMatchObject({ produced: 10, shed: 10, deadLettered: 0 })
  })

  test('what a policy marks or passes over is no dead letter in windows, either', () => {
    const policy = { ...mixedContract.policy, range: 'flag', unknown_field: 'flag', unit: 'flag' } as const
    const p = partition(contextOf([{ ...mixedContract, policy }]))
    const samples = [{ timeMs: T, values: { level: 2_000, colour: 'red' } }]
    p.give({ sequence: 2, readingsBefore: 2, rollups: [rollupOf('pump-1', samples)], tombstones: [stone(1, 1, 2)] })
    expect(letters(p)).toEqual([])
  })

  test('a kind without a contract, and windows from the future', () => {
    const p = partition()
    const rollups = [
      rollupOf('pump-1', samplesAt([0, 5]), { kind: 'unheard' }),
      rollupOf('pump-1', [{ timeMs: RECEIVED_AT_MS + 2 * 86_400_000, values: { level: 1 } }]),
    ]
    p.give({ sequence: 2, readingsBefore: 2, rollups, tombstones: [stone(1, 1, 2)] })
    expect(letters(p).map(({ reason }) => reason)).toEqual(['unknown_kind', 'time_in_future'])
    expect(rowsOf(p.state)).toEqual([])
  })
})

test('what an agent shed at the door is shed, and no dead letter', () => {
  const p = partition()
  const letter = { input: 'in', device: '', detail: '', receivedAtMs: T, original: new Uint8Array(0), originalBytes: 0 }
  const deadLetters = [
    { ...letter, reason: 'spool_full', readingCount: 12 },
    { ...letter, reason: 'not_json', readingCount: 1 },
  ]
  p.give({ sequence: 1, deadLetters, blocks: [blockOf('pump-1', 'mixed', samplesAt([0, 1]))] })
  expect(p.effects.deadLetters.map(({ reason }) => reason)).toEqual(['not_json'])
  expect(account(p.state)).toMatchObject({
    produced: 14,
    stored: 1,
    shed: 12,
    deadLettered: 1,
    inFlight: 0,
    missing: 0,
  })
  expect(account(p.state)?.shedReasons).toMatchObject([{ reason: 'spool_full', readings: 12 }])
})
