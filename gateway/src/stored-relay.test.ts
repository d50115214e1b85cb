import { createSimulatedClock } from '@tributary/runtime/testing'
import { afterEach, expect, test } from 'vitest'
import { EPOCHS_PER_AGENT_MAX } from './marks.ts'
import { createStoredRelay } from './stored-relay.ts'

const GATEWAY = 'feedfacecafebeef'
const [ONE, TWO] = ['00000000000000e1', '00000000000000e2'] as const
const ending: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

async function relayWith(known: Record<string, { epoch: string; storedThrough: number }> = {}) {
  const clock = createSimulatedClock()
  const told: [agent: string, epoch: string, sequence: number][] = []
  const connected = new Set<string>()
  const listening = new Set<string>()
  const relay = createStoredRelay({
    gatewayEpoch: GATEWAY,
    knownThrough: (agent) => known[agent],
    isConnected: (agent) => connected.has(agent),
    publish(agent, payload) {
      if (!listening.has(agent)) return false
      const { gatewayEpoch, epoch, sequence } = JSON.parse(payload)
      expect(gatewayEpoch).toBe(GATEWAY)
      told.push([agent, epoch, sequence])
      return true
    },
    clock,
  })
  await relay.start(AbortSignal.timeout(1_000))
  ending.push(() => relay.stop(AbortSignal.timeout(1_000)))
  return {
    relay,
    clock,
    connect(agent: string) {
      connected.add(agent)
      listening.add(agent)
      relay.subscribed(agent)
    },
    listening,
    take: async (ms = 1_000) => {
      await clock.advance(ms)
      return told.splice(0)
    },
  }
}

test('an agent is told within a second of its subscription, and then what moved, once a second', async () => {
  const { relay, connect, take } = await relayWith()
  relay.stored('pi-1', ONE, 5)
  expect(await take()).toEqual([])
  connect('pi-1')
  expect(await take()).toEqual([['pi-1', ONE, 5]])
  expect(await take(5_000)).toEqual([])
  for (let sequence = 6; sequence <= 50; sequence++) relay.stored('pi-1', ONE, sequence)
  relay.stored('pi-1', ONE, 20)
  expect(await take()).toEqual([['pi-1', ONE, 50]])
  connect('pi-1')
  expect(await take(), 'it knows nothing any more').toEqual([['pi-1', ONE, 50]])
})

test('each epoch has its own watermark; one of which nothing is known is told as 0 when a batch of it came', async () => {
  const { relay, connect, take } = await relayWith()
  connect('pi-1')
  relay.stored('pi-1', ONE, 70)
  relay.received('pi-1', TWO)
  relay.received('pi-1', TWO)
  expect(await take()).toEqual([
    ['pi-1', ONE, 70],
    ['pi-1', TWO, 0],
  ])
  relay.received('pi-1', TWO)
  expect(await take()).toEqual([])
})

test('after a restart it goes on with what the marks know', async () => {
  const { relay, connect, take } = await relayWith({ 'pi-1': { epoch: ONE, storedThrough: 12 } })
  connect('pi-1')
  expect(await take()).toEqual([['pi-1', ONE, 12]])
  relay.stored('pi-1', ONE, 10)
  expect(await take()).toEqual([])
})

test('one that cannot take a message now is told later; one that is away costs nothing', async () => {
  const { relay, connect, listening, take } = await relayWith()
  connect('pi-1')
  listening.delete('pi-1')
  relay.stored('pi-1', ONE, 3)
  relay.stored('pi-2', ONE, 3)
  expect(await take(3_000)).toEqual([])
  listening.add('pi-1')
  expect(await take()).toEqual([['pi-1', ONE, 3]])
})

test('epochs that were longest without news are forgotten', async () => {
  const { relay, connect, take } = await relayWith()
  const epochs = Array.from({ length: EPOCHS_PER_AGENT_MAX + 4 }, (_, i) => `${i}`.padStart(16, '0'))
  for (const epoch of epochs) relay.stored('pi-1', epoch, 1)
  connect('pi-1')
  expect((await take()).map(([, epoch]) => epoch)).toEqual(epochs.slice(4))
})
