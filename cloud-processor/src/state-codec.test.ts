import { readFile } from 'node:fs/promises'
import type { DeadLetter } from '@tributary/protocol'
import { UserError } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { decodeState, encodeState } from './state-codec.ts'
import {
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  EPOCH,
  intakeOf,
  mixedContract,
  RECEIVED_AT_MS,
  requestOf,
  stateFor,
  step,
} from './testing.ts'

/** Written by the program that had version 1: 31 batches of agent-a, two of them missing, one shed, one reading refused. */
const VERSION_1 = new URL('../fixtures/state-1.bin', import.meta.url)
const START_MS = 1_767_225_600_000

test('a checkpoint of version 1 is read: the account is what it was, and goes on to the reading', async () => {
  const context = contextOf()
  const state = decodeState(await readFile(VERSION_1), context.contracts)
  const [before] = accountOf(state, RECEIVED_AT_MS, 600_000)
  expect(before).toMatchObject({
    agent: 'agent-a',
    produced: 155,
    stored: 139,
    deadLettered: 1,
    shed: 5,
    inFlight: 10,
    gaps: [{ fromSequence: 12, toSequence: 13, readings: 10, missing: false }],
    shedReasons: [{ reason: 'other', readings: 5 }],
  })
  expect(accountOf(state, RECEIVED_AT_MS + 600_000, 600_000)[0]).toMatchObject({ missing: 10, inFlight: 0 })
  const effects = createEffects()
  for (const sequence of [12, 13]) {
    clearEffects(effects)
    const values = { level: sequence, count: sequence, running: true, mode: 'on', sequence }
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs: START_MS + sequence * 1_000, values }])]
    step(state, intakeOf(batchOf({ sequence, readingsBefore: (sequence - 1) * 5, blocks })), context, effects)
  }
  const [after] = accountOf(state, RECEIVED_AT_MS, 600_000)
  expect(after).toMatchObject({
    produced: 155,
    stored: 149,
    deadLettered: 1,
    shed: 5,
    inFlight: 0,
    missing: 0,
    gaps: [],
  })
  expect(state.agents.get('workshop/agent-a')?.epochs.get(EPOCH)?.sequences.runs).toHaveLength(1)
})

/** Written before letters could be requeued: 20 batches of agent-a, one reading of sequence 5 refused. */
const WITHOUT_SETTLED = new URL('../fixtures/state-2-without-settled.bin', import.meta.url)

test('a checkpoint from before letters could be requeued is read, and its letters can be', async () => {
  const { level } = mixedContract.fields
  const wide = { ...level, range: [-9_000, 9_000] } as NonNullable<typeof level>
  const context = contextOf([{ ...mixedContract, fields: { ...mixedContract.fields, level: wide } }])
  let state = decodeState(await readFile(WITHOUT_SETTLED), context.contracts)
  expect(accountOf(state, RECEIVED_AT_MS, 600_000)).toMatchObject([{ produced: 100, stored: 99, deadLettered: 1 }])
  const original = Buffer.from('{"times":[1767225605000],"values":[5000],"sequences":[5]}')
  const letter: DeadLetter = {
    id: `agent-a/${EPOCH}/5/c0`,
    ...{ stage: 'contract', reason: 'out_of_range', detail: '', site: 'workshop', agent: 'agent-a', epoch: EPOCH },
    ...{ sequence: 5, device: 'pump-1', kind: 'mixed', field: 'level', timeMs: 1_767_225_605_000, refusedAtMs: 0 },
    ...{ readingCount: 1, original: original.toString('base64'), originalBytes: original.length },
  }
  for (let i = 0; i < 2; i++) {
    step(state, requestOf(letter), context, createEffects())
    expect(accountOf(state, RECEIVED_AT_MS, 600_000)).toMatchObject([{ produced: 100, stored: 100, deadLettered: 0 }])
    state = decodeState(encodeState(state), context.contracts)
  }
})

/** Written by the program that had version 2: 95 seconds of agent-a, window of ten seconds and a minute open. */
const VERSION_2 = new URL('../fixtures/state-2.bin', import.meta.url)

