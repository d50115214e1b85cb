import { readFile } from 'node:fs/promises'
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
  RECEIVED_AT_MS,
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

test('a state comes back from its bytes as it was', async () => {
  const context = contextOf()
  const state = decodeState(await readFile(VERSION_1), context.contracts)
  expect(decodeState(encodeState(state), context.contracts)).toEqual(state)
})

test('a version of the future is refused with what to do', async () => {
  const bytes = Uint8Array.from(await readFile(VERSION_1))
  new DataView(bytes.buffer).setUint32(4, 99, true)
  const decode = () => decodeState(bytes, contextOf().contracts)
  expect(decode).toThrow(UserError)
  expect(decode).toThrow('version 99; this program reads 1 to 2')
})
