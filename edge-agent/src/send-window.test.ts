import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createDrainPace, DRAIN_SECONDS_MAX } from './drain-pace.ts'
import { createSendWindow } from './send-window.ts'

function windowOf(inFlightMax: number) {
  const clock = createSimulatedClock()
  const sent: [number, number, number][] = []
  const window = createSendWindow({ clock, inFlightMax, answerMsMax: 10_000, onSent: (...told) => sent.push(told) })
  return { clock, sent, window }
}

test('moves on only over what was answered without a gap, in the order of sending', () => {
  const { sent, window } = windowOf(10)
  const [one, two, five] = [window.sent(1, 10), window.sent(2, 20), window.sent(5, 50)] as const
  two()
  five()
  expect(sent).toEqual([])
  one()
  expect(sent).toEqual([[5, 3, 80]])
  expect(window.size).toBe(0)
})

test('gives room again when the oldest is answered', async () => {
  const { window } = windowOf(2)
  const answer = window.sent(1, 1)
  window.sent(2, 1)
  let hasRoom = false
  const waiting = window.room().then(() => {
    hasRoom = true
  })
  await Promise.resolve()
  expect(hasRoom).toBe(false)
  answer()
  await waiting
  expect(hasRoom).toBe(true)
})

test('an answer that does not come in time ends it; one that comes after the end counts for nothing', async () => {
  const { clock, sent, window } = windowOf(2)
  const first = window.sent(1, 1)
  await clock.advance(9_000)
  first()
  const late = window.sent(2, 1)
  let ended: Error | undefined
  window.overdue.catch((error: Error) => {
    ended = error
  })
  await clock.advance(9_999)
  expect(ended).toBeUndefined()
  await clock.advance(2)
  expect(ended?.message).toBe('no answer to batch 2 within 10000 ms')
  window.close()
  late()
  expect(sent).toEqual([[1, 1, 1]])
})

test('the time to drain is told from the pace of the last seconds', () => {
  const pace = createDrainPace()
  expect(pace.drainSeconds(100)).toBe(0)
  for (let second = 0; second < 10; second++) pace.note(second * 1_000, second * 12, 1_000 + second * 2)
  expect(pace.drainSeconds(100)).toBe(10)
  expect(pace.drainSeconds(20)).toBe(0)
  for (let second = 10; second < 40; second++) pace.note(second * 1_000, 108, 1_000 + second * 2)
  expect(pace.drainSeconds(100)).toBe(DRAIN_SECONDS_MAX)
})
