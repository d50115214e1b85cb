import { type Contract, contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { type AlertState, createAlertEngine, DIGEST_RULE, type VerdictChange } from './engine.ts'
import type { AlertTransition } from './episode.ts'
import type { AlertRule } from './rule.ts'
import { rulesSchema } from './rules-file.ts'

const T0 = Date.UTC(2026, 0, 1)

const vibration: Contract = contractSchema.parse({
  kind: 'vibration',
  version: 1,
  description: 'x',
  interval: '1s',
  fields: { velocity: { type: 'float', label: 'Velocity', unit: 'mm/s' } },
  thresholds: [
    { field: 'velocity', above: 4.5, severity: 'info' },
    { field: 'velocity', above: 7.1, severity: 'critical' },
  ],
  detectors: { outlier: ['velocity'], flatline: { velocity: '30s' }, silence: '15s' },
})
const contracts = new Map([['vibration', vibration]])
const rules = (...given: unknown[]): readonly AlertRule[] => rulesSchema.parse({ rules: given }).rules

/** A change of a series' verdict, `at` seconds after T0. */
function change(
  at: number,
  anomalous: boolean,
  given: Partial<VerdictChange> & { score?: number } = {},
): VerdictChange {
  const { score = 1, ...rest } = given
  return {
    agent: 'pi-1',
    site: 'plant',
    device: 'pump-1',
    kind: 'vibration',
    field: 'velocity',
    detector: { name: 'threshold_above_7.1', family: 'threshold' },
    verdict: {
      anomalous,
      score: anomalous ? score : 0,
      expected: undefined,
      lower: undefined,
      upper: 7.1,
      message: anomalous ? '7.9 mm/s, 0.8 above the limit 7.1' : '',
      component: '',
    },
    value: anomalous ? 7.9 : 6.2,
    atMs: T0 + at * 1_000,
    live: true,
    ...rest,
  }
}
const until = (at: number, live = true, agent = 'pi-1') => ({
  agent,
  completeThroughMs: T0 + at * 1_000,
  live,
})
const brief = (transitions: readonly AlertTransition[]) =>
  transitions.map(({ state, atMs, notify }) => [state, (atMs - T0) / 1_000, notify === 'all' || notify.length > 0])

describe('episodes', () => {
  test('fires with the first reading, once, and is over when it has been over for long enough', () => {
    const engine = createAlertEngine([], contracts)
    const state = engine.start()
    const [fired, ...rest] = engine.judge(state, change(10, true))
    expect(rest).toEqual([])
    expect(fired).toEqual({
      episode: expect.stringMatching(/^[0-9a-f]{16}$/),
      rule: 'vibration.velocity.threshold_above_7.1',
      state: 'firing',
      severity: 'critical',
      site: 'plant',
      device: 'pump-1',
      kind: 'vibration',
      field: 'velocity',
      detector: 'threshold_above_7.1',
      agent: 'pi-1',
      family: 'threshold',
      label: 'Velocity',
      unit: 'mm/s',
      value: 7.9,
      expected: null,
      lower: null,
      upper: 7.1,
      message: '7.9 mm/s, 0.8 above the limit 7.1',
      startedAtMs: T0 + 10_000,
      atMs: T0 + 10_000,
      notify: 'all',
    })
    expect(engine.advance(state, until(20))).toEqual([])
    expect(engine.judge(state, change(21, false))).toEqual([])
    // Comes and goes within keep_firing_for: still the same episode.
    expect(engine.judge(state, change(30, true))).toEqual([])
    expect(engine.judge(state, change(40, false))).toEqual([])
    expect(engine.advance(state, until(70))).toEqual([])
    const [resolved] = engine.advance(state, until(71))
    expect(resolved).toMatchObject({
      episode: fired?.episode,
      state: 'resolved',
      atMs: T0 + 70_000,
      value: 6.2,
      message: 'over after 30 s; it was: 7.9 mm/s, 0.8 above the limit 7.1',
      notify: 'all',
    })
    expect(state.episodes).toEqual({})
    // The next one has another identity.
    expect(engine.judge(state, change(100, true))[0]?.episode).not.toBe(fired?.episode)
  })

  test('each threshold has its own severity, everything else is a warning', () => {
    const engine = createAlertEngine([], contracts)
    const state = engine.start()
    const detectors = [
      { name: 'threshold_above_4.5', family: 'threshold' },
      { name: 'outlier', family: 'outlier' },
      { name: 'flatline', family: 'flatline' },
    ] as const
    const severities = detectors.map((detector) => engine.judge(state, change(1, true, { detector }))[0]?.severity)
    expect(severities).toEqual(['info', 'warning', 'warning'])
    const silence = change(1, true, { detector: { name: 'silence', family: 'silence' }, field: '' })
    expect(engine.judge(state, silence)[0]).toMatchObject({ severity: 'warning', rule: 'vibration.silence', label: '' })
    expect(engine.open(state).map(({ severity }) => severity)).toEqual(['warning', 'warning', 'warning', 'info'])
  })

  test('with "for" it is pending first; what ends sooner is recorded, and nobody is told', () => {
    const engine = createAlertEngine(rules({ name: 'slow', for: '30s', keep_firing_for: '0s' }), contracts)
    const state = engine.start()
    expect(brief(engine.judge(state, change(0, true)))).toEqual([['pending', 0, false]])
    expect(brief(engine.judge(state, change(20, false)))).toEqual([['resolved', 20, false]])
    expect(brief(engine.judge(state, change(100, true)))).toEqual([['pending', 100, false]])
    expect(engine.advance(state, until(130))).toEqual([])
    expect(brief(engine.advance(state, until(131)))).toEqual([['firing', 130, true]])
    expect(brief(engine.judge(state, change(140, false)))).toEqual([['resolved', 140, true]])
  })

  test('what goes on by itself and ends in one batch is told with the times it had', () => {
    const engine = createAlertEngine(rules({ name: 'slow', for: '30s', keep_firing_for: '10s' }), contracts)
    const state = engine.start()
    engine.judge(state, change(0, true))
    expect(brief(engine.judge(state, change(100, false)))).toEqual([['firing', 30, true]])
    expect(brief(engine.judge(state, change(200, true)))).toEqual([
      ['resolved', 110, true],
      ['pending', 200, false],
    ])
  })

  test('a higher score is what people read; the episode stays the same', () => {
    const engine = createAlertEngine([], contracts)
    const state = engine.start()
    const detector = { name: 'outlier', family: 'outlier' } as const
    engine.judge(state, change(0, true, { detector, score: 0.6 }))
    expect(engine.judge(state, change(1, true, { detector, score: 0.8, value: 9 }))).toEqual([])
    expect(engine.judge(state, change(2, true, { detector, score: 0.7, value: 8 }))).toEqual([])
    expect(engine.open(state).map(({ value }) => value)).toEqual([9])
  })

  test('the same readings give the same identities', () => {
    const ids = [1, 2].map(() => {
      const engine = createAlertEngine([], contracts)
      return engine.judge(engine.start(), change(0, true))[0]?.episode
    })
    expect(ids[0]).toBe(ids[1])
  })

  test("another agent's time moves nothing", () => {
    const engine = createAlertEngine(rules({ name: 'slow', for: '30s' }), contracts)
    const state = engine.start()
    engine.judge(state, change(0, true))
    expect(engine.advance(state, until(500, true, 'pi-2'))).toEqual([])
    expect(brief(engine.advance(state, until(500)))).toEqual([['firing', 30, true]])
  })
})

test('a link that is down is told although too many alerts are open: there is one a link', () => {
  const engine = createAlertEngine([], contracts, { openEpisodesPerSiteMax: 2 })
  const state = engine.start()
  for (const device of ['a', 'b', 'c']) engine.judge(state, change(0, true, { device }))
  expect(engine.open(state)).toHaveLength(2)
  const link = { kind: '', field: '', detector: { name: 'gateway_unreachable', family: 'link' as const } }
  expect(engine.judge(state, change(1, true, { ...link, device: 'gw' }))).toMatchObject([
    { state: 'firing', rule: 'gateway_unreachable', device: 'gw', severity: 'critical' },
  ])
})

describe('backfill', () => {
  const past = (at: number, anomalous: boolean) => change(at, anomalous, { live: false })

  test('pages nobody', () => {
    const engine = createAlertEngine([], contracts)
    const state = engine.start()
    const told = []
    for (let at = 0; at < 1_000; at += 10) told.push(...engine.judge(state, past(at, at % 20 === 0)))
    expect(brief(told)).toEqual(Array.from({ length: 50 }, (_, i) => ['historical', i * 20, false]))
    expect(told[0]?.message).toBe('7.9 mm/s, 0.8 above the limit 7.1; over after 10 s, and known only afterwards')
    expect(engine.advance(state, until(1_000, false))).toEqual([])
    expect(engine.advance(state, until(1_001))).toEqual([])
    expect(engine.open(state)).toEqual([])
  })

  test('is recorded when it lasted for as long as the rule wants it to', () => {
    const engine = createAlertEngine(rules({ name: 'slow', for: '30s' }), contracts)
    const state = engine.start()
    engine.judge(state, past(0, true))
    expect(engine.judge(state, past(29, false))).toEqual([])
    engine.judge(state, past(100, true))
    expect(brief(engine.judge(state, past(130, false)))).toEqual([['historical', 130, false]])
  })

  test('behind live readings, it is an episode beside the present one, and never becomes it', () => {
    const engine = createAlertEngine([], contracts)
    const state = engine.start()
    engine.judge(state, change(1_000, true))
    engine.judge(state, { ...past(100, true), past: true })
    expect(engine.advance(state, until(500, false))).toEqual([])
    const [ended] = engine.judge(state, { ...past(160, false), past: true })
    expect(ended).toMatchObject({ state: 'historical', notify: [], startedAtMs: T0 + 100_000, atMs: T0 + 100_000 })
    // One that goes on until live readings follow ends as history, too.
    engine.judge(state, { ...past(900, true), past: true })
    expect(brief(engine.advance(state, until(1_001)))).toEqual([['historical', 900, false]])
    expect(engine.open(state)).toHaveLength(1)
  })

  test('resolves nothing that still goes on', () => {
    const engine = createAlertEngine([], contracts)
    const state = engine.start()
    const [fired] = engine.judge(state, change(0, true))
    expect(engine.judge(state, past(10, false))).toEqual([])
    expect(engine.advance(state, until(600, false))).toEqual([])
    expect(engine.judge(state, past(700, true))).toEqual([])
    expect(engine.advance(state, until(701))).toEqual([])
    expect(engine.open(state).map(({ id }) => id)).toEqual([fired?.episode])
  })

  test('what it left over ends, or begins, with the first live data', () => {
    const engine = createAlertEngine([], contracts)
    const state = engine.start()
    engine.judge(state, change(0, true))
    engine.judge(state, past(10, false))
    expect(brief(engine.advance(state, until(1_000)))).toEqual([['resolved', 40, true]])
    engine.judge(state, past(2_000, true))
    expect(engine.open(state)).toEqual([])
    expect(brief(engine.advance(state, until(3_000)))).toEqual([['firing', 3_000, true]])
    expect(brief(engine.judge(state, change(3_001, false)))).toEqual([])
  })
})

describe('rules', () => {
  test('the first that matches decides, the contract fills what it leaves open', () => {
    const engine = createAlertEngine(
      rules(
        { name: 'pumps-b', match: { device: 'pump-b*' }, severity: 'info' },
        { name: 'quiet', match: { site: ['plant', 'depot'], detector: 'outlier' }, notify: [] },
        {
          name: 'night',
          match: { kind: 'vibration', field: 'vel*', detector: 'threshold_above_*' },
          notify: ['people'],
        },
      ),
      contracts,
    )
    const state = engine.start()
    const told = (given: Partial<VerdictChange>) => {
      const [first] = engine.judge(state, change(0, true, given))
      return [first?.rule, first?.severity, first?.notify]
    }
    expect(told({ device: 'pump-b2' })).toEqual(['pumps-b', 'info', 'all'])
    expect(told({})).toEqual(['night', 'critical', ['people']])
    expect(told({ detector: { name: 'outlier', family: 'outlier' } })).toEqual(['quiet', 'warning', []])
    expect(told({ detector: { name: 'flatline', family: 'flatline' } })).toEqual([
      'vibration.velocity.flatline',
      'warning',
      'all',
    ])
  })

  test('an episode whose detector left the contract is ended', () => {
    const before = createAlertEngine([], contracts)
    const state: AlertState = before.start()
    before.judge(state, change(0, true))
    before.judge(state, change(0, true, { detector: { name: 'threshold_above_4.5', family: 'threshold' } }))
    before.advance(state, until(50))
    const changed = { ...vibration, thresholds: vibration.thresholds.filter((t) => t.above !== 7.1) }
    const after = createAlertEngine([], new Map([['vibration', changed]]))
    expect(after.advance(state, until(60)).map(({ detector, state: s, atMs }) => [detector, s, atMs - T0])).toEqual([
      ['threshold_above_7.1', 'resolved', 50_000],
    ])
    expect(after.open(state).map(({ detector }) => detector)).toEqual(['threshold_above_4.5'])
    expect(after.advance(state, until(61))).toEqual([])
  })
})

describe('too many alerts', () => {
  test('what had no room and still goes on when there is is told then, under the identity of its beginning', () => {
    const engine = createAlertEngine(rules({ name: 'all', keep_firing_for: '0s' }), contracts, {
      openEpisodesPerSiteMax: 4,
    })
    const state = engine.start()
    const said = (transitions: readonly AlertTransition[]) =>
      transitions.map(({ state: to, device, atMs }) => `${(atMs - T0) / 1_000} ${to} ${device}`)
    for (let i = 0; i < 10; i++) engine.judge(state, change(i, true, { device: `pump-${i}` }))
    expect(engine.advance(state, until(20))).toEqual([])
    // Two of the four, and one of those that are waiting, are over.
    expect(said(engine.judge(state, change(21, false, { device: 'pump-5' })))).toEqual(['5 historical pump-5'])
    expect(said(engine.judge(state, change(22, false, { device: 'pump-0' })))).toEqual(['22 resolved pump-0'])
    expect(said(engine.advance(state, until(23)))).toEqual([])
    expect(said(engine.judge(state, change(24, false, { device: 'pump-1' })))).toEqual([
      '24 resolved pump-1',
      '24 resolved *',
    ])
    const begun = engine.advance(state, until(25))
    expect(said(begun)).toEqual(['25 firing pump-4', '25 firing pump-6', '25 firing pump-7'])
    expect(begun.map(({ startedAtMs }) => startedAtMs - T0)).toEqual([4_000, 6_000, 7_000])
    expect(said(engine.judge(state, change(30, false, { device: 'pump-6' })))).toEqual(['30 resolved pump-6'])
    expect(state.digests).toEqual({})
  })

  test('history does not count among them, nor takes it the room of what is live', () => {
    const engine = createAlertEngine(rules({ name: 'all', keep_firing_for: '0s' }), contracts, {
      openEpisodesPerSiteMax: 2,
    })
    const state = engine.start()
    for (const i of [1, 2, 3, 4]) {
      const old = { live: false, past: i % 2 === 0, device: `pump-${i}` }
      expect(engine.judge(state, change(i, true, old))).toEqual([])
    }
    expect([Object.keys(state.episodes).length, state.suppressedTotal]).toEqual([2, 2])
    const fired = [5, 6, 7].flatMap((i) => engine.judge(state, change(i, true, { device: `fan-${i}` })))
    expect(fired.map(({ device, state: to }) => `${to} ${device}`)).toEqual([
      'firing fan-5',
      'firing fan-6',
      'firing *',
    ])
    const over = engine.judge(state, change(8, false, { device: 'fan-5' }))
    expect(over.map(({ device, state: to }) => `${to} ${device}`)).toEqual(['resolved fan-5', 'resolved *'])
  })

  test('are one alert a site, with a count, until there is room again', () => {
    const engine = createAlertEngine(rules({ name: 'all', keep_firing_for: '0s' }), contracts, {
      openEpisodesPerSiteMax: 10,
    })
    const state = engine.start()
    const told = [...Array(50).keys()].flatMap((i) => engine.judge(state, change(i, true, { device: `pump-${i}` })))
    expect(told.length).toBe(11)
    expect(told.at(-1)).toMatchObject({ rule: DIGEST_RULE, state: 'firing', site: 'plant', atMs: T0 + 10_000 })
    expect(told.at(-1)?.message).toBe('10 alerts are open at plant; a further one is not told singly')
    expect([engine.open(state).length, Object.keys(state.episodes).length]).toEqual([10, 20])
    expect(state.suppressedTotal).toBe(40)
    // Another site is not concerned.
    expect(engine.judge(state, change(60, true, { site: 'depot' })).map(({ rule }) => rule)).toEqual(['all'])
    const ended = [...Array(50).keys()].flatMap((i) =>
      engine.judge(state, change(100 + i, false, { device: `pump-${i}` })),
    )
    // Of the others as many were remembered; they are over before there was room for them.
    expect(ended.map(({ state: to }) => to).filter((to) => to === 'resolved')).toHaveLength(11)
    expect(ended.map(({ state: to }) => to).filter((to) => to === 'historical')).toHaveLength(10)
    const digest = ended.find(({ rule }) => rule === DIGEST_RULE)
    expect(digest).toMatchObject({ state: 'resolved', episode: told.at(-1)?.episode, value: 40, atMs: T0 + 104_000 })
    expect(digest?.message).toContain('40 further ones were not told singly')
    expect(Object.keys(state.episodes)).toEqual(['depot/pump-1/vibration/velocity/threshold_above_7.1'])
    expect(state.digests).toEqual({})
  })
})
