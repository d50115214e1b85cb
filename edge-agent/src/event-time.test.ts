import { createSimulatedClock } from '@tributary/runtime/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createEventTime, eventClock, FOLLOW_BACK_MS } from './event-time.ts'

test('event time does not run backwards while it follows measurements, and comes to what they say', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: -900, max: 900 })), { maxLength: 100 }),
      (steps) => {
        const eventTime = createEventTime({ offsetMs: 1_000_000, quality: 'trusted' })
        let nowMs = 0
        let beforeMs = eventTime.at(nowMs)
        let { offsetMs } = eventTime.timeline
        for (const [elapsedMs, changeMs] of steps) {
          nowMs += elapsedMs
          expect(eventTime.at(nowMs)).toBeGreaterThanOrEqual(beforeMs)
          offsetMs += changeMs
          beforeMs = eventTime.at(nowMs)
          eventTime.follow(offsetMs, nowMs)
          expect(eventTime.at(nowMs)).toBeGreaterThanOrEqual(beforeMs)
        }
        expect(eventTime.at(nowMs + 1_000_000)).toBe(nowMs + 1_000_000 + offsetMs)
      },
    ),
  )
})

test('a clock that was ahead by more than a minute is followed back', () => {
  const eventTime = createEventTime({ offsetMs: 10_000_000, quality: 'trusted' })
  eventTime.follow(10_000_000 - FOLLOW_BACK_MS, 500)
  expect(eventTime.at(600)).toBe(10_000_500)
  eventTime.follow(0, 700)
  expect(eventTime.at(800)).toBe(800)
})

test('a turn is told before it happens', () => {
  const eventTime = createEventTime({ offsetMs: 100, quality: 'untrusted' })
  const told: unknown[] = []
  eventTime.onTurn((...what) => told.push([...what, eventTime.timeline.offsetMs]))
  eventTime.turn({ offsetMs: 5_000, quality: 'trusted' }, 10)
  expect(told).toEqual([[4_900, 5_010, 100]])
  expect(eventTime.at(20)).toBe(5_020)
})

test('inputs stamp by it, and do not notice a wall clock that jumps', async () => {
  const clock = createSimulatedClock(0)
  const arrivals = eventClock(clock, createEventTime({ offsetMs: 7_000, quality: 'trusted' }))
  await clock.advance(5)
  clock.setWall(Date.UTC(2030, 0, 1))
  expect([arrivals.wallMs(), arrivals.monotonicMs()]).toEqual([7_005, 5])
})
