import { type Contract, contractSchema, encodeBatch } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { createAlertEngine, rulesSchema } from './alerts/index.ts'
import type { StepContext } from './batch-scope.ts'
import { clearEffects, createEffects, type Effects } from './effects.ts'
import { takeIn } from './intake.ts'
import { takeOver } from './prior-life.ts'
import { allSeries, EPOCHS_MAX, type PartitionState } from './state.ts'
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
  registryOf,
  type SampleValues,
  stateFor,
} from './testing.ts'

const T = 1_767_225_600_000

/** A partition to which batches are given one after another, with running totals as an agent would keep them. */
function partition(context: StepContext = contextOf()) {
  const state = stateFor(context)
  const effects = createEffects()
  let readingsBefore = 0
  return {
    state,
    effects,
    give(plan: Omit<BatchPlan, 'readingsBefore'>, receivedAtMs = RECEIVED_AT_MS) {
      clearEffects(effects)
      const batch = batchOf({ ...plan, readingsBefore })
      readingsBefore = batch.header.readingsTotal
      step(state, intakeOf(batch, { receivedAtMs }), context, effects)
      return texts(effects)
    },
    skip(readings: number) {
      readingsBefore += readings
    },
  }
}
const texts = ({ lines, rollups }: Effects) => ({
  lines: lines.bytes.toString('utf8', 0, lines.length).split('\n').slice(0, -1),
  rollups: rollups.bytes.toString('utf8', 0, rollups.length).split('\n').slice(0, -1),
})
const levels = (device: string, ...samples: [offsetMs: number, level: number][]) =>
  blockOf(
    device,
    'mixed',
    samples.map(([offset, level]): SampleValues => ({ timeMs: T + offset, values: { level } })),
  )
const account = (state: PartitionState, nowMs = 0) => accountOf(state, nowMs, 60_000)[0]

test('samples become lines: one a sample, types from the contract, absent fields absent', () => {
  const p = partition()
  const block = blockOf('pump-1', 'mixed', [
    { timeMs: T, values: { level: 1.5, count: 3, running: true, mode: 'say "on"' } },
    { timeMs: T + 1_000, values: { level: 2, running: false } },
  ])
  expect(p.give({ sequence: 1, blocks: [block] }).lines).toEqual([
    `mixed,device=pump-1,site=workshop level=1.5,count=3i,running=t,mode="say \\"on\\"" ${T}`,
    `mixed,device=pump-1,site=workshop level=2,running=f ${T + 1_000}`,
  ])
  expect([...p.effects.lines.readings.subarray(0, 2)]).toEqual([4, 2])
})

test('a batch of an epoch that was folded into totals comes again: it is known, and counts in no window twice', () => {
  const p = partition()
  const epochs = Array.from({ length: EPOCHS_MAX + 1 }, (_, i) => String(i).padStart(16, '0'))
  const [folded = ''] = epochs
  const batch = (epoch: string) => ({ sequence: 1, epoch, blocks: [levels('pump-1', [0, 4], [100, 6])] })
  for (const [i, epoch] of epochs.entries()) p.give(batch(epoch), RECEIVED_AT_MS + i)
  const before = p.state.counters.windowsRevised
  expect(p.give(batch(folded), RECEIVED_AT_MS + 100)).toEqual({ lines: [], rollups: [] })
  expect(p.state.counters.duplicates).toBe(1)
  expect(p.state.counters.windowsRevised).toBe(before)
  // What had not come when it was folded is written all the same.
  expect(p.give({ ...batch(folded), sequence: 2 }, RECEIVED_AT_MS + 200).lines).toHaveLength(2)
})

