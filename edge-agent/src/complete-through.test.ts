import { expect, test } from 'vitest'
import { createCompleteThrough, HOLD_MS_MAX } from './complete-through.ts'

test('follows the clock less the allowance, stands still while an input may bring older samples, and never moves back', () => {
  const promise = createCompleteThrough(1_000, 500_000)
  expect(promise.next(600_000, [], 'trusted')).toBe(599_000)
  expect(promise.next(601_000, [590_000], 'trusted')).toBe(599_000)
  expect(promise.next(602_000, [601_500, 602_500], 'trusted')).toBe(600_500)
  expect(promise.next(100, [], 'trusted')).toBe(600_500)
})

test('one input that is gone does not hold it for ever', () => {
  const promise = createCompleteThrough(1_000, 0)
  expect(promise.next(1_000_000, [0], 'trusted')).toBe(1_000_000 - HOLD_MS_MAX - 1_000)
})

test('begins where the spool says that it stood', () => {
  expect(createCompleteThrough(1_000, 700_000).next(600_000, [], 'trusted')).toBe(700_000)
})

test('a clock that is not trusted promises in its own time, and binds no promise of one that is', () => {
  const promise = createCompleteThrough(1_000, 500_000)
  expect(promise.next(9_000_000, [], 'untrusted')).toBe(8_999_000)
  expect(promise.next(8_000_000, [], 'untrusted')).toBe(8_999_000)
  promise.turned(600_000)
  expect(promise.next(601_000, [], 'trusted')).toBe(600_000)
})

test('inputs that spoke of before a turn hold the promise there for a while', () => {
  const promise = createCompleteThrough(1_000, 0)
  promise.turned(5_000_000)
  expect(promise.next(5_010_000, [30_000_000], 'trusted')).toBe(4_999_000)
  expect(promise.next(5_020_000, [], 'trusted')).toBe(5_019_000)
  expect(promise.next(5_000_000 + HOLD_MS_MAX, [5_055_000], 'trusted')).toBe(5_054_000)
})
