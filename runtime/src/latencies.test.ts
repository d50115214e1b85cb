import { expect, test } from 'vitest'
import { createLatencies, createStage } from './latencies.ts'

test('quantiles are of what was added, take begins anew', () => {
  const latencies = createLatencies()
  expect(latencies.quantile(0.5)).toBeUndefined()
  expect(latencies.take()).toEqual({ p50: undefined, p99: undefined })
  for (let i = 100; i >= 1; i--) latencies.add(i)
  expect(latencies.quantile(0.5)).toBe(51)
  expect(latencies.take()).toEqual({ p50: 51, p99: 100 })
  latencies.add(-3)
  expect(latencies.take()).toEqual({ p50: 0, p99: 0 })
})

test('beyond the limit the newest count', () => {
  const latencies = createLatencies()
  for (let i = 0; i < 10_000; i++) latencies.add(i)
  expect(latencies.quantile(0)).toBe(10_000 - 4_096)
  expect(latencies.quantile(1)).toBe(9_999)
})

test('a stage measures what began and ended, once each, and nothing that left', () => {
  const stage = createStage()
  stage.began(1, 100)
  stage.began(2, 100)
  stage.began(3, 100)
  stage.ended(1, 130)
  stage.ended(1, 900)
  stage.left(2)
  stage.ended(2, 900)
  stage.ended(7, 900)
  expect(stage.take()).toEqual({ p50: 30, p99: 30 })
  stage.ended(3, 150)
  expect(stage.take()).toEqual({ p50: 50, p99: 50 })
})

test('of more than is kept under way the ones that began first are not measured', () => {
  const stage = createStage()
  for (let key = 0; key < 5_000; key++) stage.began(key, key)
  for (let key = 0; key < 5_000; key++) stage.ended(key, key < 904 ? 1_000_000 : key + 5)
  expect(stage.take()).toEqual({ p50: 5, p99: 5 })
})
