import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createGatherer } from './gather.ts'

function gathering(costMs: number) {
  const clock = createSimulatedClock()
  const stop = new AbortController()
  const done: number[] = []
  const failures: unknown[] = []
  const gatherer = createGatherer(
    async () => {
      done.push(clock.monotonicMs())
      await clock.sleep(costMs)
      if (done.length > 100) throw new Error('enough')
    },
    { clock, onFailure: () => failures.push('failed') },
  )
  const soon = () => gatherer.soon(stop.signal)
  return { clock, done, soon, stop, gatherer, failures }
}

test('what is asked for while it waits or goes on is done in one go, the last asking never without a doing after it', async () => {
  const { clock, done, soon, gatherer } = gathering(100)
  for (let i = 0; i < 1_000; i++) {
    soon()
    await clock.advance(5)
  }
  const lastAskedMs = clock.monotonicMs() - 5
  await clock.advance(5_000)
  await gatherer.ended()
  expect(done.length).toBeLessThan(8)
  expect(done.at(-1)).toBeGreaterThanOrEqual(lastAskedMs)
  await clock.advance(60_000)
  soon()
  await clock.advance(200)
  expect(done.at(-1)).toBe(clock.monotonicMs())
})

test('work that took long is not put off for long', async () => {
  const { clock, done, soon } = gathering(20_000)
  soon()
  await clock.advance(1_000)
  soon()
  await clock.advance(25_000)
  expect(done).toHaveLength(2)
})

test('what the work throws is thrown on, and ends it; an abort ends the waiting', async () => {
  const { clock, done, soon, gatherer, failures } = gathering(0)
  for (let i = 0; i <= 101; i++) {
    soon()
    await clock.advance(300)
  }
  expect([done.length, failures]).toEqual([101, ['failed']])
  await expect(gatherer.ended()).rejects.toThrow('enough')
  const other = gathering(0)
  other.soon()
  other.stop.abort()
  await other.gatherer.ended()
  expect(other.done).toEqual([])
})