describe('refusals', () => {
  test('what breaks the contract becomes a dead letter with its original; the rest of the sample goes on', () => {
    const p = partition()
    const block = blockOf('pump-1', 'mixed', [
      { timeMs: T, values: { level: 5_000, count: 1, sequence: 41 } },
      { timeMs: T + 1, values: { level: 6_000, count: 2, sequence: 42 } },
      { timeMs: T + 2, values: { level: 7, count: 3, sequence: 43, colour: 'red' } },
    ])
    const { lines } = p.give({ sequence: 1, blocks: [block] }, T + 77)
    expect(lines[0]).toContain('count=1i,sequence=41i')
    expect(lines[0]).not.toContain('level')
    expect(lines[2]).toContain('level=7')
    const letters = p.effects.deadLetters
    expect(letters.map(({ field, reason, readingCount }) => [field, reason, readingCount]).sort()).toEqual([
      ['colour', 'unknown_field', 1],
      ['level', 'out_of_range', 2],
    ])
    const range = letters.find(({ field }) => field === 'level')
    expect(range).toMatchObject({
      stage: 'contract',
      site: 'workshop',
      agent: 'agent-a',
      epoch: EPOCH,
      sequence: 1,
      device: 'pump-1',
      kind: 'mixed',
      timeMs: T,
      refusedAtMs: T + 77,
    })
    expect(JSON.parse(Buffer.from(range?.original ?? '', 'base64').toString())).toEqual({
      times: [T, T + 1],
      values: [5_000, 6_000],
      sequences: [41, 42],
    })
    expect(account(p.state)).toMatchObject({ produced: 10, stored: 7, deadLettered: 3, inFlight: 0 })
  })

  test('an unknown kind: every reading a dead letter, and what to do about it', () => {
    const p = partition()
    const block = blockOf('pump-1', 'unheard_of', [{ timeMs: T, values: { a: 1, b: true } }])
    expect(p.give({ sequence: 1, blocks: [block, levels('pump-1', [0, 1])] }).lines).toHaveLength(1)
    expect(p.effects.deadLetters.map(({ reason, field, readingCount }) => [reason, field, readingCount])).toEqual([
      ['unknown_kind', 'a', 1],
      ['unknown_kind', 'b', 1],
    ])
    expect(p.effects.deadLetters[0]?.detail).toContain('contracts/unheard_of.yaml')
    expect(account(p.state)).toMatchObject({ produced: 3, stored: 1, deadLettered: 2, inFlight: 0 })
  })

  test('a column of another type than the contract says', () => {
    const p = partition()
    const block = blockOf('pump-1', 'mixed', [
      { timeMs: T, values: { level: 1 } },
      { timeMs: T + 1, values: { level: 'full' } },
    ])
    expect(p.give({ sequence: 1, blocks: [block] }).lines).toEqual([
      `mixed,device=pump-1,site=workshop level=1 ${T}`,
      `schema_drift,change=changed_type,device=pump-1,field=level,site=workshop kind="mixed",message="level of pump-1 came as string; the contract says float" ${T}`,
    ])
    expect(p.effects.deadLetters).toMatchObject([{ reason: 'wrong_type', readingCount: 1, timeMs: T + 1 }])
  })

  test('originals that are too large for one letter make several, each whole', () => {
    const p = partition()
    const samples = Array.from({ length: 300 }, (_, i) => ({ timeMs: T + i, values: { secret: 'x'.repeat(1_000) } }))
    p.give({ sequence: 1, blocks: [blockOf('pump-1', 'mixed', samples)] })
    const letters = p.effects.deadLetters
    expect(letters.length).toBeGreaterThan(1)
    expect(new Set(letters.map(({ id }) => id)).size).toBe(letters.length)
    const times = letters.flatMap((letter) => JSON.parse(Buffer.from(letter.original, 'base64').toString()).times)
    expect(times).toEqual(samples.map(({ timeMs }) => timeMs))
  })

  test('dead letters of the edge go on under the batch they came in', () => {
    const p = partition()
    const letter = {
      input: 'serial',
      device: 'pump-1',
      reason: 'bad_checksum',
      detail: 'the line says *1A2B',
      receivedAtMs: T,
      original: Buffer.from('{"le'),
      originalBytes: 4,
      readingCount: 2,
    }
    p.give({ sequence: 1, blocks: [levels('pump-1', [0, 1])], deadLetters: [letter] })
    expect(p.effects.deadLetters).toMatchObject([
      { id: `agent-a/${EPOCH}/1/e0`, stage: 'edge', reason: 'bad_checksum', readingCount: 2, device: 'pump-1' },
    ])
    expect(account(p.state)).toMatchObject({ produced: 3, stored: 1, deadLettered: 2, inFlight: 0 })
    expect(account(p.state)?.letters).toEqual([{ stage: 'edge', reason: 'bad_checksum', letters: 1, readings: 2 }])
  })

  test('poison: bytes that are no batch are kept as they came, and do not stop what follows', () => {
    const context = contextOf()
    const state = stateFor(context)
    const effects = createEffects()
    const good = encodeBatch(batchOf({ sequence: 1, blocks: [levels('pump-1', [0, 1])] }))
    const subject = 'telemetry.v1.12.workshop.agent-a'
    const deliver = (bytes: Uint8Array, streamSequence: number) =>
      step(state, takeIn({ subject, bytes, streamSequence, receivedAtMs: T + 5 }), context, effects)
    deliver(Buffer.from('this is no batch'), 1)
    deliver(good.subarray(0, good.length - 3), 2)
    deliver(good, 3)
    expect(effects.lines.count).toBe(1)
    expect(effects.deadLetters.map(({ stage, agent }) => [stage, agent])).toEqual([
      ['decode', 'agent-a'],
      ['decode', 'agent-a'],
    ])
    expect(Buffer.from(effects.deadLetters[0]?.original ?? '', 'base64').toString()).toBe('this is no batch')
    expect(new Set(effects.deadLetters.map(({ id }) => id)).size).toBe(2)
  })

  test('a batch of one agent under the name of another is refused', () => {
    const bytes = encodeBatch(batchOf({ agent: 'agent-b', sequence: 1, blocks: [levels('pump-1', [0, 1])] }))
    const intake = takeIn({
      subject: 'telemetry.v1.12.workshop.agent-a',
      bytes,
      streamSequence: 1,
      receivedAtMs: T + 5,
    })
    expect(intake).toMatchObject({ agent: 'agent-a', batch: undefined, reason: 'wrong_agent' })
  })
})

