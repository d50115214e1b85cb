import { type Contract, contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createAlertEngine, type VerdictChange } from './engine.ts'
import type { AlertTransition } from './episode.ts'
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
const DEVICES = ['a', 'b', 'c'] as const
const END = 200

/** Seconds at which each device's verdict flips, beginning with ordinary. */
const flips = fc.tuple(
  ...DEVICES.map(() =>
    fc.uniqueArray(fc.integer({ min: 0, max: END - 1 }), { maxLength: 12 }).map((all) => all.sort((x, y) => x - y)),
  ),
)
const durations = fc.record({ for: fc.integer({ min: 0, max: 20 }), keep: fc.integer({ min: 0, max: 20 }) })

const change = (device: string, second: number, anomalous: boolean): VerdictChange => ({
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
    message: anomalous ? 'x' : '',
    component: '',
  },
  value: second,
  atMs: second * 1_000,
  live: true,
})

/** Readings of `[from, until)` arrive together, device by device, then the agent's promise. */
function run(given: { for: number; keep: number }, at: readonly number[][], cuts: readonly number[], restart: boolean) {
  const rule = { name: 'r', for: `${given.for}s`, keep_firing_for: `${given.keep}s` }
  const engine = createAlertEngine(rulesSchema.parse({ rules: [rule] }).rules, contracts)
  let state = engine.start()
  const out: AlertTransition[] = []
  let from = 0
  for (const until of [...cuts, END, 10 * END]) {
    DEVICES.forEach((device, d) => {
      at[d]?.forEach((second, i) => {
        if (second >= from && second < until) out.push(...engine.judge(state, change(device, second, i % 2 === 0)))
      })
    })
    out.push(...engine.advance(state, { agent: 'pi-1', completeThroughMs: until * 1_000, live: true }))
    if (restart) state = JSON.parse(JSON.stringify(state))
    from = until
  }
  return DEVICES.map((device) => out.filter((transition) => transition.device === device))
}

/** The same, seen at once, from the definition. */
function expected(given: { for: number; keep: number }, at: readonly number[]) {
  const spans: { from: number; to: number }[] = []
  for (let i = 0; i < at.length; i += 2) spans.push({ from: at[i] ?? 0, to: at[i + 1] ?? Number.POSITIVE_INFINITY })
  const states: [string, number][] = []
  let firing: { to: number } | undefined
  for (const { from, to } of spans) {
    if (firing && from <= firing.to + given.keep && given.keep > 0) {
      firing.to = to
      continue
    }
    if (firing) states.push(['resolved', firing.to + given.keep])
    firing = undefined
    const fires = given.for === 0 || to > from + given.for
    if (given.for > 0) states.push(['pending', from])
    if (fires) states.push(['firing', from + given.for])
    if (fires) firing = { to }
    else states.push(['resolved', to])
  }
  if (firing && firing.to !== Number.POSITIVE_INFINITY) states.push(['resolved', firing.to + given.keep])
  return states
}

const cuts = fc
  .uniqueArray(fc.integer({ min: 1, max: END - 1 }), { maxLength: 40 })
  .map((all) => all.sort((x, y) => x - y))

test('however readings are cut into batches and wherever it restarts, the same episodes come out, as defined', () => {
  fc.assert(
    fc.property(durations, flips, cuts, fc.boolean(), (given, at, cut, restart) => {
      const whole = run(given, at, [], false)
      expect(run(given, at, cut, restart)).toEqual(whole)
      for (const [d, transitions] of whole.entries())
        expect(transitions.map(({ state, atMs }) => [state, atMs / 1_000])).toEqual(expected(given, at[d] ?? []))
    }),
    { numRuns: 500 },
  )
})

test('each episode fires at most once and is resolved at most once, and its key tells it from all others', () => {
  fc.assert(
    fc.property(durations, flips, cuts, (given, at, cut) => {
      const keys = run(given, at, cut, true)
        .flat()
        .map(({ episode, state }) => `${episode}/${state}`)
      expect(new Set(keys).size).toBe(keys.length)
    }),
    { numRuns: 200 },
  )
})
