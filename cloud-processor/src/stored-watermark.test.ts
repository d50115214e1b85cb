import { parseControlMessage, type StoredWatermarks, storedWatermarks } from '@tributary/protocol'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { receiveBatch } from './deduplicate.ts'
import { agentOf, EPOCHS_MAX, epochOf } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { createWatermarkPublisher } from './stored-watermark.ts'
import { contextOf, stateFor } from './testing.ts'

const MISSING_AFTER_MS = 600_000
const epochNamed = (n: number) => String(n).padStart(16, '0')

function publisherWith() {
  const clock = createSimulatedClock()
  const context = contextOf()
  const state = stateFor(context)
  const agent = agentOf(state, 'hall', 'pi-1')
  const receive = (epoch: string, ...sequences: number[]) => {
    const found = epochOf(agent, epoch)
    const moment = { atMs: clock.wallMs(), patienceMs: clock.wallMs() }
    for (const sequence of sequences) {
      const place = { sequence, readingCount: 2, readingsTotal: 2 * sequence, completeThroughMs: 0 }
      if (found) receiveBatch(found.sequences, place, moment)
      if (found) found.lastReceivedAtMs = clock.wallMs()
    }
  }
  const said = (of = state, all = true) => {
    const watermarks: StoredWatermarks['watermarks'][number][] = []
    const take = (_subject: string, bytes: Uint8Array) =>
      watermarks.push(...(parseControlMessage(storedWatermarks, bytes)?.watermarks ?? []))
    createWatermarkPublisher(take, { clock, missingAfterMs: MISSING_AFTER_MS }).publish(of, all)
    return watermarks
  }
  return { clock, context, state, receive, said }
}

test('what is stored beyond a gap that may never close is said once the gap counts as missing', async () => {
  const { clock, receive, said } = publisherWith()
  receive(epochNamed(1), 1, 2, 3, 7, 8)
  expect(said()).toMatchObject([{ sequence: 3 }])
  expect(said()[0]?.beyond).toBeUndefined()
  await clock.advance(MISSING_AFTER_MS)
  receive(epochNamed(1), 9, 20)
  expect(said()).toMatchObject([{ sequence: 3, beyond: [[7, 9]] }])
  await clock.advance(MISSING_AFTER_MS)
  expect(said()).toMatchObject([
    {
      sequence: 3,
      beyond: [
        [7, 9],
        [20, 20],
      ],
    },
  ])
  receive(epochNamed(1), 4, 5, 6)
  expect(said()).toMatchObject([{ sequence: 9, beyond: [[20, 20]] }])
})

test('an epoch whose beginning is gone says what is there; of very many ranges the lowest', async () => {
  const { clock, receive, said } = publisherWith()
  for (let sequence = 5; sequence < 60; sequence += 2) receive(epochNamed(1), sequence)
  await clock.advance(MISSING_AFTER_MS)
  const [watermark] = said()
  expect(watermark?.sequence).toBe(0)
  expect(watermark?.beyond).toEqual([5, 7, 9, 11, 13, 15, 17, 19].map((n) => [n, n]))
})

test('of an epoch that was folded before anybody was told, the watermark is said all the same, also after a restart', async () => {
  const { clock, context, state, receive, said } = publisherWith()
  for (let n = 1; n <= EPOCHS_MAX + 2; n++) {
    receive(epochNamed(n), 1, 2, 3, 7, 8)
    await clock.advance(10)
  }
  const all = Array.from({ length: EPOCHS_MAX + 2 }, (_, i) => ({ epoch: epochNamed(i + 1), sequence: 3 }))
  for (const watermarks of [said(), said(decodeState(encodeState(state), context.contracts))])
    expect(watermarks.map(({ epoch, sequence }) => ({ epoch, sequence }))).toEqual(all)
  expect(said()[0]?.beyond, 'nobody waits for its gaps any more').toEqual([[7, 8]])
})