describe('the account', () => {
  test('a gap is in flight, then missing; when it closes after all, stored', () => {
    const p = partition()
    p.give({ sequence: 1, blocks: [levels('pump-1', [0, 1])] }, T + 1_000)
    p.skip(7)
    p.give({ sequence: 3, blocks: [levels('pump-1', [2, 1])] }, T + 2_000)
    expect(account(p.state, T + 3_000)).toMatchObject({ produced: 9, stored: 2, inFlight: 7, missing: 0 })
    expect(account(p.state, T + 62_000)).toMatchObject({
      produced: 9,
      stored: 2,
      inFlight: 0,
      missing: 7,
      gaps: [{ epoch: EPOCH, fromSequence: 2, toSequence: 2, readings: 7, missing: true }],
    })
    const late = levels('pump-1', ...Array.from({ length: 7 }, (_, i): [number, number] => [10 + i, i]))
    const batch = batchOf({ sequence: 2, readingsBefore: 1, blocks: [late] })
    step(p.state, intakeOf(batch), contextOf(), p.effects)
    expect(account(p.state, T + 62_000)).toMatchObject({ produced: 9, stored: 9, inFlight: 0, missing: 0, gaps: [] })
  })

  test('a tombstone closes a gap as shed', () => {
    const p = partition()
    p.give({ sequence: 1, blocks: [levels('pump-1', [0, 1])] })
    p.skip(20)
    const tombstones = [{ epoch: EPOCH, fromSequence: 2, toSequence: 5, readingCount: 20, reason: 'disk_budget' }]
    p.give({ sequence: 6, blocks: [levels('pump-1', [1, 1])], tombstones })
    expect(account(p.state)).toMatchObject({ produced: 22, stored: 2, shed: 20, inFlight: 0, missing: 0, gaps: [] })
  })

  test('epochs beyond the limit are folded, and the sums stay', () => {
    const context = contextOf()
    const state = stateFor(context)
    const effects = createEffects()
    for (let i = 0; i < 20; i++) {
      const epoch = i.toString(16).padStart(16, '0')
      step(
        state,
        intakeOf(batchOf({ epoch, sequence: 1, blocks: [levels('pump-1', [i, 1])] }), { receivedAtMs: T + i }),
        context,
        effects,
      )
    }
    expect(account(state)).toMatchObject({ produced: 20, stored: 20, deadLettered: 0, missing: 0, inFlight: 0 })
    expect(account(state)?.epochs).toHaveLength(8)
  })
})

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
    expect(lines).toHaveLength(1)
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

