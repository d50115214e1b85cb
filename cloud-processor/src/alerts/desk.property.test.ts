/** Who is told what does not depend on how readings were cut into batches, nor on where it was restarted. */
import { type Contract, contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Notification, startOutbox } from '../notifiers/index.ts'
import { createDesk } from './desk.ts'
import { startDesk } from './desk-state.ts'
import { createAlertEngine, type VerdictChange } from './engine.ts'
import { rulesSchema } from './rules-file.ts'

const contract: Contract = contractSchema.parse({
  kind: 'k',
  version: 1,
  description: 'x',
  interval: '1s',
  fields: { f: { type: 'float', label: 'F' } },
  thresholds: [{ field: 'f', above: 1 }],
})
const contracts = new Map([['k', contract]])
const DEVICES = ['main', 'a', 'b', 'c'] as const
const RECEIVERS = ['mail', 'chat']
const END = 120

const change = (device: string, at: number, anomalous: boolean, unitMs: number): VerdictChange => ({
  agent: 'pi-1',
  site: 's',
  device,
  kind: 'k',
  field: 'f',
  detector: { name: 'threshold_above_1', family: 'threshold' },
  verdict: {
    anomalous,
    score: anomalous ? 1 : 0,
    expected: undefined,
    lower: undefined,
    upper: 1,
    component: '',
    message: anomalous ? 'x' : '',
  },
  value: at,
  atMs: at * unitMs,
  live: true,
})

interface Given {
  for: number
  keep: number
  isGrouped: boolean
  /** Notifications an hour. */
  limit?: number
  /** What a unit of time is: of 120 they are flipped. */
  unitMs?: number
}

/** @returns what each receiver was told, in order */
function run(
  { for: forSeconds, keep, isGrouped, limit = 10_000, unitMs = 1_000 }: Given,
  at: readonly number[][],
  cuts: readonly number[],
  restart: boolean,
) {
  const rules = rulesSchema.parse({
    rules: [{ name: 'r', for: `${forSeconds}s`, keep_firing_for: `${keep}s` }],
    inhibit: [{ when: { device: 'main' }, suppress: { device: ['a', 'b'] } }],
    ...(isGrouped ? { group: { wait: '5s', interval: '20s' } } : {}),
    limit: { per_hour: limit, digest: '10m' },
  })
  const engine = createAlertEngine(rules.rules, contracts)
  const outboxLimits = { notificationsPerReceiverMax: 10_000 }
  const desk = createDesk(rules, { receivers: RECEIVERS, outboxLimits, ruleNamed: engine.ruleNamed })
  let state = { alerts: engine.start(), desk: startDesk() }
  const outbox = startOutbox()
  let from = 0
  for (const until of [...cuts, END, 10 * END]) {
    // Device by device, as blocks come.
    const transitions = DEVICES.flatMap((device, d) =>
      (at[d] ?? []).flatMap((second, i) =>
        second >= from && second < until ? engine.judge(state.alerts, change(device, second, i % 2 === 0, unitMs)) : [],
      ),
    )
    transitions.push(...engine.advance(state.alerts, { agent: 'pi-1', completeThroughMs: until * unitMs, live: true }))
    const office = { outbox, receivedAtMs: until * unitMs }
    desk.take(state.desk, transitions, office)
    if (restart) state = JSON.parse(JSON.stringify(state))
    for (let second = from + 1; second <= until; second++)
      if (second % 5 === 0) desk.tick(state.desk, { outbox, receivedAtMs: second * unitMs })
    from = until
  }
  for (let second = from; second < from + 100; second += 5)
    desk.tick(state.desk, { outbox, receivedAtMs: second * unitMs })
  return RECEIVERS.map((receiver) => outbox.queues[receiver] ?? [])
}

