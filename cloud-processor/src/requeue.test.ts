import { contractSchema, type DeadLetter, requeueSubject } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import type { StepContext } from './batch-scope.ts'
import { clearEffects, createEffects } from './effects.ts'
import { takeIn } from './intake.ts'
import { judgeLetter, takeExtrasInOrder } from './requeue-check.ts'
import type { PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import {
  batchOf,
  blockOf,
  contextOf,
  intakeOf,
  mixedContract,
  RECEIVED_AT_MS,
  requestOf,
  type SampleValues,
  stateFor,
} from './testing.ts'

const START_MS = 1_767_225_600_000
const wide = contractSchema.parse({
  ...mixedContract,
  interval: '1s',
  version: 2,
  fields: { ...mixedContract.fields, level: { ...mixedContract.fields['level'], range: [-10_000, 10_000] } },
})
const WIDE = contextOf([wide])

/** Takes samples in under one contract, batch by batch. */
function refusing(batches: readonly (readonly SampleValues[])[], context: StepContext = contextOf()) {
  const state = stateFor(context)
  const effects = createEffects()
  let readingsBefore = 0
  const letters: DeadLetter[] = []
  for (const [i, samples] of batches.entries()) {
    const batch = batchOf({
      sequence: i + 1,
      readingsBefore,
      completeThroughMs: (samples.at(-1)?.timeMs ?? START_MS) + 1,
      blocks: [blockOf('pump-1', 'mixed', samples)],
    })
    readingsBefore = batch.header.readingsTotal
    step(state, intakeOf(batch), context, effects)
    letters.push(...effects.deadLetters)
    clearEffects(effects)
  }
  return { state, letters }
}

function ask(state: PartitionState, letter: DeadLetter, context: StepContext, action: 'requeue' | 'drop' = 'requeue') {
  const effects = createEffects()
  step(state, requestOf(letter, action), context, effects)
  const [account] = accountOf(state, RECEIVED_AT_MS, 600_000)
  return {
    lines: effects.lines.bytes.toString('utf8', 0, effects.lines.length),
    rollups: effects.rollups.bytes.toString('utf8', 0, effects.rollups.length),
    letters: effects.deadLetters,
    settlements: effects.settlements,
    account,
  }
}

const level = (offsetMs: number, value: number | string | boolean) => ({
  timeMs: START_MS + offsetMs,
  values: { level: value },
})
const later = level(60_000, 1)

test('a letter is stored once, its readings move in the account, its window is revised', () => {
  const { state, letters } = refusing([[level(0, 5), level(1_000, 5_000), level(2_000, 7)], [later]])
  const [letter] = letters as [DeadLetter]
  const first = ask(state, letter, WIDE)
  expect(first.lines).toBe(`mixed,device=pump-1,site=workshop level=5000 ${START_MS + 1_000}\n`)
  expect(first.rollups).toContain('mixed_10s,device=pump-1,site=workshop level_mean=1670.666')
  expect(first.rollups).toContain('level_count=3i')
  expect(first.rollups).toContain('revision=1i')
  expect(first.settlements).toMatchObject([{ id: letter.id, requeued: 0, outcome: 'stored', stored: 1, refused: 0 }])
  expect(first.account).toMatchObject({ produced: 4, stored: 4, deadLettered: 0, inFlight: 0, missing: 0 })
  expect(first.account?.letters).toEqual([{ stage: 'contract', reason: 'out_of_range', letters: 0, readings: 0 }])
  const again = ask(decodeState(encodeState(state), WIDE.contracts), letter, WIDE)
  expect(again).toMatchObject({ lines: '', rollups: '', letters: [], account: { stored: 4, deadLettered: 0 } })
  expect(again.settlements).toMatchObject([{ outcome: 'settled_before' }])
})

test('what is refused again keeps its id with the reason of now, and can be requeued once more', () => {
  const { state, letters } = refusing([[level(0, 5_000), level(1_000, 50_000), level(2_000, 9_000)], [later]])
  const [letter] = letters as [DeadLetter]
  const first = ask(state, letter, WIDE)
  expect(first.account).toMatchObject({ produced: 4, stored: 3, deadLettered: 1 })
  expect(first.settlements).toMatchObject([{ outcome: 'stored', stored: 2, refused: 1, reason: 'out_of_range' }])
  const [left] = first.letters as [DeadLetter]
  expect(left).toMatchObject({
    id: letter.id,
    requeued: 1,
    reason: 'out_of_range',
    readingCount: 1,
    timeMs: START_MS + 1_000,
  })
  expect(JSON.parse(Buffer.from(left.original, 'base64').toString())).toEqual({
    times: [START_MS + 1_000],
    values: [50_000],
  })
  // The letter of before is over, however often somebody asks for it.
  expect(ask(state, letter, WIDE).account).toMatchObject({ stored: 3, deadLettered: 1 })
  const text = { ...wide.fields['mode'], label: 'Level' } as (typeof wide.fields)[string]
  const third = ask(state, left, contextOf([{ ...wide, fields: { ...wide.fields, level: text } }]))
  expect(third.settlements).toMatchObject([{ outcome: 'refused', stored: 0, refused: 1, reason: 'wrong_type' }])
  expect(third.letters).toMatchObject([{ id: letter.id, requeued: 2, reason: 'wrong_type', readingCount: 1 }])
  expect(third.account).toMatchObject({ stored: 3, deadLettered: 1 })
  expect(third.account?.letters).toContainEqual({ stage: 'contract', reason: 'wrong_type', letters: 1, readings: 1 })
})

test('one that is dropped stays counted, as dropped, and is never stored', () => {
  const { state, letters } = refusing([[level(0, 5_000)], [later]])
  const [letter] = letters as [DeadLetter]
  const dropped = ask(state, letter, WIDE, 'drop')
  expect(dropped.settlements).toMatchObject([{ outcome: 'dropped', refused: 1 }])
  expect(dropped.account).toMatchObject({ produced: 2, stored: 1, deadLettered: 1 })
  expect(dropped.account?.letters).toContainEqual({ stage: 'contract', reason: 'dropped', letters: 1, readings: 1 })
  expect(ask(state, letter, WIDE)).toMatchObject({ lines: '', settlements: [{ outcome: 'settled_before' }] })
})

test('a kind that had no contract: its device begins with the letter, its windows close though nobody is heard of again', () => {
  const { state, letters } = refusing(
    [[level(0, 5), level(1_000, 7)], [later]],
    contextOf([{ ...mixedContract, kind: 'other' }]),
  )
  expect(letters.map(({ reason }) => reason)).toEqual(['unknown_kind', 'unknown_kind'])
  const { lines, rollups, account } = ask(state, letters[0] as DeadLetter, WIDE)
  expect(lines.trim().split('\n')).toHaveLength(2)
  expect(rollups).toContain('level_count=2i')
  expect(account).toMatchObject({ produced: 3, stored: 2, deadLettered: 1 })
})

test('a step is judged by what the reading was compared with when it was refused', () => {
  const stepping = (largest_step: number) =>
    contextOf([
      contractSchema.parse({
        ...wide,
        interval: '1s',
        fields: { ...wide.fields, level: { ...wide.fields['level'], largest_step } },
      }),
    ])
  const { state, letters } = refusing(
    [[level(0, 10), level(1_000, 40), level(2_000, 41), level(3_000, 100)], [level(60_000, 101)]],
    stepping(5),
  )
  const [letter] = letters as [DeadLetter]
  expect(JSON.parse(Buffer.from(letter.original, 'base64').toString())).toMatchObject({
    values: [40, 100],
    before: [10, 41],
  })
  expect(ask(state, letter, stepping(5)).settlements).toMatchObject([
    { outcome: 'refused', refused: 2, reason: 'step_too_large' },
  ])
  const left = { ...letter, requeued: 1 }
  expect(ask(state, left, stepping(30)).settlements).toMatchObject([{ outcome: 'stored', stored: 1, refused: 1 }])
})

test('what came too soon is judged by the sample that it came after, and the interval of now', () => {
  const every = (interval: string) =>
    contextOf([contractSchema.parse({ ...wide, interval, policy: { interval: 'reject' } })])
  const { state, letters } = refusing([[level(0, 1), level(1_000, 2)], [level(1_300, 3)], [later]], every('10s'))
  expect(letters.map(({ reason, readingCount }) => [reason, readingCount])).toEqual([
    ['too_soon', 1],
    ['too_soon', 1],
  ])
  const answers = letters.map((letter) => ask(state, letter, every('2s')))
  expect(answers.map(({ settlements }) => settlements[0]?.stored)).toEqual([1, 1])
  const again = refusing([[level(0, 1), level(1_000, 2)], [later]], every('10s'))
  expect(ask(again.state, again.letters[0] as DeadLetter, every('4s'))).toMatchObject({
    lines: '',
    letters: [{ reason: 'too_soon', requeued: 1, detail: expect.stringContaining('interval of 4000 ms') }],
  })
})

test('later than memory: the readings are stored and their windows entered in dirty, not written from a part', () => {
  const context = contextOf([wide], { memoryMs: 20_000 })
  const tight = contextOf(undefined, { memoryMs: 20_000 })
  const { state, letters } = refusing([[level(0, 5_000), level(1, 2)], [level(600_000, 1)]], tight)
  const { lines, rollups, account } = ask(state, letters[0] as DeadLetter, context)
  expect([lines.trim().split('\n').length, rollups]).toEqual([1, ''])
  expect([...state.dirty.values()].map(({ widthMs, startMs }) => [widthMs, startMs])).toEqual([
    [10_000, START_MS],
    [60_000, START_MS],
  ])
  expect(account).toMatchObject({ produced: 3, stored: 3, deadLettered: 0 })
})

test('detectors see nothing of it, and no device counts as heard of', () => {
  const watched = contractSchema.parse({
    ...wide,
    interval: '1s',
    thresholds: [{ field: 'level', above: 100, severity: 'critical' }],
  })
  const { state, letters } = refusing([[level(0, 5_000)]])
  const context = contextOf([watched])
  const restored = decodeState(encodeState(state), context.contracts)
  const effects = createEffects()
  step(restored, requestOf(letters[0] as DeadLetter), context, effects)
  expect(effects).toMatchObject({ anomalies: [], transitions: [], sampleTimesMs: [], settlements: [{ stored: 1 }] })
})

test('a letter that nothing can be done for stays as it is, and the answer says why', () => {
  const { state, letters } = refusing([[level(0, 5_000)], [later]])
  const [letter] = letters as [DeadLetter]
  const before = Buffer.from(encodeState(state))
  for (const [change, why] of [
    [{ sequence: 7, id: `agent-a/${letter.epoch}/7/c0` }, 'has not received batch 7'],
    [{ epoch: 'ffffffffffffffff', id: 'agent-a/ffffffffffffffff/1/c0' }, 'does not keep the account of epoch'],
    [{ stage: 'edge' }, 'could not be read by the agent'],
    [{ stage: 'decode' }, 'could not be decoded'],
    [{ originalBytes: 99_999 }, 'of the original were kept'],
    [{ readingCount: 0 }, 'rolled up'],
    [{ original: Buffer.from('{"times":[1],"values":[1,2]}').toString('base64'), originalBytes: 28 }, 'cannot be read'],
    [
      {
        original: Buffer.from('{"times":[1,2],"values":[1,2]}').toString('base64'),
        originalBytes: 30,
        readingCount: 1,
      },
      'its original holds 2',
    ],
    [{ readingCount: 9 }, 'knows of 1 dead-lettered readings'],
  ] as const) {
    const { settlements, lines, letters: made } = ask(state, { ...letter, ...change } as DeadLetter, WIDE)
    expect(settlements, why).toMatchObject([{ outcome: 'unchanged', detail: expect.stringContaining(why) }])
    expect([lines, made]).toEqual(['', []])
    expect(Buffer.from(encodeState(state)).equals(before), why).toBe(true)
  }
  expect(ask(state, { ...letter, agent: 'agent-x' }, WIDE).settlements).toMatchObject([{ outcome: 'unchanged' }])
  expect(state.agents.size).toBe(1)
})

test('a request that is none, or for a letter of another agent, is refused with what to do', () => {
  const [letter] = refusing([[level(0, 5_000)]]).letters as [DeadLetter]
  const taken = (value: unknown, agent = 'agent-a') =>
    takeIn({
      subject: requeueSubject('workshop', agent),
      bytes: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
      streamSequence: 1,
      receivedAtMs: RECEIVED_AT_MS,
    })
  const request = { request: 'r', action: 'requeue', letter }
  expect(taken(request)).toMatchObject({ site: 'workshop', agent: 'agent-a', request })
  expect(taken(request, 'agent-b')).toMatchObject({ reason: 'bad_request', detail: expect.stringContaining('came as') })
  for (const bad of [
    '',
    '{',
    {},
    { ...request, action: 'burn' },
    { ...request, letter: { ...letter, readingCount: -1 } },
  ])
    expect(taken(bad)).toMatchObject({
      reason: 'bad_request',
      detail: expect.stringContaining('tributary dlq requeue'),
    })
  const state = stateFor(WIDE)
  const effects = createEffects()
  step(state, taken('{'), WIDE, effects)
  expect(effects.deadLetters).toMatchObject([{ stage: 'decode', reason: 'bad_request', readingCount: 0 }])
})

test('a line that InfluxDB refused goes again as the contract has it now', () => {
  const { state } = refusing([[level(0, 5)], [later]])
  const epoch = state.agents.get('workshop/agent-a')?.epochs.values().next().value
  if (!epoch) throw new Error('no epoch')
  epoch.stored -= 2
  epoch.deadLettered += 2
  const line = `mixed,device=pump-1,site=workshop count=5i,mode="a \\"b\\", c=1" ${START_MS}`
  const letter: DeadLetter = {
    ...(refusing([[level(0, 5_000)]]).letters[0] as DeadLetter),
    ...{ id: `agent-a/${epoch.epoch}/1/s0`, stage: 'store', reason: 'field_type_conflict', readingCount: 2, field: '' },
    ...{ original: Buffer.from(line).toString('base64'), originalBytes: line.length },
  }
  const count = { ...mixedContract.fields['level'], label: 'Count' } as (typeof wide.fields)[string]
  const context = contextOf([{ ...mixedContract, fields: { ...mixedContract.fields, count } }])
  const restored = decodeState(encodeState(state), context.contracts)
  const { lines, rollups, account } = ask(restored, letter, context)
  expect(lines).toBe(`${line.replace('5i', '5')}\n`)
  expect(rollups).toBe('')
  expect(account).toMatchObject({ produced: 2, stored: 2, deadLettered: 0 })
})

const under = (policy: object, fields: object = {}) =>
  contextOf([
    contractSchema.parse({ ...mixedContract, interval: '1s', policy, fields: { ...mixedContract.fields, ...fields } }),
  ])

test('a policy of now that marks or converts: what is counted as stored is what is written, with its mark', () => {
  const { state, letters } = refusing([[level(0, 5_000), level(1_000, '21.5'), level(2_000, 'n/a')], [later]])
  const lines = letters.map((letter) => ask(state, letter, under({ range: 'flag', type: 'flag' })).lines).join('')
  expect(lines.trimEnd().split('\n').sort()).toEqual([
    `mixed,device=pump-1,site=workshop level=21.5,contract_flags="level:wrong_type" ${START_MS + 1_000}`,
    `mixed,device=pump-1,site=workshop level=5000,contract_flags="level:out_of_range" ${START_MS}`,
  ])
  expect(state.contracts.flagged).toEqual({ out_of_range: 1, wrong_type: 1 })
  expect(accountOf(state, RECEIVED_AT_MS, 600_000)).toMatchObject([{ produced: 4, stored: 3, deadLettered: 1 }])
})

test('a field that a policy takes now beside the contract is stored in the type in which it came first', () => {
  const strange = (offsetMs: number, value: number | string) => ({
    timeMs: START_MS + offsetMs,
    values: { extra: value },
  })
  const { state, letters } = refusing([[strange(0, 7)], [strange(1_000, 'seven')], [later]])
  const answers = letters.map((letter) => ask(state, letter, under({ unknown_field: 'pass' })))
  expect(answers.map(({ lines }) => lines)).toEqual([`mixed,device=pump-1,site=workshop extra=7 ${START_MS}\n`, ''])
  expect(answers[1]?.settlements).toMatchObject([
    { outcome: 'refused', stored: 0, refused: 1, reason: 'unknown_field' },
  ])
  expect(answers[1]?.account).toMatchObject({ produced: 3, stored: 2, deadLettered: 1 })
  const lookAhead = takeExtrasInOrder()
  const foreseen = letters.map((letter) =>
    judgeLetter(letter, under({ unknown_field: 'pass' }).contracts, RECEIVED_AT_MS, lookAhead),
  )
  expect(foreseen).toMatchObject(answers.map(({ settlements: [s] }) => ({ stored: s?.stored, refused: s?.refused })))
})

test('what was refused of a field that is sensitive is not sent in again, in clear or hidden', () => {
  for (const sensitivity of ['mask', 'hash', 'drop']) {
    const { state, letters } = refusing([[level(0, 5_000)], [later]])
    const answer = ask(
      state,
      letters[0] as DeadLetter,
      under({}, { level: { type: 'float', label: 'Level', sensitivity } }),
    )
    expect(answer.lines + answer.rollups + JSON.stringify(answer.letters)).not.toContain('5000')
    expect(answer.settlements).toMatchObject([{ outcome: 'unchanged', stored: 0 }])
    expect(answer.account).toMatchObject({ produced: 2, stored: 1, deadLettered: 1 })
  }
})

test('a line that InfluxDB refused goes again with what stands instead of a sensitive value, never with what may be the value', () => {
  const sensitivity = 'hash'
  const context = under({}, { mode: { type: 'string', label: 'Mode', sensitivity } })
  const samples = [{ timeMs: START_MS, values: { mode: '507f1f77bcf86cd799439011' } }]
  const hidden = context.privacy.hide(blockOf('pump-1', 'mixed', samples)).columns[0]?.values[0] as string
  for (const [text, outcome] of [
    [hidden, 'stored'],
    ['507f1f77bcf86cd799439011', 'unchanged'],
  ] as const) {
    const { state } = refusing([samples, [later]], context)
    const epoch = state.agents.get('workshop/agent-a')?.epochs.values().next().value
    if (!epoch) throw new Error('no epoch')
    epoch.stored -= 1
    epoch.deadLettered += 1
    const line = `mixed,device=pump-1,site=workshop mode="${text}" ${START_MS}`
    const letter: DeadLetter = {
      ...(refusing([[level(0, 5_000)]]).letters[0] as DeadLetter),
      ...{ id: `agent-a/${epoch.epoch}/1/s0`, stage: 'store', reason: 'out_of_retention', readingCount: 1, field: '' },
      ...{ original: Buffer.from(line).toString('base64'), originalBytes: line.length },
    }
    const { lines, settlements } = ask(state, letter, context)
    expect([lines, settlements[0]?.outcome]).toEqual([outcome === 'stored' ? `${line}\n` : '', outcome])
  }
})
