/** Gaps, their ageing and their asking over simulated time: an agent, a gateway that answers or does not, a backlog that comes and goes. */
import type { KeptWatermark, ResendRequest } from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { gapsOf } from './deduplicate.ts'
import { createGapRequests, REQUEST_SEQUENCES_MAX, REQUESTS_OPEN_MAX } from './gap-requests.ts'
import { isWaiting } from './gaps.ts'
import type { AgentState } from './state.ts'
import { batchOf, blockOf, clearEffects, contextOf, createEffects, EPOCH, intakeOf, stateFor, step } from './testing.ts'

const START_MS = 1_767_225_600_000
const RESEND_AFTER_MS = 5_000
const MISSING_AFTER_MS = 60_000

function world() {
  const context = contextOf(undefined, { missingAfterMs: MISSING_AFTER_MS })
  const state = stateFor(context)
  let passedMs = 0
  const clock = { wallMs: () => START_MS + passedMs, monotonicMs: () => passedMs } as Clock
  const effects = createEffects()
  const sent: (ResendRequest & { atMs: number })[] = []
  let answer: KeptWatermark | undefined
  const requests = createGapRequests(
    { resendAfterMs: RESEND_AFTER_MS },
    {
      publish: (_, bytes) =>
        sent.push({ ...JSON.parse(Buffer.from(bytes).toString()), atMs: clock.wallMs() - START_MS }),
      ask: async () => answer,
      clock,
    },
  )
  const receive = (
    sequence: number,
    {
      backlogBatches = 0,
      lane = 'live' as const,
      agent = 'agent-a',
    }: { backlogBatches?: number; lane?: 'live' | 'backlog'; agent?: string } = {},
  ) => {
    clearEffects(effects)
    const timeMs = START_MS + sequence * 100
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs, values: { level: 1 } }])]
    const batch = batchOf({ agent, sequence, readingsBefore: sequence - 1, completeThroughMs: timeMs, lane, blocks })
    const header = { ...batch.header, backlogBatches }
    step(state, intakeOf({ ...batch, header }, { receivedAtMs: clock.wallMs() }), context, effects)
  }
  const pass = (ms: number) => {
    for (let passed = 0; passed < ms; passed += 500) {
      passedMs += 500
      requests.look(state, clock.wallMs())
    }
  }
  const account = () => accountOf(state, clock.wallMs(), MISSING_AFTER_MS, requests.requestsOf)
  return {
    state,
    clock,
    sent,
    requests,
    receive,
    pass,
    account,
    answerWith: (kept: KeptWatermark) => {
      answer = kept
    },
  }
}

test('a gap is asked for after 5 s, again after 5, 10, 20 s, …, and the account says how often', () => {
  const { sent, receive, pass, account } = world()
  receive(1)
  receive(4)
  pass(40_000)
  expect(sent.map(({ atMs }) => atMs)).toEqual([5_000, 10_000, 20_000, 40_000])
  expect(sent[0]).toMatchObject({ agent: 'agent-a', epoch: EPOCH, fromSequence: 2, toSequence: 3 })
  expect(account()[0]?.gaps).toMatchObject([{ requested: 4, requestedAtMs: START_MS + 40_000, missing: false }])
  pass(20_000)
  expect(account()[0]).toMatchObject({ missing: 2, inFlight: 0 })
  pass(3_600_000)
  const late = sent.map(({ atMs }) => atMs)
  expect((late.at(-1) as number) - (late.at(-2) as number)).toBe(300_000)
  receive(2)
  receive(3)
  expect(account()[0]).toMatchObject({ missing: 0, stored: 4, gaps: [] })
})

test('while a backlog waits a gap is not asked for and does not age; it is in flight, and the account says since when', () => {
  const { sent, receive, pass, account, state } = world()
  receive(1)
  receive(1_000, { backlogBatches: 998 })
  pass(3_600_000)
  expect(sent).toEqual([])
  expect(account()[0]).toMatchObject({
    inFlight: 998,
    missing: 0,
    waiting: { batches: 998, sinceMs: START_MS, saidAtMs: START_MS },
  })
  expect(state.agents.get('workshop/agent-a')?.watermarkMs).toBe(START_MS + 100)
  // The backlog is through, but for one batch: from now on it ages.
  for (let sequence = 2; sequence < 999; sequence++) receive(sequence, { lane: 'backlog' })
  receive(1_001)
  expect(account()[0]).toMatchObject({ waiting: null, inFlight: 1 })
  pass(4_500)
  expect(sent).toEqual([])
  pass(1_000)
  expect(sent).toMatchObject([{ fromSequence: 999, toSequence: 999 }])
  pass(60_000)
  expect(account()[0]).toMatchObject({ inFlight: 0, missing: 1 })
  // What was given up stays given up, and the watermark stays past it, when the next backlog begins.
  receive(1_100, { backlogBatches: 98 })
  expect(account()[0]).toMatchObject({ missing: 1, inFlight: 98 })
})

