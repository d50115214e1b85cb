/** Receivers that forget, receivers that fail, and time that receivers ask for. */
import { createLogger, createMetrics, type Metrics, PermanentError } from '@tributary/runtime'
import { createSimulatedClock, type SimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { enqueueAll, exampleTransition } from './example-notification.ts'
import { type Notification, type Notifier, RetryLaterError } from './notifier.ts'
import { createOutbox } from './outbox.ts'
import { forgetStanding, type OutboxState, settle, startOutbox } from './outbox-state.ts'
import { createReceiverWatch } from './receiver-watch.ts'

const MINUTE = 60_000

function world(notifiers: readonly Notifier[], clock: SimulatedClock, metrics: Metrics = createMetrics('test')) {
  const lines: Record<string, unknown>[] = []
  const log = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line)) })
  const watch = createReceiverWatch({ clock, log, metrics })
  const outbox = createOutbox(notifiers, { clock, log, metrics, watch })
  const state = startOutbox()
  const receivers = notifiers.map(({ name }) => name)
  return {
    state,
    outbox,
    watch,
    lines,
    metrics,
    tell(episode: string, to: 'firing' | 'resolved' = 'firing') {
      const transition = exampleTransition({ episode, state: to, atMs: clock.wallMs() })
      enqueueAll(state, [transition], receivers, undefined, clock.wallMs())
    },
    /** As the processor does it: every second what was settled leaves the state, which is saved and offered. */
    async pass(durationMs: number, from: OutboxState = state) {
      for (let passedMs = 0; passedMs < durationMs; passedMs += 1_000) {
        for (const one of outbox.takeSettled()) settle(from, one)
        outbox.offer(JSON.parse(JSON.stringify(from)))
        await clock.advance(1_000)
      }
    },
  }
}
const keysOf = (all: readonly Notification[]) => all.map(({ key }) => key)

