import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { afterEach, expect, test } from 'vitest'
import { enqueueAll, exampleTransition } from './example-notification.ts'
import type { Notifier } from './notifier.ts'
import { createOutbox, type Outbox, type OutboxDependencies } from './outbox.ts'
import { type OutboxState, settle, startOutbox } from './outbox-state.ts'
import { type Behaviour, type Receiver, startReceiver } from './receiver.ts'
import { webhookNotifier } from './webhook.ts'

const PATIENCE_MS = 15_000
let undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const one of undo.reverse()) await one()
  undo = []
})

async function receive(behave: (n: number) => Behaviour): Promise<Receiver> {
  const receiver = await startReceiver(behave)
  undo.push(receiver.close)
  return receiver
}
const webhook = (name: string, { url }: { url: string }) =>
  webhookNotifier({ name, url, timeoutMs: 300 }, { clock: systemClock })

async function startOutboxWith(notifiers: readonly Notifier[], given: Partial<OutboxDependencies> = {}) {
  const lines: Record<string, unknown>[] = []
  const log = createLogger('test', 'debug', { write: (line) => void lines.push(JSON.parse(line)) })
  const metrics = createMetrics('test')
  const backoff = { firstMs: 5, maxMs: 50 }
  const outbox = createOutbox(notifiers, { clock: systemClock, log, metrics, backoff, ...given })
  await outbox.start(AbortSignal.timeout(1_000))
  undo.push(() => outbox.stop(AbortSignal.timeout(1)))
  return { outbox, lines, metrics }
}
const state = (count: number, receivers: readonly string[], from = 0): OutboxState => {
  const fresh = startOutbox()
  for (let i = from; i < from + count; i++)
    enqueueAll(fresh, [exampleTransition({ episode: `e${i}`, atMs: systemClock.wallMs() })], receivers)
  return fresh
}
/** What the processor does: settles, saves, offers; until nothing waits. */
async function run(outbox: Outbox, into: OutboxState, done = () => Object.keys(into.queues).length === 0) {
  const untilMs = systemClock.monotonicMs() + PATIENCE_MS
  while (!done()) {
    if (systemClock.monotonicMs() > untilMs) throw new Error(`still waiting: ${JSON.stringify(outbox.status())}`)
    for (const one of outbox.takeSettled()) settle(into, one)
    outbox.offer(JSON.parse(JSON.stringify(into)))
    await systemClock.sleep(2)
  }
}
const keysOf = (receiver: Receiver) => receiver.taken.map(({ headers }) => headers['idempotency-key'])
const firing = (count: number) => [...Array(count).keys()].map((i) => `e${i}/firing`)

test('a receiver that fails two times of three gets everything, once, in order', async () => {
  const receiver = await receive((n) => (n % 3 === 0 ? { status: 503 } : n % 3 === 1 ? 'destroy' : { status: 200 }))
  const { outbox, lines } = await startOutboxWith([webhook('people', receiver)])
  const outgoing = state(30, ['people'])
  await run(outbox, outgoing)
  expect(keysOf(receiver)).toEqual(firing(30))
  expect(outgoing.counts['people']).toMatchObject({ enqueued: 30, delivered: 30 })
  expect(lines.filter(({ level }) => level === 'warn').length).toBe(60)
  expect(outbox.status()).toEqual([{ receiver: 'people', waiting: 0, failures: 0, lastError: '' }])
})

test('a dead receiver delays nobody else', async () => {
  const alive = await receive(() => ({ status: 200 }))
  const dead = await receive(() => 'hang')
  const { outbox } = await startOutboxWith([webhook('dead', dead), webhook('alive', alive)])
  const outgoing = state(50, ['dead', 'alive'])
  const fromMs = systemClock.monotonicMs()
  await run(outbox, outgoing, () => outgoing.counts['alive']?.delivered === 50)
  expect(keysOf(alive)).toEqual(firing(50))
  expect(dead.requests.length).toBeLessThanOrEqual(1 + (systemClock.monotonicMs() - fromMs) / 300)
  expect(outgoing.queues['dead']?.length).toBe(50)
})

test('what the receiver refuses for good is given up, said at error level, and the rest goes on', async () => {
  const receiver = await receive((n) => ({ status: n === 1 ? 400 : 200, body: n === 1 ? 'bad payload' : '' }))
  const { outbox, lines, metrics } = await startOutboxWith([webhook('people', receiver)])
  const outgoing = state(3, ['people'])
  await run(outbox, outgoing)
  expect(keysOf(receiver)).toEqual(['e0/firing', 'e2/firing'])
  expect(outgoing.counts['people']).toMatchObject({ delivered: 2, undeliverable: 1 })
  const [error] = lines.filter(({ level }) => level === 'error')
  expect(error).toMatchObject({ receiver: 'people', key: 'e1/firing' })
  expect(JSON.stringify(error)).toContain('answered 400: bad payload')
  expect(await metrics.registry.metrics()).toMatch(
    /tributary_notifications_total\{receiver="people",outcome="undeliverable",process="test"\} 1/,
  )
})

