/** When windows of agents are written that are not there any more. */
import { expect, test } from 'vitest'
import {
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  intakeOf,
  RECEIVED_AT_MS,
  stateFor,
  step,
} from './testing.ts'

const T = 1_767_225_600_000

test('an agent that is gone holds back nobody, and its own windows are written as they stand, of every width', () => {
  const context = contextOf()
  const state = stateFor(context)
  const effects = createEffects()
  const give = (agent: string, sequence: number, seconds: number, receivedAtMs: number) => {
    clearEffects(effects)
    const completeThroughMs = T + seconds * 1_000 + 1
    const blocks = [blockOf(`pump-${agent}`, 'mixed', [{ timeMs: T + seconds * 1_000, values: { level: seconds } }])]
    const plan = {
      agent,
      epoch: agent.padStart(16, '0'),
      sequence,
      readingsBefore: sequence - 1,
      completeThroughMs,
      blocks,
    }
    step(state, intakeOf(batchOf(plan), { receivedAtMs: RECEIVED_AT_MS + receivedAtMs }), context, effects)
    return effects.rollups.bytes.toString('utf8', 0, effects.rollups.length).split('\n').slice(0, -1)
  }
  const ofB = (lines: string[]) => lines.filter((line) => line.includes('pump-b'))

  give('b', 1, 3, 0)
  for (let i = 1; i <= 3; i++) {
    const lines = give('a', i, i * 10, i * 15_000)
    expect(lines.filter((line) => line.startsWith('mixed_10s'))).toHaveLength(i === 1 ? 0 : 1)
    expect(ofB(lines)).toEqual([])
  }
  const gone = ofB(give('a', 4, 40, 61_000))
  expect(gone.map((line) => line.slice(0, line.indexOf(',')))).toEqual([
    'mixed_10s',
    'mixed_1m',
    'mixed_15m',
    'mixed_1h',
  ])
  for (const line of gone) expect(line).toMatch(/level_count=1i.*revision=0i/)
  expect(ofB(give('a', 5, 50, 90_000))).toEqual([])

  // It comes back: its windows go on, and close when it says so.
  expect(give('b', 2, 14, 100_000)).toEqual([])
  const closed = give('b', 3, 70, 110_000)
  expect(closed.filter((line) => line.startsWith('mixed_1m'))).toEqual([
    expect.stringMatching(/level_count=2i.*level_last=14.*revision=1i/),
  ])
})