test('an agent that refuses for ever new reasons: so many are counted singly, the others together', () => {
  const p = partition()
  const letterOf = (reason: string) => ({
    input: 'serial',
    device: 'pump-1',
    reason,
    detail: '',
    receivedAtMs: T,
    readingCount: 2,
    original: new Uint8Array(1),
    originalBytes: 1,
  })
  p.give({ sequence: 1, deadLetters: Array.from({ length: 500 }, (_, i) => letterOf(`line ${i}/500`)) })
  const row = account(p.state)
  expect(row?.letters).toHaveLength(65)
  expect(row?.letters[0]).toEqual({ stage: 'edge', reason: 'line 0/500', letters: 1, readings: 2 })
  expect(row?.letters.at(-1)).toEqual({ stage: 'edge', reason: 'other', letters: 436, readings: 872 })
  expect(row).toMatchObject({ produced: 1_000, deadLettered: 1_000, inFlight: 0 })
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

describe('detectors and alerts', () => {
  const watchedYaml = {
    kind: 'watched',
    version: 1,
    description: 'A level that somebody cares about.',
    interval: '1s',
    fields: { level: { type: 'float', label: 'Level', unit: 'mm' } },
    thresholds: [{ field: 'level', above: 10, severity: 'critical' }],
    detectors: { silence: '30s' },
  }
  const watched: Contract = contractSchema.parse(watchedYaml)
  const block = (...samples: [number, number][]) => ({ ...levels('pump-1', ...samples), kind: 'watched' })

  test('a threshold that is crossed: an anomaly, an alert, a notification, with the place from the registry', () => {
    const context = contextOf([watched], {
      receivers: ['log'],
      registry: registryOf({ 'pump-1': { site: 'hall', line: '2', name: 'Coolant pump', location: 'north' } }),
    })
    const p = partition(context)
    p.give({ sequence: 1, completeThroughMs: T + 1_000, blocks: [block([0, 5])] })
    const { lines } = p.give({ sequence: 2, completeThroughMs: T + 3_000, blocks: [block([1_000, 12], [2_000, 13])] })
    expect(lines.filter((line) => line.startsWith('anomaly'))).toEqual([
      expect.stringMatching(
        /^anomaly,detector=threshold_above_10,device=pump-1,field=level,site=hall kind="watched",value=12,score=1,upper=10,message="Level: 12.* above the limit 10" \d+$/,
      ),
    ])
    expect(p.effects.transitions).toMatchObject([
      { state: 'firing', severity: 'critical', site: 'hall', device: 'pump-1', value: 12 },
    ])
    expect(p.effects.transitions[0]?.message).toMatch(/^Coolant pump \(line 2, north\): Level: 12/)
    expect(lines.find((line) => line.startsWith('alert'))).toMatch(/state="firing",severity="critical"/)
    expect(Object.values(p.state.outbox.queues).flat()).toHaveLength(1)
    const over = p.give({ sequence: 3, completeThroughMs: T + 5_000, blocks: [block([4_000, 3])] })
    expect(over.lines.some((line) => line.startsWith('anomaly'))).toBe(false)
    // The contract's own rule keeps firing for a while.
    p.give({ sequence: 4, completeThroughMs: T + 20_000, blocks: [block([19_000, 3])] })
    p.give({ sequence: 5, completeThroughMs: T + 600_000, blocks: [block([599_000, 3])] })
    expect(p.effects.transitions).toMatchObject([{ state: 'resolved', device: 'pump-1' }])
  })

  test('one rule over two fields and two limits: every episode of the same millisecond is a point of its own', () => {
    const twice: Contract = contractSchema.parse({
      ...watchedYaml,
      fields: { level: watchedYaml.fields.level, flow: { type: 'float', label: 'Flow' } },
      thresholds: [
        { field: 'level', above: 10 },
        { field: 'level', above: 20 },
        { field: 'flow', above: 10 },
      ],
    })
    const byKind = new Map([['watched', twice]])
    const [everything] = rulesSchema.parse({ rules: [{ name: 'everything' }] }).rules
    const engine = createAlertEngine(everything ? [everything] : [], byKind)
    const p = partition(contextOf([twice], { engine }))
    const both = blockOf('pump-1', 'watched', [{ timeMs: T, values: { level: 30, flow: 30 } }])
    const { lines } = p.give({ sequence: 1, completeThroughMs: T + 1_000, blocks: [both] })
    const keys = lines.filter((line) => line.startsWith('alert')).map((line) => line.slice(0, line.indexOf(' ')))
    expect(keys).toEqual([
      'alert,detector=threshold_above_10,device=pump-1,field=level,rule=everything,site=workshop',
      'alert,detector=threshold_above_20,device=pump-1,field=level,rule=everything,site=workshop',
      'alert,detector=threshold_above_10,device=pump-1,field=flow,rule=everything,site=workshop',
    ])
  })

  const YEAR_MS = 365 * 86_400_000
  /** A minute of ordinary life, then what is given, then a value that somebody must be told of. @returns what was said of it */
  function lifeWith(strange: (sequence: number) => Omit<BatchPlan, 'readingsBefore'>) {
    const p = partition(contextOf([watched]))
    const second = (s: number, level: number) =>
      p.give(
        { sequence: s + 1, completeThroughMs: T + s * 1_000, blocks: [block([s * 1_000 - 1, level])] },
        T + s * 1_000,
      )
    for (let s = 0; s < 60; s++) second(s, 5)
    p.give(strange(61), T + 60_000)
    const letters = [...p.effects.deadLetters]
    const rollups: string[] = []
    let told = 0
    for (let s = 61; s < 90; s++) {
      rollups.push(...second(s, 12).rollups)
      told += p.effects.transitions.length
    }
    return { p, letters, rollups, told }
  }

  test('a sample of next year is refused, and blinds neither detectors nor windows to what comes after it', () => {
    const { p, letters, rollups, told } = lifeWith((sequence) => ({
      sequence,
      completeThroughMs: T + 60_000,
      blocks: [block([59_500, 6], [YEAR_MS, 7])],
    }))
    expect(letters).toMatchObject([
      { stage: 'contract', reason: 'time_in_future', field: 'level', readingCount: 1, timeMs: T + YEAR_MS },
    ])
    expect(letters[0]?.detail).toBe(
      'measured at 2027-01-01T00:00:00.000Z, received at 2026-01-01T00:01:00.000Z: set the clock of pump-1 or of its agent; time_ms is milliseconds since 1970',
    )
    expect(told).toBe(1)
    // One for each ten seconds: none of them provisional.
    expect(rollups.filter((line) => line.startsWith('watched_10s'))).toHaveLength(2)
    expect(account(p.state)).toMatchObject({ produced: 91, stored: 90, deadLettered: 1, inFlight: 0, missing: 0 })
  })

  test('a promise of next year, too, closes no more than a day', () => {
    const { p } = lifeWith((sequence) => ({ sequence, completeThroughMs: T + YEAR_MS }))
    expect([...p.state.agents.values()][0]?.watermarkMs).toBe(T + 60_000 + 86_400_000)
  })

  test('a promise of a clock that nobody vouches for reaches no further than now, and binds nothing that comes after', () => {
    const HOUR_MS = 3_600_000
    const p = partition(contextOf([watched]))
    const wrong = { completeThroughMs: T + 5 * HOUR_MS, blocks: [block([5 * HOUR_MS, 5])] }
    p.give({ ...wrong, sequence: 1, clockQuality: 'untrusted' }, T + 1_000)
    expect([...p.state.agents.values()][0]?.watermarkMs).toBe(T + 1_000)
    // The clock is set: what was measured since is on time.
    const rollups = [
      ...p.give({ sequence: 2, completeThroughMs: T + 9_000, blocks: [block([2_000, 6], [8_000, 8])] }, T + 9_000)
        .rollups,
      ...p.give({ sequence: 3, completeThroughMs: T + 11_000, blocks: [block([10_500, 6])] }, T + 11_000).rollups,
    ]
    expect(rollups.find((line) => line.startsWith('watched_10s') && line.endsWith(` ${T}`))).toContain('level_mean=7,')
    expect(p.state.counters.late).toBe(0)
  })

  test('a device that the registry moves is not silent where it stood: its alerts there end, its windows there are written', () => {
    const placements = [
      { site: 'hall-a' },
      { site: 'hall-b', fromMs: T + 34_000 },
      { site: 'hall-a', fromMs: T + 119_000 },
    ]
    const p = partition(contextOf([watched], { registry: registryOf({ 'pump-1': placements }) }))
    const told: string[] = []
    const rollups: string[] = []
    for (let s = 1; s < 120; s++) {
      const blocks = [block([s * 1_000 - 1, s < 35 ? 12 : 5])]
      rollups.push(...p.give({ sequence: s, completeThroughMs: T + s * 1_000, blocks }, T + s * 1_000).rollups)
      told.push(...p.effects.transitions.map((t) => `${t.state} ${t.site} ${t.detector}`))
    }
    expect(told).toEqual(['firing hall-a threshold_above_10', 'resolved hall-a threshold_above_10'])
    expect(Object.keys(p.state.alerts.episodes)).toEqual([])
    const counts = rollups
      .filter((line) => line.startsWith('watched_1m'))
      .map((line) => /site=(\S+) .*count=(\d+)i/.exec(line)?.slice(1))
    expect(counts).toEqual([
      ['hall-a', '34'],
      ['hall-b', '26'],
    ])
    // And back: where it stood before, as if it had never left.
    for (let s = 120; s < 240; s++)
      p.give(
        { sequence: s, completeThroughMs: T + s * 1_000, blocks: [block([s * 1_000 - 1, s < 230 ? 5 : 12])] },
        T + s * 1_000,
      )
    expect(Object.keys(p.state.alerts.episodes)).toEqual(['hall-a/pump-1/watched/level/threshold_above_10'])
  })

  test('the alerts of a device that is gone for good, and of one whose agent is gone, too, end after a week and say why', () => {
    const DAY_MS = 86_400_000
    const p = partition(contextOf([watched], { receivers: ['people'] }))
    const told: string[] = []
    const remember = () =>
      told.push(...p.effects.transitions.map((t) => `${t.state} ${t.device} ${t.detector}: ${t.message}`))
    const named = (device: string) => ({ ...block([0, 12]), device })
    const lost = batchOf({ agent: 'agent-lost', sequence: 1, completeThroughMs: T, blocks: [named('pump-lost')] })
    step(p.state, intakeOf(lost, { receivedAtMs: T }), contextOf([watched]), p.effects)
    p.give({ sequence: 1, completeThroughMs: T, blocks: [named('pump-1')] }, T)
    for (let minute = 1; minute < 30; minute++)
      p.give({ sequence: minute + 1, completeThroughMs: T + minute * 5_000 }, T + minute * 5_000)
    expect(
      Object.values(p.state.alerts.episodes).map(({ device, detector, state }) => `${device} ${detector} ${state}`),
    ).toEqual(['pump-lost threshold_above_10 firing', 'pump-1 threshold_above_10 firing', 'pump-1 silence firing'])
    for (let day = 1; day < 9; day++) {
      p.give({ sequence: 30 + day, completeThroughMs: T + day * DAY_MS }, T + day * DAY_MS)
      remember()
      if (day === 7) expect(told).toEqual([])
    }
    expect(p.state.alerts.episodes).toEqual({})
    const why = 'given up: nothing was heard of'
    expect(told).toEqual([
      `resolved pump-lost threshold_above_10: ${why} pump-lost for 7 d; it was: Level: 12.00 mm, 2.00 above the limit 10`,
      `resolved pump-1 threshold_above_10: ${why} pump-1 for 7 d; it was: Level: 12.00 mm, 2.00 above the limit 10`,
      expect.stringContaining(`resolved pump-1 silence: ${why} pump-1 for 7 d; it was: no watched sample of pump-1`),
    ])
  })

  test('the promises of another gateway’s agent of the same name end no alert', () => {
    const context = contextOf([watched])
    const state = stateFor(context)
    const give = (site: string, sequence: number, atMs: number, blocks: BatchPlan['blocks'] = []) => {
      const readingsBefore = site === 'hall-a' ? sequence - 1 : 0
      const effects = createEffects()
      step(
        state,
        intakeOf(batchOf({ sequence, readingsBefore, completeThroughMs: atMs, blocks }), { site }),
        context,
        effects,
      )
      return effects.transitions.map((t) => `${t.site} ${t.state}`)
    }
    expect(give('hall-a', 1, T, [block([0, 12])])).toEqual(['hall-a firing'])
    expect(give('hall-a', 2, T + 2_000, [block([1_000, 5])])).toEqual([])
    expect(give('hall-b', 1, T + 3_600_000)).toEqual([])
    expect(give('hall-a', 3, T + 3_600_000)).toEqual(['hall-a resolved'])
  })

  test('readings older than those seen are history: no detector judges them', () => {
    const p = partition(contextOf([watched]))
    p.give({ sequence: 1, completeThroughMs: T + 9_000, blocks: [block([8_000, 5])] })
    p.give({ sequence: 2, completeThroughMs: T + 9_500, lane: 'backlog', blocks: [block([1_000, 50])] })
    expect(p.effects.anomalies).toEqual([])
    expect(p.state.counters.historical).toBe(1)
  })

  test('a device that falls silent while its agent goes on', () => {
    const p = partition(contextOf([watched]))
    for (let s = 0; s < 10; s++)
      p.give({ sequence: s + 1, completeThroughMs: T + s * 1_000, blocks: [block([s * 1_000 - 1, 5])] })
    for (let s = 10; s < 45; s++) {
      p.give({ sequence: s + 1, completeThroughMs: T + s * 1_000 })
      if (p.effects.anomalies.length > 0) break
    }
    expect(p.effects.anomalies).toMatchObject([{ detector: 'silence', device: 'pump-1', field: '' }])
    const lines = texts(p.effects).lines
    expect(lines.some((line) => line.startsWith('anomaly,detector=silence,device=pump-1,site=workshop '))).toBe(true)
  })
})

test('a device of the registry is stored under its own site', () => {
  const p = partition(contextOf([mixedContract], { registry: registryOf({ 'pump-1': { site: 'hall' } }) }))
  expect(p.give({ sequence: 1, blocks: [levels('pump-1', [0, 1])] }).lines).toEqual([
    `mixed,device=pump-1,site=hall level=1 ${T}`,
  ])
  expect(readingsOf([levels('pump-1', [0, 1])])).toBe(1)
})