const flips = fc.tuple(
  ...DEVICES.map(() =>
    fc.uniqueArray(fc.integer({ min: 0, max: END - 1 }), { maxLength: 10 }).map((all) => all.sort((x, y) => x - y)),
  ),
)
const cuts = fc
  .uniqueArray(fc.integer({ min: 1, max: END - 1 }), { maxLength: 40 })
  .map((all) => all.sort((x, y) => x - y))
const durations = { for: fc.integer({ min: 0, max: 10 }), keep: fc.integer({ min: 0, max: 10 }) }

const keys = (queue: readonly Notification[]) => queue.map(({ key }) => key)

test('alone: the same notifications under the same keys, each once, an end only behind its beginning', () => {
  let held = 0
  fc.assert(
    fc.property(
      fc.record({ ...durations, isGrouped: fc.constant(false) }),
      flips,
      cuts,
      fc.boolean(),
      (given, at, cut, restart) => {
        const [mail = [], chat = []] = run(given, at, [], false)
        const [cutMail = [], cutChat = []] = run(given, at, cut, restart)
        expect(keys(cutMail)).toEqual(keys(mail))
        expect(keys(cutChat)).toEqual(keys(chat))
        expect(new Set(keys(mail)).size).toBe(mail.length)
        for (const [i, { transition }] of mail.entries())
          if (transition.state === 'resolved')
            expect(keys(mail).indexOf(`${transition.episode}/firing`)).toSatisfy((at: number) => at >= 0 && at < i)
        if (mail.length > 0 && given.for === 0) held += at.flat().length - mail.length
      },
    ),
    { numRuns: 400 },
  )
  expect(held).toBeGreaterThan(0)
})

test('in groups: of the same episodes, each beginning at most once, each end once', () => {
  fc.assert(
    fc.property(
      fc.record({ ...durations, isGrouped: fc.constant(true) }),
      flips,
      cuts,
      fc.boolean(),
      (given, at, cut, restart) => {
        const named = (queue: readonly Notification[]): string[] =>
          queue.flatMap(({ key, episodes }) => episodes?.map(({ episode, state }) => `${episode}/${state}`) ?? [key])
        const ends = (all: readonly string[]) => all.filter((one) => one.endsWith('/resolved')).sort()
        const [alone = []] = run({ ...given, isGrouped: false }, at, [], false)
        for (const queue of [...run(given, at, [], false), ...run(given, at, cut, restart)]) {
          const all = named(queue)
          expect(new Set(all).size).toBe(all.length)
          expect(new Set(keys(queue)).size).toBe(queue.length)
          expect(ends(all)).toEqual(ends(named(alone)))
          for (const one of all) if (one.endsWith('/firing')) expect(named(alone)).toContain(one)
        }
      },
    ),
    { numRuns: 200 },
  )
})

test('beyond the limit, over several hours: each beginning at most once, each end once, and behind it', () => {
  let digests = 0
  fc.assert(
    fc.property(
      fc.record({
        ...durations,
        isGrouped: fc.boolean(),
        limit: fc.integer({ min: 1, max: 4 }),
        unitMs: fc.constant(120_000),
      }),
      flips,
      cuts,
      fc.boolean(),
      (given, at, cut, restart) => {
        const [alone = []] = run({ ...given, isGrouped: false, limit: 10_000 }, at, [], false)
        const ends = (all: readonly string[]) => all.filter((one) => one.endsWith('/resolved')).sort()
        for (const queue of run(given, at, cut, restart)) {
          digests += queue.filter(({ reason }) => reason === 'digest').length
          const all = queue.flatMap(
            ({ key, episodes }) => episodes?.map(({ episode, state }) => `${episode}/${state}`) ?? [key],
          )
          expect(new Set(all).size).toBe(all.length)
          expect(ends(all)).toEqual(ends(keys(alone)))
          for (const [i, one] of all.entries())
            if (one.endsWith('/firing'))
              expect(all.indexOf(one.replace('firing', 'resolved'))).toSatisfy((end: number) => end < 0 || end > i)
        }
      },
    ),
    { numRuns: 200 },
  )
  expect(digests).toBeGreaterThan(0)
})
