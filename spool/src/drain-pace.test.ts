import { expect, test } from 'vitest'
import { createDrainPace, DRAIN_SECONDS_MAX } from './drain-pace.ts'

test('the time to drain is told from the pace of the last seconds', () => {
  const pace = createDrainPace()
  expect(pace.drainSeconds(100)).toBe(0)
  for (let second = 0; second < 10; second++) pace.note(second * 1_000, second * 12, 1_000 + second * 2)
  expect(pace.drainSeconds(100)).toBe(10)
  expect(pace.drainSeconds(20)).toBe(0)
  for (let second = 10; second < 40; second++) pace.note(second * 1_000, 108, 1_000 + second * 2)
  expect(pace.drainSeconds(100)).toBe(DRAIN_SECONDS_MAX)
})

test('after an outage it is told from what is sent since, and nothing is told before something is known', () => {
  const pace = createDrainPace()
  for (let second = 0; second < 60; second++) pace.note(second * 1_000, 0, second)
  expect(pace.drainSeconds(60)).toBe(DRAIN_SECONDS_MAX)
  pace.forget()
  expect(pace.drainSeconds(60)).toBe(0)
  for (let second = 60; second < 65; second++) pace.note(second * 1_000, (second - 60) * 6, second)
  expect(pace.drainSeconds(50)).toBe(10)
})
