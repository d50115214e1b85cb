import { contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { clearEffects, createEffects } from './effects.ts'
import { takeOver } from './prior-life.ts'
import { allSeries } from './state.ts'
import { step } from './step.ts'
import { levels, partition, T, texts } from './step-harness.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  contextOf,
  EPOCH,
  intakeOf,
  mixedContract,
  RECEIVED_AT_MS,
  stateFor,
} from './testing.ts'

describe('windows', () => {
  const end = (s: number) => T + s * 1_000

  test('are written when the agent promises that they are complete, and not before', () => {
    const p = partition()
    const first = p.give({ sequence: 1, completeThroughMs: end(9.9), blocks: [levels('pump-1', [0, 1], [5_000, 4])] })
    expect(first.rollups).toEqual([])
    const second = p.give({
      sequence: 2,
      completeThroughMs: end(10),
      blocks: [levels('pump-1', [9_950, 1], [10_500, 9])],
    })
    expect(second.rollups).toEqual([
      `mixed_10s,device=pump-1,site=workshop level_mean=2,level_min=1,level_max=4,level_count=3i,level_stddev=${Math.sqrt(3)},level_last=1,level_p50=1.009,level_p95=4,level_p99=4,revision=0i ${T}`,
    ])
  })

  test('booleans have their share of true and the last; strings the last', () => {
    const p = partition()
    const samples = [true, true, false, true].map((running, i) => ({
      timeMs: T + i,
      values: { running, mode: `m${i}` },
    }))
    const { rollups } = p.give({
      sequence: 1,
      completeThroughMs: end(10),
      blocks: [blockOf('pump-1', 'mixed', samples)],
    })
    expect(rollups).toEqual([
      `mixed_10s,device=pump-1,site=workshop running_mean=0.75,running_count=4i,running_last=t,mode_count=4i,mode_last="m3",revision=0i ${T}`,
    ])
  })

  test('a late reading writes its windows again, revised, as if it had come in time', () => {
    const p = partition()
    p.give({ sequence: 1, completeThroughMs: end(120), blocks: [levels('pump-1', [1_000, 1], [9_000, 3])] })
    const { rollups } = p.give({
      sequence: 2,
      lane: 'backlog',
      completeThroughMs: end(121),
      blocks: [levels('pump-1', [5_000, 11])],
    })
    expect(rollups.map((line) => line.replace(/,level_stddev=[^,]*/, ''))).toEqual([
      `mixed_10s,device=pump-1,site=workshop level_mean=5,level_min=1,level_max=11,level_count=3i,level_last=3,level_p50=2.992,level_p95=11,level_p99=11,revision=1i ${T}`,
      `mixed_1m,device=pump-1,site=workshop level_mean=5,level_min=1,level_max=11,level_count=3i,level_last=3,level_p50=2.992,level_p95=11,level_p99=11,revision=1i ${T}`,
    ])
    expect(p.state.counters).toMatchObject({ late: 1, windowsRevised: 2, lateBeyondMemory: 0 })
  })

  test('later than memory: stored raw, the window dirty, and not overwritten from part of its data', () => {
    const p = partition(contextOf([mixedContract], { memoryMs: 60_000 }))
    p.give({ sequence: 1, completeThroughMs: end(10), blocks: [levels('pump-1', [1_000, 1])] })
    p.give({ sequence: 2, completeThroughMs: end(200), blocks: [levels('pump-1', [199_000, 1])] })
    const { lines, rollups } = p.give({
      sequence: 3,
      completeThroughMs: end(201),
      blocks: [levels('pump-1', [2_000, 5])],
    })
    expect(lines).toEqual([
      `mixed,device=pump-1,site=workshop level=5 ${T + 2_000}`,
      `data_quality,device=pump-1,issue=late_beyond_memory,site=workshop kind="mixed",samples=1i ${T + 2_000}`,
    ])
    expect(rollups).toEqual([])
    expect(p.state.counters.lateBeyondMemory).toBe(1)
    expect([...p.state.dirty.values()]).toEqual([
      { site: 'workshop', device: 'pump-1', kind: 'mixed', widthMs: 10_000, startMs: T },
      { site: 'workshop', device: 'pump-1', kind: 'mixed', widthMs: 60_000, startMs: T },
    ])
  })

  test('a gap holds back the windows of its own agent, provisionally written, and nobody else', () => {
    const context = contextOf()
    const state = stateFor(context)
    const effects = createEffects()
    const give = (plan: BatchPlan) => {
      clearEffects(effects)
      step(state, intakeOf(batchOf(plan)), context, effects)
      return texts(effects).rollups
    }
    give({
      agent: 'agent-a',
      sequence: 2,
      readingsBefore: 1,
      completeThroughMs: end(30),
      blocks: [levels('pump-a', [1_000, 1])],
    })
    expect(
      give({ agent: 'agent-b', sequence: 1, completeThroughMs: end(30), blocks: [levels('pump-b', [1_000, 1])] }),
    ).toHaveLength(1)
    // Nobody has stored anything of it before: what is missing is on its way.
    const answer = { agent: 'agent-a', epoch: EPOCH, sequence: 0 }
    expect(takeOver(state, 'workshop', answer, { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS })).toBe(true)
    // The device is past the window by more than ten seconds: it is written as it stands.
    const provisional = give({
      agent: 'agent-a',
      sequence: 3,
      readingsBefore: 2,
      completeThroughMs: end(40),
      blocks: [levels('pump-a', [25_000, 1])],
    })
    expect(provisional).toEqual([expect.stringContaining('level_count=1i')])
    // What was missing arrives: the final value, revised.
    const final = give({
      agent: 'agent-a',
      sequence: 1,
      lane: 'backlog',
      completeThroughMs: end(1),
      blocks: [levels('pump-a', [500, 3])],
    })
    expect(final[0]).toMatch(/level_mean=2,.*level_count=2i.*revision=1i/)
    expect(final).toHaveLength(2)
  })

  test('a gap that has become missing holds back nothing any more; what comes of it after all revises', () => {
    const p = partition(contextOf([mixedContract], { missingAfterMs: 60_000 }))
    p.give({ sequence: 1, completeThroughMs: end(1), blocks: [levels('pump-1', [500, 1])] }, T + 1_000)
    p.skip(1)
    const held = p.give({ sequence: 3, completeThroughMs: end(15), blocks: [levels('pump-1', [12_000, 1])] }, T + 2_000)
    expect(held.rollups).toEqual([])
    const passed = p.give(
      { sequence: 4, completeThroughMs: end(16), blocks: [levels('pump-1', [15_500, 1])] },
      T + 62_000,
    )
    expect(passed.rollups).toEqual([expect.stringContaining('level_count=1i')])
    const late = batchOf({
      sequence: 2,
      readingsBefore: 1,
      completeThroughMs: end(2),
      blocks: [levels('pump-1', [1_500, 1])],
    })
    clearEffects(p.effects)
    step(p.state, intakeOf(late, { receivedAtMs: T + 63_000 }), contextOf(), p.effects)
    expect(texts(p.effects).rollups[0]).toMatch(/level_count=2i.*revision=1i/)
  })

  test('memory is bounded however far back an agent holds its windows open', () => {
    const p = partition(contextOf([mixedContract], { memoryMs: 60_000 }))
    p.skip(1)
    for (let i = 0; i < 500; i++)
      p.give({ sequence: i + 2, completeThroughMs: end(0), blocks: [levels('pump-1', [i * 10_000, i])] })
    const [series] = allSeries(p.state)
    expect(series?.windows?.[0]?.rows.size).toBeLessThanOrEqual(6 + 64)
    expect(series?.windows?.[0]?.open.length).toBeLessThanOrEqual(6 + 64)
    expect(p.state.dirty.size).toBeGreaterThan(400)
  })
})

