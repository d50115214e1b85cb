import { type Contract, contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { createAlertEngine, rulesSchema } from './alerts/index.ts'
import { createEffects } from './effects.ts'
import { step } from './step.ts'
import { account, levels, partition, T, texts } from './step-harness.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  contextOf,
  intakeOf,
  mixedContract,
  readingsOf,
  registryOf,
  stateFor,
} from './testing.ts'

describe('detectors and alerts', () => {
  const watchedYaml = {
    kind: 'watched',
    version: 1,
    description: 'A level that somebody cares about.',
    interval: '1s',
    fields: { level: { type: 'float', label: 'Level', unit: 'mm' } },
    thresholds: [{ field: 'level', above: 10, severity: 'critical' }],
    detectors: { silence: '30s' },
  }
  const watched: Contract = contractSchema.parse(watchedYaml)
  const block = (...samples: [number, number][]) => ({ ...levels('pump-1', ...samples), kind: 'watched' })

  test('a threshold that is crossed: an anomaly, an alert, a notification, with the place from the registry', () => {
    const context = contextOf([watched], {
      receivers: ['log'],
      registry: registryOf({ 'pump-1': { site: 'hall', line: '2', name: 'Coolant pump', location: 'north' } }),
    })
    const p = partition(context)
    p.give({ sequence: 1, completeThroughMs: T + 1_000, blocks: [block([0, 5])] })
    const { lines } = p.give({ sequence: 2, completeThroughMs: T + 3_000, blocks: [block([1_000, 12], [2_000, 13])] })
    expect(lines.filter((line) => line.startsWith('anomaly'))).toEqual([
      expect.stringMatching(
        /^anomaly,detector=threshold_above_10,device=pump-1,field=level,site=hall kind="watched",value=12,score=1,upper=10,message="Level: 12.* above the limit 10" \d+$/,
      ),
    ])
    expect(p.effects.transitions).toMatchObject([
      { state: 'firing', severity: 'critical', site: 'hall', device: 'pump-1', value: 12 },
    ])
    expect(p.effects.transitions[0]?.message).toMatch(/^Coolant pump \(line 2, north\): Level: 12/)
    expect(lines.find((line) => line.startsWith('alert'))).toMatch(/state="firing",severity="critical"/)
    expect(Object.values(p.state.outbox.queues).flat()).toHaveLength(1)
    const over = p.give({ sequence: 3, completeThroughMs: T + 5_000, blocks: [block([4_000, 3])] })
    expect(over.lines.some((line) => line.startsWith('anomaly'))).toBe(false)
    // The contract's own rule keeps firing for a while.
    p.give({ sequence: 4, completeThroughMs: T + 20_000, blocks: [block([19_000, 3])] })
    p.give({ sequence: 5, completeThroughMs: T + 600_000, blocks: [block([599_000, 3])] })
    expect(p.effects.transitions).toMatchObject([{ state: 'resolved', device: 'pump-1' }])
  })

  test('one rule over two fields and two limits: every episode of the same millisecond is a point of its own', () => {
    const twice: Contract = contractSchema.parse({
      ...watchedYaml,
      fields: { level: watchedYaml.fields.level, flow: { type: 'float', label: 'Flow' } },
      thresholds: [
        { field: 'level', above: 10 },
        { field: 'level', above: 20 },
        { field: 'flow', above: 10 },
      ],
    })
    const byKind = new Map([['watched', twice]])
    const [everything] = rulesSchema.parse({ rules: [{ name: 'everything' }] }).rules
    const engine = createAlertEngine(everything ? [everything] : [], byKind)
    const p = partition(contextOf([twice], { engine }))
    const both = blockOf('pump-1', 'watched', [{ timeMs: T, values: { level: 30, flow: 30 } }])
    const { lines } = p.give({ sequence: 1, completeThroughMs: T + 1_000, blocks: [both] })
    const keys = lines.filter((line) => line.startsWith('alert')).map((line) => line.slice(0, line.indexOf(' ')))
    expect(keys).toEqual([
      'alert,detector=threshold_above_10,device=pump-1,field=flow,rule=everything,site=workshop',
      'alert,detector=threshold_above_10,device=pump-1,field=level,rule=everything,site=workshop',
      'alert,detector=threshold_above_20,device=pump-1,field=level,rule=everything,site=workshop',
    ])
  })

  const YEAR_MS = 365 * 86_400_000
  /** A minute of ordinary life, then what is given, then a value that somebody must be told of. @returns what was said of it */
  function lifeWith(strange: (sequence: number) => Omit<BatchPlan, 'readingsBefore'>) {
    const p = partition(contextOf([watched]))
    const second = (s: number, level: number) =>
      p.give(
        { sequence: s + 1, completeThroughMs: T + s * 1_000, blocks: [block([s * 1_000 - 1, level])] },
        T + s * 1_000,
      )
    for (let s = 0; s < 60; s++) second(s, 5)
    p.give(strange(61), T + 60_000)
    const letters = [...p.effects.deadLetters]
    const rollups: string[] = []
    let told = 0
    for (let s = 61; s < 90; s++) {
      rollups.push(...second(s, 12).rollups)
      told += p.effects.transitions.length
    }
    return { p, letters, rollups, told }
  }

  test('a sample of next year is refused, and blinds neither detectors nor windows to what comes after it', () => {
    const { p, letters, rollups, told } = lifeWith((sequence) => ({
      sequence,
      completeThroughMs: T + 60_000,
      blocks: [block([59_500, 6], [YEAR_MS, 7])],
    }))
    expect(letters).toMatchObject([
      { stage: 'contract', reason: 'time_in_future', field: 'level', readingCount: 1, timeMs: T + YEAR_MS },
    ])
    expect(letters[0]?.detail).toBe(
      'measured at 2027-01-01T00:00:00.000Z, received at 2026-01-01T00:01:00.000Z: set the clock of pump-1 or of its agent; time_ms is milliseconds since 1970',
    )
    expect(told).toBe(1)
    // One for each ten seconds: none of them provisional.
    expect(rollups.filter((line) => line.startsWith('watched_10s'))).toHaveLength(2)
    expect(account(p.state)).toMatchObject({ produced: 91, stored: 90, deadLettered: 1, inFlight: 0, missing: 0 })
  })

  test('a promise of next year, too, closes no more than a day', () => {
    const { p } = lifeWith((sequence) => ({ sequence, completeThroughMs: T + YEAR_MS }))
    expect([...p.state.agents.values()][0]?.watermarkMs).toBe(T + 60_000 + 86_400_000)
  })

  test('a promise of a clock that nobody vouches for reaches no further than now, and binds nothing that comes after', () => {
    const HOUR_MS = 3_600_000
    const p = partition(contextOf([watched]))
    const wrong = { completeThroughMs: T + 5 * HOUR_MS, blocks: [block([5 * HOUR_MS, 5])] }
    p.give({ ...wrong, sequence: 1, clockQuality: 'untrusted' }, T + 1_000)
    expect([...p.state.agents.values()][0]?.watermarkMs).toBe(T + 1_000)
    // The clock is set: what was measured since is on time.
    const rollups = [
      ...p.give({ sequence: 2, completeThroughMs: T + 9_000, blocks: [block([2_000, 6], [8_000, 8])] }, T + 9_000)
        .rollups,
      ...p.give({ sequence: 3, completeThroughMs: T + 11_000, blocks: [block([10_500, 6])] }, T + 11_000).rollups,
    ]
    expect(rollups.find((line) => line.startsWith('watched_10s') && line.endsWith(` ${T}`))).toContain('level_mean=7,')
    expect(p.state.counters.late).toBe(0)
  })

  test('a device that the registry moves is not silent where it stood: its alerts there end, its windows there are written', () => {
    const placements = [
      { site: 'hall-a' },
      { site: 'hall-b', fromMs: T + 34_000 },
      { site: 'hall-a', fromMs: T + 119_000 },
    ]
    const p = partition(contextOf([watched], { registry: registryOf({ 'pump-1': placements }) }))
    const told: string[] = []
    const rollups: string[] = []
    for (let s = 1; s < 120; s++) {
      const blocks = [block([s * 1_000 - 1, s < 35 ? 12 : 5])]
      rollups.push(...p.give({ sequence: s, completeThroughMs: T + s * 1_000, blocks }, T + s * 1_000).rollups)
      told.push(...p.effects.transitions.map((t) => `${t.state} ${t.site} ${t.detector}`))
    }
    expect(told).toEqual(['firing hall-a threshold_above_10', 'resolved hall-a threshold_above_10'])
    expect(Object.keys(p.state.alerts.episodes)).toEqual([])
    const counts = rollups
      .filter((line) => line.startsWith('watched_1m'))
      .map((line) => /site=(\S+) .*count=(\d+)i/.exec(line)?.slice(1))
    expect(counts).toEqual([
      ['hall-a', '34'],
      ['hall-b', '26'],
    ])
    // And back: where it stood before, as if it had never left.
    for (let s = 120; s < 240; s++)
      p.give(
        { sequence: s, completeThroughMs: T + s * 1_000, blocks: [block([s * 1_000 - 1, s < 230 ? 5 : 12])] },
        T + s * 1_000,
      )
    expect(Object.keys(p.state.alerts.episodes)).toEqual(['hall-a/pump-1/watched/level/threshold_above_10'])
  })

  test('the alerts of a device that is gone for good, and of one whose agent is gone, too, end after a week and say why', () => {
    const DAY_MS = 86_400_000
    const p = partition(contextOf([watched], { receivers: ['people'] }))
    const told: string[] = []
    const remember = () =>
      told.push(...p.effects.transitions.map((t) => `${t.state} ${t.device} ${t.detector}: ${t.message}`))
    const named = (device: string) => ({ ...block([0, 12]), device })
    const lost = batchOf({ agent: 'agent-lost', sequence: 1, completeThroughMs: T, blocks: [named('pump-lost')] })
    step(p.state, intakeOf(lost, { receivedAtMs: T }), contextOf([watched]), p.effects)
    p.give({ sequence: 1, completeThroughMs: T, blocks: [named('pump-1')] }, T)
    for (let minute = 1; minute < 30; minute++)
      p.give({ sequence: minute + 1, completeThroughMs: T + minute * 5_000 }, T + minute * 5_000)
    expect(
      Object.values(p.state.alerts.episodes).map(({ device, detector, state }) => `${device} ${detector} ${state}`),
    ).toEqual(['pump-lost threshold_above_10 firing', 'pump-1 threshold_above_10 firing', 'pump-1 silence firing'])
    for (let day = 1; day < 9; day++) {
      p.give({ sequence: 30 + day, completeThroughMs: T + day * DAY_MS }, T + day * DAY_MS)
      remember()
      if (day === 7) expect(told).toEqual([])
    }
    expect(p.state.alerts.episodes).toEqual({})
    const why = 'given up: nothing was heard of'
    const byWhat = (a: string, b: string) => Number(a.includes('silence')) - Number(b.includes('silence'))
    expect(told.sort(byWhat)).toEqual([
      `resolved pump-lost threshold_above_10: ${why} pump-lost for 7 d; it was: Level: 12.00 mm, 2.00 above the limit 10`,
      `resolved pump-1 threshold_above_10: ${why} pump-1 for 7 d; it was: Level: 12.00 mm, 2.00 above the limit 10`,
      expect.stringContaining(`resolved pump-1 silence: ${why} pump-1 for 7 d; it was: no watched sample of pump-1`),
    ])
  })

  test('the promises of another gateway’s agent of the same name end no alert', () => {
    const context = contextOf([watched])
    const state = stateFor(context)
    const give = (site: string, sequence: number, atMs: number, blocks: BatchPlan['blocks'] = []) => {
      const readingsBefore = site === 'hall-a' ? sequence - 1 : 0
      const effects = createEffects()
      step(
        state,
        intakeOf(batchOf({ sequence, readingsBefore, completeThroughMs: atMs, blocks }), { site }),
        context,
        effects,
      )
      return effects.transitions.map((t) => `${t.site} ${t.state}`)
    }
    expect(give('hall-a', 1, T, [block([0, 12])])).toEqual(['hall-a firing'])
    expect(give('hall-a', 2, T + 2_000, [block([1_000, 5])])).toEqual([])
    expect(give('hall-b', 1, T + 3_600_000)).toEqual([])
    expect(give('hall-a', 3, T + 3_600_000)).toEqual(['hall-a resolved'])
  })

  test('readings older than those seen are history: explicit detectors judge them, and nobody is told', () => {
    const p = partition(contextOf([watched]))
    p.give({ sequence: 1, completeThroughMs: T + 9_000, blocks: [block([8_000, 5])] })
    p.give({ sequence: 2, completeThroughMs: T + 9_500, lane: 'backlog', blocks: [block([1_000, 50])] })
    expect(p.effects.anomalies).toMatchObject([{ detector: 'threshold_above_10', value: 50 }])
    expect(p.effects.transitions).toEqual([])
    const { lines } = p.give({
      sequence: 3,
      completeThroughMs: T + 9_500,
      lane: 'backlog',
      blocks: [block([1_500, 50], [2_000, 5])],
    })
    expect(p.state.counters.historical).toBe(3)
    expect(lines.filter((line) => line.startsWith('alert'))).toEqual([
      expect.stringMatching(/state="historical".*message="Level: 50.*over after 1 s, and known only afterwards" \d+$/),
    ])
    expect(p.state.outbox.queues).toEqual({})
    expect(p.state.alerts.episodes).toEqual({})
  })

  test('a device that falls silent while its agent goes on', () => {
    const p = partition(contextOf([watched]))
    for (let s = 0; s < 10; s++)
      p.give({ sequence: s + 1, completeThroughMs: T + s * 1_000, blocks: [block([s * 1_000 - 1, 5])] })
    for (let s = 10; s < 45; s++) {
      p.give({ sequence: s + 1, completeThroughMs: T + s * 1_000 })
      if (p.effects.anomalies.length > 0) break
    }
    expect(p.effects.anomalies).toMatchObject([{ detector: 'silence', device: 'pump-1', field: '' }])
    const lines = texts(p.effects).lines
    expect(lines.some((line) => line.startsWith('anomaly,detector=silence,device=pump-1,site=workshop '))).toBe(true)
  })
})

test('a device of the registry is stored under its own site', () => {
  const p = partition(contextOf([mixedContract], { registry: registryOf({ 'pump-1': { site: 'hall' } }) }))
  expect(p.give({ sequence: 1, blocks: [levels('pump-1', [0, 1])] }).lines).toEqual([
    `mixed,device=pump-1,site=hall level=1 ${T}`,
  ])
  expect(readingsOf([levels('pump-1', [0, 1])])).toBe(1)
})
