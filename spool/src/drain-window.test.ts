import { expect, test } from 'vitest'
import { createDrainWindow } from './drain-window.ts'

/** Some rounds of acknowledgements, each after the same time, with the window always full. */
function opened(recordsMax = 100) {
  const window = createDrainWindow({ recordsMax })
  let nowMs = 0
  const round = (latencyMs: number, { full = true } = {}) => {
    const startedMs = nowMs
    nowMs += latencyMs
    for (let left = window.records; left > 0; left--) {
      if (full) window.wasFull()
      window.acknowledged(startedMs, nowMs, 'backlog')
    }
    return window.records
  }
  return { window, round, fail: () => window.failed(nowMs) }
}

test('it widens by one a round while acknowledgements are quick, up to its limit, and only when it was full', () => {
  const { round } = opened(6)
  expect([1, 2, 3].map(() => round(40))).toEqual([3, 4, 5])
  expect([1, 2, 3].map(() => round(40, { full: false }))).toEqual([5, 5, 5])
  expect([1, 2, 3].map(() => round(299))).toEqual([6, 6, 6])
})

test('it is halved when acknowledgements come late, and on failure, and is never below one', () => {
  const { window, round, fail } = opened()
  for (let i = 0; i < 14; i++) round(200)
  expect(window.records).toBe(16)
  // Three times the free way's 200 ms is not yet late.
  expect(round(590)).toBe(17)
  expect(round(700)).toBe(8)
  expect(round(700)).toBe(4)
  fail()
  expect(window.records).toBe(2)
  for (let i = 0; i < 4; i++) fail()
  expect(window.records).toBe(1)
})

test('what was sent under a wider window does not count against a narrower one', () => {
  const { window, round } = opened()
  for (let i = 0; i < 14; i++) round(200)
  round(2_000)
  expect(window.records).toBe(8)
  for (let i = 0; i < 16; i++) window.acknowledged(3_000, 5_000, 'backlog')
  expect(window.records).toBe(8)
})

test('a way that has become long is learned at a window of one', () => {
  const { window, round } = opened()
  for (let i = 0; i < 5; i++) round(10)
  for (let i = 0; i < 10; i++) round(800)
  expect(window.freeLatencyMs).toBeGreaterThan(300)
  for (let i = 0; i < 30; i++) round(800)
  expect(window.records).toBeGreaterThan(10)
})