test('a token that has run out: said at error level, and everything is delivered once it is renewed', async () => {
  const receiver = await receive((n) => (n < 4 ? { status: n % 2 === 0 ? 401 : 403 } : { status: 200 }))
  const { outbox, lines } = await startOutboxWith([webhook('people', receiver)])
  const outgoing = state(3, ['people'])
  await run(outbox, outgoing)
  expect(keysOf(receiver)).toEqual(firing(3))
  expect(outgoing.counts['people']).toMatchObject({ delivered: 3, undeliverable: 0 })
  const errors = lines.filter(({ level }) => level === 'error')
  expect(errors).toHaveLength(4)
  expect(JSON.stringify(errors[0])).toContain('check url, headers and secret of notifier')
})

test('one notification that the receiver cannot digest keeps back its own episode only', async () => {
  const receiver = await startReceiver((_, { headers }) =>
    String(headers['idempotency-key']).startsWith('e0/') ? { status: 500 } : { status: 200 },
  )
  undo.push(receiver.close)
  const { outbox } = await startOutboxWith([webhook('people', receiver)])
  const outgoing = state(5, ['people'])
  enqueueAll(
    outgoing,
    [exampleTransition({ episode: 'e0', state: 'resolved', atMs: systemClock.wallMs() })],
    ['people'],
  )
  await run(outbox, outgoing, () => outgoing.counts['people']?.delivered === 4)
  expect(keysOf(receiver)).toEqual(firing(5).slice(1))
  expect(outgoing.queues['people']?.map(({ key }) => key)).toEqual(['e0/firing', 'e0/resolved'])
})

test('killed after delivery and before the checkpoint: sent again under the same key, and nothing is left out', async () => {
  const receiver = await receive(() => ({ status: 200 }))
  const saved = JSON.stringify(state(10, ['people']))
  const first = await startOutboxWith([webhook('people', receiver)])
  first.outbox.offer(JSON.parse(saved))
  while (receiver.taken.length < 4) await systemClock.sleep(1)
  await first.outbox.stop(AbortSignal.abort())
  const second = await startOutboxWith([webhook('people', receiver)])
  const restored: OutboxState = JSON.parse(saved)
  await run(second.outbox, restored)
  expect([...new Set(keysOf(receiver))]).toEqual(firing(10))
  expect(keysOf(receiver).length).toBeGreaterThan(10)
})

test('stopping lets out what is waiting, but does not wait for a dead receiver', async () => {
  const alive = await receive(() => ({ status: 200 }))
  const { outbox } = await startOutboxWith([webhook('alive', alive), webhook('dead', { url: 'http://127.0.0.1:1/' })])
  outbox.offer(state(20, ['alive', 'dead']))
  const fromMs = systemClock.monotonicMs()
  await outbox.stop(AbortSignal.timeout(PATIENCE_MS))
  expect(systemClock.monotonicMs() - fromMs).toBeLessThan(PATIENCE_MS / 2)
  expect(keysOf(alive)).toEqual(firing(20))
})

test('notifications for a receiver that is configured no more are given up, and said', async () => {
  const { outbox, lines } = await startOutboxWith([])
  const outgoing = state(2, ['former'])
  await run(outbox, outgoing)
  expect(outgoing.counts['former']).toMatchObject({ undeliverable: 2 })
  expect(lines.filter(({ level }) => level === 'error').length).toBe(2)
})

test('a receiver that is away for two days is told on its return; after seven it is given up', async () => {
  const clock = createSimulatedClock()
  let away = true
  const told: string[] = []
  let attempts = 0
  const people: Notifier = {
    name: 'people',
    async send({ key }) {
      attempts += 1
      if (away) throw new Error('nobody there')
      told.push(key)
      return 'taken'
    },
  }
  const { outbox } = await startOutboxWith([people], { clock, backoff: { firstMs: 1_000, maxMs: 300_000 } })
  const outgoing = startOutbox()
  enqueueAll(outgoing, [exampleTransition({ episode: 'e0', atMs: clock.wallMs() })], ['people'])
  outbox.offer(outgoing)
  await clock.advance(2 * 86_400_000)
  expect(outbox.status()).toEqual([{ receiver: 'people', waiting: 1, failures: attempts, lastError: 'nobody there' }])
  expect(attempts).toBeGreaterThan(500)
  expect(attempts).toBeLessThan(1_300)
  away = false
  await clock.advance(300_000)
  expect(told).toEqual(['e0/firing'])
  away = true
  enqueueAll(outgoing, [exampleTransition({ episode: 'e1', atMs: clock.wallMs() })], ['people'])
  outbox.offer(outgoing)
  await clock.advance(7 * 86_400_000 + 600_000)
  expect(outbox.takeSettled()).toEqual([
    { receiver: 'people', key: 'e0/firing', outcome: 'delivered' },
    { receiver: 'people', key: 'e1/firing', outcome: 'undeliverable' },
  ])
}, 120_000)
