import { createMetrics } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { afterEach, expect, test } from 'vitest'
import { createStreamPace, HOLD_MS_MAX, MESSAGES_FREE, type StreamDepth } from './stream-pace.ts'

const ending: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

/** A stream that a processor empties at its pace, on a simulated clock. */
async function streamWith(batchesPerSecond: number) {
  const clock = createSimulatedClock()
  const stream = { published: 0, taken: 0, batchesPerSecond, reachable: true, looks: 0 }
  const depth = async (): Promise<StreamDepth | undefined> => {
    stream.looks += 1
    return stream.reachable ? { waiting: stream.published - stream.taken, lastSequence: stream.published } : undefined
  }
  const pace = createStreamPace(depth, { clock, metrics: createMetrics('gateway') })
  await pace.start(AbortSignal.timeout(1_000))
  ending.push(() => pace.stop(AbortSignal.timeout(1_000)))
  return {
    pace,
    clock,
    stream,
    publish(count: number) {
      for (let i = 0; i < count; i++) pace.published()
      stream.published += count
    },
    async pass(ms: number) {
      for (let at = 0; at < ms; at += 100) {
        const done = Math.min(stream.published - stream.taken, stream.batchesPerSecond / 10)
        stream.taken += Math.floor(done)
        await clock.advance(100)
      }
    },
  }
}
/** Publishes whatever it is allowed to, for some seconds. @returns the most that waited in the stream after the first seconds */
async function drain(setup: Awaited<ReturnType<typeof streamWith>>, seconds: number): Promise<number> {
  let most = 0
  for (let tenth = 0; tenth < seconds * 10; tenth++) {
    for (let i = 0; i < 1_000 && setup.pace.mayDrain(); i++) setup.publish(1)
    await setup.pass(100)
    if (tenth > 50) most = Math.max(most, setup.stream.published - setup.stream.taken)
  }
  return most
}

test('a backlog keeps a processor busy, and what is live waits half a second behind it, little more', async () => {
  const setup = await streamWith(500)
  const most = await drain(setup, 30)
  expect(setup.stream.taken).toBeGreaterThan(500 * 25)
  expect(most / 500).toBeLessThan(0.8)
})

test('the pace follows a processor that becomes slower', async () => {
  const setup = await streamWith(2_000)
  await drain(setup, 10)
  setup.stream.batchesPerSecond = 200
  await drain(setup, 40)
  const most = await drain(setup, 10)
  expect(most / 200).toBeLessThan(3)
})

test('nothing is acknowledged: a few go on, the rest waits, until there is a processor again', async () => {
  const setup = await streamWith(0)
  await drain(setup, 10)
  expect(setup.stream.published).toBeLessThanOrEqual(MESSAGES_FREE + 1)
  expect(setup.pace.mayDrain()).toBe(false)
  setup.stream.batchesPerSecond = 300
  await setup.pass(3_000)
  expect(setup.pace.mayDrain()).toBe(true)
})

test('a PUBACK of backlog is held for a second at most, and goes when the stream keeps up', async () => {
  const setup = await streamWith(0)
  const { pace, clock } = setup
  let went = 0
  const hold = (bytes = 1_000) => void pace.holdBack(bytes).then(() => went++)
  hold()
  await clock.advance(0)
  expect(went, 'nothing known against it').toBe(1)
  setup.publish(1_000)
  await setup.pass(2_000)
  hold()
  hold()
  await clock.advance(HOLD_MS_MAX - 10)
  expect(went).toBe(1)
  expect(pace.held).toBe(2)
  await clock.advance(10)
  expect(went).toBe(3)

  hold()
  setup.stream.taken = setup.stream.published
  pace.mayDrain()
  await clock.advance(1_000)
  expect(went).toBe(4)
})

test('held batches take so much memory and no more: the one held longest goes', async () => {
  const setup = await streamWith(0)
  setup.publish(1_000)
  setup.pace.mayDrain()
  await setup.pass(1_000)
  const went: number[] = []
  for (let i = 0; i < 40; i++) void setup.pace.holdBack(1024 * 1024).then(() => went.push(i))
  await setup.clock.advance(0)
  expect(setup.pace.held).toBe(16)
  expect(went).toEqual(Array.from({ length: 24 }, (_, i) => i))
})

test('a stream that cannot be asked, or that was made anew, holds nobody back; without a backlog nobody asks', async () => {
  const setup = await streamWith(0)
  setup.publish(1_000)
  setup.pace.mayDrain()
  await setup.pass(2_000)
  expect(setup.pace.mayDrain()).toBe(false)
  setup.stream.reachable = false
  await setup.pass(1_100)
  expect(setup.pace.mayDrain()).toBe(true)
  setup.stream.reachable = true
  Object.assign(setup.stream, { published: 3, taken: 0 })
  await setup.pass(1_100)
  expect(setup.pace.mayDrain()).toBe(true)
  await setup.pass(10_000)
  const before = setup.stream.looks
  await setup.pass(5_000)
  expect(setup.stream.looks).toBe(before)
})
