import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { enqueueAll, exampleTransition } from './example-notification.ts'
import {
  enqueuedOf,
  enqueueFor,
  forgetStanding,
  isUrgentSince,
  type OutboxState,
  settle,
  startOutbox,
} from './outbox-state.ts'

const RECEIVERS = ['people', 'journal']
const keys = (state: OutboxState, receiver = 'people') => (state.queues[receiver] ?? []).map(({ key }) => key)
const told = (episode: string, state: 'pending' | 'firing' | 'resolved', notify: readonly string[] | 'all' = 'all') =>
  exampleTransition({ episode, state, notify })

describe('outbox state', () => {
  test('puts a transition into the queues of those who are to be told', () => {
    const state = startOutbox()
    enqueueAll(
      state,
      [told('a', 'firing'), told('b', 'firing', ['journal', 'gone']), told('c', 'pending', [])],
      RECEIVERS,
    )
    expect(keys(state)).toEqual(['a/firing'])
    expect(keys(state, 'journal')).toEqual(['a/firing', 'b/firing'])
    settle(state, { receiver: 'people', key: 'a/firing', outcome: 'delivered' })
    settle(state, { receiver: 'people', key: 'a/firing', outcome: 'delivered' })
    settle(state, { receiver: 'stranger', key: 'a/firing', outcome: 'delivered' })
    expect(state.queues).toEqual({ journal: expect.anything() })
    expect(state.counts['people']).toEqual({ enqueued: 1, delivered: 1, undeliverable: 0, collapsed: 0, dropped: 0 })
    expect(state.counts['stranger']).toBeUndefined()
  })

  test('in a full queue what came and went is told once, then the oldest end goes, what still goes on goes last', () => {
    const state = startOutbox()
    const limits = { notificationsPerReceiverMax: 3 }
    enqueueAll(
      state,
      [told('a', 'firing'), told('b', 'firing'), told('b', 'resolved'), told('c', 'firing')],
      ['people'],
      limits,
    )
    expect(keys(state)).toEqual(['a/firing', 'b/resolved', 'c/firing'])
    enqueueAll(state, [told('d', 'firing')], ['people'], limits)
    expect(keys(state)).toEqual(['a/firing', 'c/firing', 'd/firing'])
    enqueueAll(state, [told('e', 'firing')], ['people'], limits)
    expect(keys(state)).toEqual(['c/firing', 'd/firing', 'e/firing'])
    expect(state.counts['people']).toEqual({ enqueued: 6, delivered: 0, undeliverable: 0, collapsed: 1, dropped: 2 })
  })

  test('people wait for what begins, not for what is over, and not for what was enqueued before', () => {
    const state = startOutbox()
    const limits = { notificationsPerReceiverMax: 2 }
    const tell = (...all: ReturnType<typeof told>[]) => enqueueAll(state, all, RECEIVERS, limits)
    expect(isUrgentSince(state, {})).toBe(false)
    tell(told('a', 'firing'))
    expect(isUrgentSince(state, {})).toBe(true)
    let before = enqueuedOf(state)
    expect(isUrgentSince(state, before)).toBe(false)
    tell(told('a', 'resolved'))
    expect(isUrgentSince(state, before)).toBe(false)
    tell(told('b', 'firing', ['journal']))
    expect(isUrgentSince(state, before)).toBe(true)
    before = enqueuedOf(state)
    settle(state, { receiver: 'people', key: 'a/firing', outcome: 'delivered' })
    expect(isUrgentSince(state, before)).toBe(false)
    tell(told('c', 'firing'), told('c', 'resolved'), told('d', 'firing'))
    expect(isUrgentSince(state, before), 'also when the queue is full').toBe(true)
  })

  test('what a forgetful receiver was told stands until its end is settled, given up or dropped', () => {
    const state = startOutbox()
    const standing = () => (state.standing?.['people'] ?? []).map(({ key }) => key)
    const limits = { notificationsPerReceiverMax: 3 }
    const tell = (...all: ReturnType<typeof told>[]) => enqueueAll(state, all, RECEIVERS, limits, 5)
    const settled = (key: string, outcome: 'delivered' | 'undeliverable' = 'delivered') =>
      settle(state, { receiver: 'people', key, outcome, stands: true })
    tell(told('a', 'firing'), told('b', 'firing'), told('c', 'firing'))
    expect(state.queues['people']?.[0]?.queuedAtMs).toBe(5)
    settled('a/firing')
    settled('b/firing')
    settled('c/firing', 'undeliverable')
    settle(state, { receiver: 'journal', key: 'a/firing', outcome: 'delivered' })
    expect(standing()).toEqual(['a/firing', 'b/firing'])
    expect(state.standing?.['journal']).toBeUndefined()
    tell(told('a', 'resolved'))
    expect(standing()).toEqual(['a/firing', 'b/firing'])
    settled('a/resolved', 'undeliverable')
    expect(standing()).toEqual(['b/firing'])
    tell(told('b', 'resolved'), told('d', 'firing'), told('e', 'firing'), told('f', 'firing'))
    expect(keys(state)).toEqual(['d/firing', 'e/firing', 'f/firing'])
    expect(state.standing).toEqual({})
    settled('d/firing')
    forgetStanding(state, RECEIVERS)
    expect(standing()).toEqual(['d/firing'])
    forgetStanding(state, ['journal'])
    expect(state.standing).toEqual({})
  })

  test('a group has no end that is told: it never stands; the end of one that was in it changes nothing', () => {
    const state = startOutbox()
    const limits = { notificationsPerReceiverMax: 3 }
    const episodes = [{ ...told('a', 'firing'), state: 'firing' as const }]
    enqueueFor(state, 'people', { key: 'g/firing', transition: told('g', 'firing'), reason: 'group', episodes }, limits)
    settle(state, { receiver: 'people', key: 'g/firing', outcome: 'delivered', stands: true })
    enqueueAll(state, [told('a', 'resolved')], ['people'], limits)
    settle(state, { receiver: 'people', key: 'a/resolved', outcome: 'delivered', stands: true })
    expect(state).toMatchObject({ queues: {}, counts: { people: { enqueued: 2, delivered: 2 } } })
    expect(state.standing).toBeUndefined()
  })

  test('whatever happens: bounded, accounted for, in order, plain JSON', () => {
    const action = fc.oneof(
      fc.record({ tell: fc.integer({ min: 0, max: 30 }), state: fc.constantFrom('firing', 'resolved') }),
      fc.record({
        settle: fc.nat({ max: 10 }),
        outcome: fc.constantFrom('delivered', 'undeliverable'),
        stands: fc.boolean(),
      }),
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (actions, max) => {
        let state = startOutbox()
        const order: string[] = []
        for (const one of actions) {
          if ('tell' in one) {
            const transition = told(String(one.tell), one.state as 'firing')
            const key = `${transition.episode}/${transition.state}`
            if (order.includes(key)) continue
            order.push(key)
            enqueueAll(state, [transition], RECEIVERS, { notificationsPerReceiverMax: max })
          } else {
            const key = keys(state)[one.settle]
            if (key) settle(state, { receiver: 'people', key, outcome: one.outcome as 'delivered', stands: one.stands })
          }
          const waiting = keys(state)
          expect(waiting.length).toBeLessThanOrEqual(max)
          expect(waiting).toEqual(order.filter((key) => waiting.includes(key)))
          const standing = (state.standing?.['people'] ?? []).map(({ transition }) => transition.episode)
          expect(new Set(standing).size).toBe(standing.length)
          // What stands has begun and not ended, unless its end still waits.
          for (const episode of standing) {
            expect(order).toContain(`${episode}/firing`)
            if (order.includes(`${episode}/resolved`)) expect(waiting).toContain(`${episode}/resolved`)
          }
          const copy = JSON.parse(JSON.stringify(state))
          expect(copy).toEqual(state)
          state = copy
        }
        for (const receiver of RECEIVERS) {
          const counts = state.counts[receiver]
          if (counts === undefined) continue
          const { enqueued, delivered, undeliverable, collapsed, dropped } = counts
          expect(enqueued).toBe(keys(state, receiver).length + delivered + undeliverable + collapsed + dropped)
        }
      }),
      { numRuns: 200 },
    )
  })
})
