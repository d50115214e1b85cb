import { encodeBatch } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { createEffects } from './effects.ts'
import { takeIn } from './intake.ts'
import { EPOCHS_MAX } from './state.ts'
import { step } from './step.ts'
import { account, levels, partition, T } from './step-harness.ts'
import { batchOf, blockOf, contextOf, EPOCH, intakeOf, RECEIVED_AT_MS, stateFor } from './testing.ts'

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
    expect(p.give({ sequence: 1, blocks: [block, levels('pump-1', [0, 1])] }).lines).toEqual([
      `mixed,device=pump-1,site=workshop level=1 ${T}`,
      `data_quality,device=pump-1,issue=unknown_kind,site=workshop kind="unheard_of",policy="reject",samples=1i ${T}`,
    ])
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
      `data_quality,device=pump-1,field=level,issue=wrong_type,site=workshop kind="mixed",policy="reject",samples=1i ${T + 1}`,
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
