import { createSimulatedClock } from '@tributary/runtime/testing'
import { describe, expect, test } from 'vitest'
import { createLatencyObserver, weightedQuantile } from './latency.ts'

describe('weightedQuantile', () => {
  test('counts each entry by its weight', () => {
    const entries = [
      { latencyMs: 100, weight: 98 },
      { latencyMs: 900, weight: 1 },
      { latencyMs: 500, weight: 1 },
    ]
    expect(weightedQuantile(entries, 0.5)).toBe(100)
    expect(weightedQuantile(entries, 0.99)).toBe(500)
    expect(weightedQuantile(entries, 1)).toBe(900)
    expect(weightedQuantile([], 0.5)).toBeUndefined()
  })
})

describe('latency observer', () => {
  test('counts what became visible between two looks as seen at the later one', async () => {
    const clock = createSimulatedClock(1_000_000)
    let newest = [999_000, 1]
    const answer = async () => [{ name: 'climate', tags: { device: 'a' }, columns: ['time', 'last'], values: [newest] }]
    const query = Object.assign(answer, { close: async () => undefined })
    const observer = createLatencyObserver(query, ['climate'], clock)
    const stop = new AbortController()
    const running = observer.run(stop.signal)
    await clock.advance(100)
    newest = [1_000_000, 11]
    await clock.advance(200)
    stop.abort()
    await running
    // ten samples at 999.1 … 1000.0 s, all seen at 1000.2 s
    expect(observer.quantile(0)).toBe(200)
    expect(observer.quantile(0.5)).toBe(600)
    expect(observer.quantile(1)).toBe(1_100)
    expect(observer.newest.get('a')).toEqual({ sequence: 11, timeMs: 1_000_000 })
  })

  test('what is measured behind a pause is not spread over the pause', async () => {
    const clock = createSimulatedClock(1_000_000)
    let newest = [999_000, 1]
    const answer = async () => [{ name: 'climate', tags: { device: 'a' }, columns: ['time', 'last'], values: [newest] }]
    const query = Object.assign(answer, { close: async () => undefined })
    const observer = createLatencyObserver(query, ['climate'], clock)
    const stop = new AbortController()
    const running = observer.run(stop.signal)
    await clock.advance(100)
    newest = [1_000_000, 11]
    await clock.advance(29_900)
    // Nothing was measured for 29 s, then three samples 100 ms apart.
    newest = [1_029_900, 14]
    await clock.advance(200)
    stop.abort()
    await running
    expect(observer.quantile(1)).toBe(1_100)
  })
})