test('what a receiver would forget is told again, from what the state knows, until its end waits', async () => {
  const clock = createSimulatedClock()
  const heard: string[] = []
  const forgetful: Notifier = {
    name: 'am',
    send: async ({ key }) => {
      heard.push(key)
      return 'taken'
    },
    standing: { everyMs: MINUTE, repeat: async (all) => void heard.push(keysOf(all).join('+')) },
  }
  const { outbox, state, tell, pass } = world([forgetful], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  tell('a')
  tell('b')
  await pass(30_000)
  expect(heard).toEqual(['a/firing', 'b/firing'])
  await pass(60_000)
  expect(heard.slice(2)).toEqual(['a/firing+b/firing'])
  tell('a', 'resolved')
  await pass(2 * MINUTE)
  expect(heard.slice(3)).toEqual(['a/resolved', 'b/firing', 'b/firing'])
  await outbox.stop(AbortSignal.abort())

  const saved: OutboxState = JSON.parse(JSON.stringify(state))
  heard.length = 0
  const next = world([forgetful], clock)
  await next.outbox.start(AbortSignal.timeout(1_000))
  await next.pass(90_000, saved)
  expect(heard, 'at once after a start, and on').toEqual(['b/firing', 'b/firing'])
  await next.outbox.stop(AbortSignal.abort())
})

test('what stood at a receiver that is of another type now, or is gone, is left alone', async () => {
  const clock = createSimulatedClock()
  const heard: string[] = []
  const hook: Notifier = {
    name: 'am',
    send: async ({ key }) => {
      heard.push(key)
      return 'taken'
    },
  }
  const { outbox, state, tell, pass } = world([hook], clock)
  const standing = [{ key: 'a/firing', transition: exampleTransition({ episode: 'a' }) }]
  state.standing = { am: standing, gone: standing }
  await outbox.start(AbortSignal.timeout(1_000))
  await pass(2 * MINUTE)
  tell('a', 'resolved')
  await pass(2_000)
  expect(heard).toEqual(['a/resolved'])
  expect(Object.keys(state.standing)).toEqual(['gone'])
  forgetStanding(state, ['am'])
  expect(state.standing).toEqual({})
  await outbox.stop(AbortSignal.abort())
})

test('one that a forgetful receiver cannot digest does not let it forget the others', async () => {
  const clock = createSimulatedClock()
  let repeats = 0
  const picky: Notifier = {
    name: 'am',
    send: async ({ key }) => {
      if (key.startsWith('poison')) throw new Error('answered 500')
      return 'taken'
    },
    standing: { everyMs: MINUTE, repeat: async () => void repeats++ },
  }
  const { outbox, tell, pass } = world([picky], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  tell('a')
  await pass(2_000)
  tell('poison')
  await pass(60 * MINUTE)
  expect(repeats).toBeGreaterThanOrEqual(58)
  expect(repeats).toBeLessThanOrEqual(61)
  await outbox.stop(AbortSignal.abort())
})

test('a receiver that asks for ten minutes is asked again after ten, for a day after an hour', async () => {
  const clock = createSimulatedClock()
  const attempts: number[] = []
  const busy: Notifier = {
    name: 'people',
    send: async () => {
      attempts.push(clock.monotonicMs())
      throw new RetryLaterError('answered 429', attempts.length === 1 ? 10 * MINUTE : 24 * 60 * MINUTE)
    },
  }
  const { outbox, tell, pass } = world([busy], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  tell('a')
  await pass(100 * MINUTE)
  const gaps = attempts.map((atMs, i) => Math.round((atMs - (attempts[i - 1] ?? 0)) / MINUTE))
  expect(gaps).toEqual([0, 10, 60])
  await outbox.stop(AbortSignal.abort())
})

test('what comes later is told within half a minute, although the receiver has not digested another for hours', async () => {
  const clock = createSimulatedClock()
  const told: string[] = []
  let attempts = 0
  const picky: Notifier = {
    name: 'people',
    send: async ({ key }) => {
      attempts += 1
      if (key.startsWith('poison')) throw new Error('answered 500')
      told.push(key)
      return 'taken'
    },
  }
  const { outbox, tell, pass } = world([picky], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  tell('poison-1')
  tell('poison-2')
  await pass(120 * MINUTE)
  for (const episode of ['a', 'b']) {
    tell(episode)
    tell(episode, 'resolved')
    await pass(MINUTE / 2 + 2_000)
    expect(told.splice(0)).toEqual([`${episode}/firing`, `${episode}/resolved`])
  }
  attempts = 0
  await pass(120 * MINUTE)
  expect(attempts, 'both are tried, every five minutes').toBeLessThan(60)
  expect(attempts).toBeGreaterThan(20)
  await outbox.stop(AbortSignal.abort())
})

test('many that wait for a dead receiver are no storm, and all go once it is back', async () => {
  const clock = createSimulatedClock()
  let isAway = true
  let attempts = 0
  const people: Notifier = {
    name: 'people',
    send: async () => {
      attempts += 1
      if (isAway) throw new Error('nobody there')
      return 'taken'
    },
  }
  const { outbox, state, tell, pass } = world([people], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  for (let i = 0; i < 50; i++) tell(`e${i}`)
  await pass(60 * MINUTE)
  expect(attempts).toBeLessThan(2 * 60)
  isAway = false
  await pass(5 * MINUTE + 5_000)
  expect(state.counts['people']).toMatchObject({ delivered: 50 })
  await outbox.stop(AbortSignal.abort())
})

test('its age counts from when it was queued: a device whose clock is years behind is not given up at once', async () => {
  const clock = createSimulatedClock()
  let isAway = true
  const people: Notifier = {
    name: 'people',
    send: async () => {
      if (isAway) throw new Error('nobody there')
      return 'taken'
    },
  }
  const { outbox, state, pass } = world([people], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  enqueueAll(state, [exampleTransition({ atMs: Date.UTC(2020, 0, 1) })], ['people'], undefined, clock.wallMs())
  await pass(5 * MINUTE)
  isAway = false
  await pass(6 * MINUTE)
  expect(state.counts['people']).toMatchObject({ delivered: 1, undeliverable: 0 })
  await outbox.stop(AbortSignal.abort())
})

test('a receiver that takes nothing for five minutes is failing, one that refuses for good is so at once; until it takes one', async () => {
  const clock = createSimulatedClock()
  const errors: Record<string, Error | undefined> = { dead: new Error('nobody there'), gone: undefined }
  const notifier = (name: string): Notifier => ({
    name,
    send: async () => {
      const error = errors[name]
      if (error) throw error
      return 'taken'
    },
  })
  const { outbox, watch, lines, metrics, tell, pass } = world([notifier('dead'), notifier('gone')], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  tell('a')
  await pass(4 * MINUTE)
  expect(watch.failing()).toEqual([])
  await pass(2 * MINUTE)
  expect(watch.failing()).toMatchObject([{ receiver: 'dead', lastError: 'nobody there' }])
  errors['gone'] = new PermanentError('answered 404')
  tell('b')
  await pass(2_000)
  expect(watch.failing().map(({ receiver }) => receiver)).toEqual(['dead', 'gone'])
  expect(await metrics.registry.metrics()).toMatch(/tributary_receiver_failing\{receiver="gone",process="test"\} 1/)
  errors['dead'] = errors['gone'] = undefined
  tell('c')
  await pass(6 * MINUTE)
  expect(watch.failing()).toEqual([])
  const said = lines.filter(({ msg }) => /take(s|s its| its)? notifications/.test(String(msg)))
  expect(said.map(({ level, receiver }) => `${level} ${receiver}`).sort()).toEqual([
    'error dead',
    'error gone',
    'info dead',
    'info gone',
  ])
  await outbox.stop(AbortSignal.abort())
})

test('what falls under the limit is counted and said', async () => {
  const clock = createSimulatedClock()
  const dead: Notifier = { name: 'people', send: () => Promise.reject(new Error('nobody there')) }
  const { outbox, state, lines, metrics, tell, pass } = world([dead], clock)
  await outbox.start(AbortSignal.timeout(1_000))
  tell('a')
  await pass(2_000)
  for (let i = 0; i < 1_005; i++) tell(`e${i}`)
  tell('e9', 'resolved')
  await pass(2_000)
  expect(state.counts['people']).toMatchObject({ dropped: 6, collapsed: 1 })
  expect(lines.filter(({ msg }) => String(msg).startsWith('too many'))).toMatchObject([
    { level: 'error', notifications: 6 },
  ])
  const text = await metrics.registry.metrics()
  expect(text).toMatch(/notifications_total\{receiver="people",outcome="dropped",process="test"\} 6/)
  expect(text).toMatch(/notifications_total\{receiver="people",outcome="collapsed",process="test"\} 1/)
  await outbox.stop(AbortSignal.abort())
}, 60_000)