test('batches of the live lane that come out of order, twice, or from the end of a former epoch: the newest one’s word counts', () => {
  const { receive, state } = world()
  const agent = () => state.agents.get('workshop/agent-a') as AgentState
  receive(1)
  receive(12)
  receive(11, { backlogBatches: 5 })
  expect(isWaiting(agent())).toBe(false)
  receive(13, { backlogBatches: 7 })
  receive(13, { backlogBatches: 0 })
  expect(agent().backlogBatches).toBe(7)
  receive(2, { lane: 'backlog', backlogBatches: 0 })
  expect(isWaiting(agent())).toBe(true)
  receive(14)
  expect(isWaiting(agent())).toBe(false)
})

test('a large gap is asked for piece by piece, the next as soon as one is closed', () => {
  const { sent, receive, pass } = world()
  receive(1)
  receive(2_502)
  pass(5_000)
  expect(sent).toMatchObject([{ fromSequence: 2, toSequence: 1 + REQUEST_SEQUENCES_MAX }])
  for (let sequence = 2; sequence <= 1 + REQUEST_SEQUENCES_MAX; sequence++) receive(sequence, { lane: 'backlog' })
  pass(500)
  expect(sent[1]).toMatchObject({ fromSequence: 2 + REQUEST_SEQUENCES_MAX, toSequence: 1 + 2 * REQUEST_SEQUENCES_MAX })
})

test('whatever happens: never more requests open than the limit, none while a backlog waits, and all gaps asked for in the end', () => {
  const event = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constant('receive' as const),
        sequence: fc.integer({ min: 1, max: 200 }),
        backlog: fc.constantFrom(0, 0, 0, 3),
        agent: fc.constantFrom('agent-a', 'agent-b', 'agent-c'),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('pass' as const),
        ms: fc.integer({ min: 1, max: 40 }).map((n) => n * 500),
      }),
    },
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const { sent, receive, pass, state, account, clock } = world()
      const waiting = () => [...state.agents.values()].filter(isWaiting).map(({ agent }) => agent)
      const missing = () => new Map(account().map(({ agent, missing: count }) => [agent, count]))
      for (const one of events) {
        const from = sent.length
        if (one.type === 'receive') receive(one.sequence, { backlogBatches: one.backlog, agent: one.agent })
        else {
          const still = waiting()
          const before = missing()
          pass(one.ms)
          for (const { agent } of sent.slice(from)) expect(still).not.toContain(agent)
          for (const agent of still) expect(missing().get(agent)).toBe(before.get(agent))
        }
        for (const row of account()) expect(row.inFlight).toBeGreaterThanOrEqual(0)
      }
      for (const { atMs } of sent)
        expect(
          sent.filter((other) => other.atMs <= atMs && other.atMs > atMs - RESEND_AFTER_MS).length,
        ).toBeLessThanOrEqual(REQUESTS_OPEN_MAX)
      // Everybody's backlog is through.
      for (const agent of ['agent-a', 'agent-b', 'agent-c']) receive(201, { agent })
      const from = sent.length
      const began = clock.wallMs()
      pass(900_000)
      for (const { agent, epochs } of state.agents.values())
        for (const { sequences } of epochs.values())
          for (const gap of gapsOf(sequences))
            expect(
              sent
                .slice(from)
                .some(
                  (one) =>
                    one.agent === agent && one.fromSequence === gap.fromSequence && one.toSequence === gap.toSequence,
                ),
              `${agent} ${gap.fromSequence}-${gap.toSequence} since ${began}`,
            ).toBe(true)
      expect(account().every(({ inFlight }) => inFlight === 0)).toBe(true)
    }),
    { numRuns: 100 },
  )
})

test('a watermark that is told in answer is handed over once', async () => {
  const { receive, pass, requests, answerWith } = world()
  receive(5)
  const kept = { agent: 'agent-a', epoch: EPOCH, sequence: 4 }
  answerWith(kept)
  pass(500)
  await new Promise((resolve) => setImmediate(resolve))
  expect(requests.takeAnswers()).toEqual([{ site: 'workshop', kept }])
  expect(requests.takeAnswers()).toEqual([])
})