test('a checkpoint of version 2 is read: open windows go on, wider ones that began before it are left to the store', async () => {
  const context = contextOf()
  const state = decodeState(await readFile(VERSION_2), context.contracts)
  const effects = createEffects()
  let rollups = ''
  for (let sequence = 96; sequence <= 7_300; sequence++) {
    clearEffects(effects)
    const timeMs = START_MS + sequence * 1_000
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs, values: { level: sequence % 1_000 } }])]
    const plan = { sequence, readingsBefore: 95 * 5 + sequence - 96, completeThroughMs: timeMs, blocks }
    step(state, intakeOf(batchOf(plan), { streamSequence: sequence }), context, effects)
    rollups += effects.rollups.bytes.toString('utf8', 0, effects.rollups.length)
  }
  const find = (width: string, startMs: number) =>
    rollups.split('\n').filter((line) => line.startsWith(`mixed_${width},`) && line.endsWith(` ${startMs}`))
  expect(find('10s', START_MS + 90_000)).toEqual([
    expect.stringMatching(/level_mean=94.5,.*level_count=10i,.*level_p99=99,level_sketched=4i,.*revision=0i/),
  ])
  expect(find('1m', START_MS + 60_000)).toEqual([
    expect.stringMatching(/level_mean=89.5,level_min=60,level_max=119,level_count=60i,.*level_sketched=24i/),
  ])
  expect(find('1m', START_MS + 120_000)).toEqual([
    expect.stringMatching(/level_count=60i,.*level_last=179,level_p50=1[45]\d(\.\d+)?,level_p95/),
  ])
  expect([...find('15m', START_MS), ...find('1h', START_MS)]).toEqual([])
  expect([...state.dirty.values()].map(({ widthMs, startMs }) => [widthMs, startMs - START_MS])).toEqual([
    [900_000, 0],
    [3_600_000, 0],
  ])
  expect(find('15m', START_MS + 900_000)).toEqual([expect.stringMatching(/level_count=900i/)])
  expect(find('1h', START_MS + 3_600_000)).toEqual([expect.stringMatching(/level_count=3600i/)])
})

test('widths that a contract has no more, or has anew, begin after what is known; narrower ones go on', () => {
  const before = contextOf()
  const state = stateFor(before)
  const effects = createEffects()
  const give = (context: typeof before, target: typeof state, sequence: number, seconds: number) => {
    clearEffects(effects)
    const timeMs = START_MS + seconds * 1_000
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs, values: { level: 1 } }])]
    const plan = { sequence, readingsBefore: sequence - 1, completeThroughMs: timeMs, blocks }
    step(target, intakeOf(batchOf(plan)), context, effects)
    return effects.rollups.bytes.toString('utf8', 0, effects.rollups.length)
  }
  give(before, state, 1, 5)
  give(before, state, 2, 65)
  const after = contextOf([{ ...mixedContract, windows: [10_000, 300_000] }])
  const restored = decodeState(encodeState(state), after.contracts)
  expect(give(after, restored, 3, 310)).toMatch(/^mixed_10s,[^\n]*level_count=1i[^\n]* \d+60000\n$/)
  expect([...restored.dirty.values()].map(({ widthMs, startMs }) => [widthMs, startMs])).toEqual([[300_000, START_MS]])
  expect(give(after, restored, 4, 650)).toMatch(/mixed_5m,[^\n]*level_count=1i/)
})

test('a state comes back from its bytes as it was', async () => {
  const context = contextOf()
  const state = decodeState(await readFile(VERSION_1), context.contracts)
  expect(decodeState(encodeState(state), context.contracts)).toEqual(state)
})

test('windows that were opened in any order stay open in the order of time, before and after a restart', () => {
  const count = { ...mixedContract.fields['count'], role: 'counter' as const }
  const context = contextOf([{ ...mixedContract, fields: { ...mixedContract.fields, count } as never }])
  const state = stateFor(context)
  for (const [i, seconds] of [400, 0, 200].entries()) {
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs: START_MS + seconds * 1_000, values: { count: seconds } }])]
    const plan = { sequence: i + 1, readingsBefore: i, completeThroughMs: START_MS, blocks }
    step(state, intakeOf(batchOf(plan)), context, createEffects())
  }
  const restored = decodeState(encodeState(state), context.contracts)
  for (const { agents } of [state, restored]) {
    const [narrowest] = agents.get('workshop/agent-a')?.series[0]?.windows ?? []
    expect(narrowest?.open.map(({ startMs }) => startMs - START_MS)).toEqual([0, 200_000, 400_000])
  }
})

test('a version of the future is refused with what to do', async () => {
  const bytes = Uint8Array.from(await readFile(VERSION_1))
  new DataView(bytes.buffer).setUint32(4, 99, true)
  const decode = () => decodeState(bytes, contextOf().contracts)
  expect(decode).toThrow(UserError)
  expect(decode).toThrow('version 99; this program reads 1 to 3')
})
