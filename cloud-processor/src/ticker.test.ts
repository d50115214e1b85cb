import type { JetStreamClient } from '@nats-io/jetstream'
import { createLogger } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { agentOf, createState } from './state.ts'
import { runTicks, TICK_EVERY_MS } from './ticker.ts'

/** One partition with an agent, and a stream that keeps its ticks until they are taken. */
function partition(ready = true) {
  const clock = createSimulatedClock()
  const stopping = new AbortController()
  const state = createState({ episodes: {}, digests: {}, suppressedTotal: 0 })
  agentOf(state, 'plant', 'pi-1')
  const loop = { partition: 12, ready, caughtUp: 1, state }
  const stream: number[] = []
  const client = { publish: async () => stream.push(clock.wallMs()) } as unknown as JetStreamClient
  const log = createLogger('test', 'silent')
  const running = runTicks(() => [loop], { client, clock, log }, stopping.signal)
  return {
    ...{ clock, loop, stream },
    take() {
      const tickedAtMs = stream.shift()
      if (tickedAtMs === undefined) throw new Error('no tick came')
      state.desk.tickedAtMs = tickedAtMs
    },
    async end() {
      stopping.abort()
      await running
    },
  }
}

test('a tick each five seconds, as long as they are taken', async () => {
  const p = partition()
  for (let i = 0; i < 10; i++) {
    await p.clock.advance(TICK_EVERY_MS)
    p.take()
  }
  await p.end()
})

test('a partition that stands still finds one tick when it goes on, not those of an hour', async () => {
  const p = partition()
  await p.clock.advance(3_600_000)
  expect(p.stream).toHaveLength(1)
  p.take()
  await p.clock.advance(TICK_EVERY_MS)
  expect(p.stream).toHaveLength(1)
  await p.end()
})

test('a tick that the stream has lost is not waited for', async () => {
  const p = partition()
  await p.clock.advance(TICK_EVERY_MS)
  p.stream.length = 0
  p.loop.caughtUp += 1
  await p.clock.advance(TICK_EVERY_MS)
  expect(p.stream).toHaveLength(1)
  await p.end()
})

test('a partition without agents, or that is being loaded, has none', async () => {
  const p = partition(false)
  await p.clock.advance(60_000)
  p.loop.ready = true
  p.loop.state.agents.clear()
  await p.clock.advance(60_000)
  expect(p.stream).toEqual([])
  await p.end()
})