test('a month of minutes in one block: no more rows than there may be', () => {
  const p = partition(contextOf([mixedContract], { memoryMs: 60_000 }))
  p.give({
    sequence: 1,
    completeThroughMs: T,
    blocks: [levels('pump-1', ...Array.from({ length: 40_000 }, (_, i): [number, number] => [i * 60_000, i % 100]))],
  })
  const [series] = allSeries(p.state)
  for (const { rows, open } of series?.windows ?? []) {
    expect(rows.size).toBeLessThanOrEqual(6 + 64)
    expect(open.length).toBe(rows.size)
  }
  expect(p.state.counters.readings).toBe(40_000)
})

test('values whose squares overflow have the largest deviation that their extremes allow', () => {
  const wide = contractSchema.parse({
    ...mixedContract,
    interval: '1s',
    fields: { level: { type: 'float', label: 'Level' } },
  })
  const p = partition(contextOf([wide]))
  const { rollups } = p.give({
    sequence: 1,
    completeThroughMs: T + 10_000,
    blocks: [levels('pump-1', [0, 1.7e308], [1, -1.7e308], [2, 5e-324], [3, -0])],
  })
  expect(rollups).toEqual([
    `mixed_10s,device=pump-1,site=workshop level_mean=0,level_min=-1.7e+308,level_max=1.7e+308,level_count=4i,level_stddev=1.7976931348623157e+308,level_last=0,level_p50=0,level_p95=1.7e+308,level_p99=1.7e+308,revision=0i ${T}`,
  ])
})
