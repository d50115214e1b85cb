/** A checkpoint from before there was a desk: an alert fires in it, and people were about to be told. */
import { readFile } from 'node:fs/promises'
import { contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { decodeState, encodeState } from './state-codec.ts'
import {
  askedOf,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  intakeOf,
  mixedContract,
  step,
} from './testing.ts'

const BEFORE_DESK = new URL('../fixtures/state-3-without-desk.bin', import.meta.url)
const START_MS = 1_767_225_600_000
const watched = contractSchema.parse({ ...mixedContract, interval: '1s', thresholds: [{ field: 'level', above: 10 }] })

test('is read: nobody becomes unreachable for it, and who was told of the alert is told its end', async () => {
  const context = contextOf([watched], { receivers: ['people'] })
  const state = decodeState(await readFile(BEFORE_DESK), context.contracts)
  const bytes = encodeState(state)
  expect(Buffer.from(encodeState(decodeState(bytes, context.contracts))).equals(bytes)).toBe(true)
  const [firing] = state.outbox.queues['people'] ?? []
  expect(firing?.key).toMatch(/\/firing$/)
  const effects = createEffects()
  const transitions: string[] = []
  const tick = (second: number, streamSequence: number) => {
    clearEffects(effects)
    step(state, askedOf('tick', { receivedAtMs: START_MS + second * 1_000, streamSequence }), context, effects)
    transitions.push(...effects.transitions.map((one) => `${one.state} ${one.device}`))
  }
  // It was never heard while anybody counted: it may have been gone for years.
  for (let i = 0; i < 60; i++) tick(5 + i * 5, 3 + i)
  expect(transitions).toEqual([])
  for (const [i, second] of [305, 365].entries()) {
    clearEffects(effects)
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs: START_MS + second * 1_000, values: { level: 5 } }])]
    const plan = { sequence: 3 + i, readingsBefore: 2 + i, completeThroughMs: START_MS + second * 1_000 + 1, blocks }
    step(state, intakeOf(batchOf(plan), { streamSequence: 70 + i }), context, effects)
  }
  expect(effects.transitions.map((one) => `${one.state} ${one.device}`)).toEqual(['resolved pump-1'])
  const keys = state.outbox.queues['people']?.map(({ key }) => key)
  expect(keys).toEqual([firing?.key, firing?.key.replace('firing', 'resolved')])
})
