/**
 * Whatever order readings come in, how often and how late, and whether memory or the store has them: the windows of all four widths
 * end up as plain computation gives them, with percentiles and counters.
 */
import { type Contract, contractSchema, windowName } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createModelStore, type ModelStore, type ModelValue } from './model-store-harness.ts'
import { recompute } from './recompute.ts'
import { createRepairList } from './repair-list.ts'
import { RELATIVE_ERROR, rankOf } from './sketch.ts'
import type { Counters } from './state.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  decodeState,
  encodeState,
  intakeOf,
  readingsOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'

const WIDTHS_MS = [10_000, 60_000, 900_000, 3_600_000]
const WRAPS_AT = 10_000
const MEMORIES_MS = [10_000, 60_000, 600_000, 100_000_000]

const plant: Contract = contractSchema.parse({
  kind: 'plant',
  version: 1,
  description: 'Numbers, counters that wrap and that are reset, a switch, a text.',
  interval: '1s',
  fields: {
    level: { type: 'float', label: 'Level', decimals: 2 },
    energy: { type: 'integer', label: 'Energy', role: 'counter', wraps_at: WRAPS_AT },
    total: { type: 'integer', label: 'Since it was switched on', role: 'counter' },
    running: { type: 'boolean', label: 'Running' },
    mode: { type: 'string', label: 'Mode' },
  },
})

const level = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: -90_000, max: 90_000 }).map((n) => n / 100) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1e300, -1e300, 1e-300, 4e-9, Number.MAX_VALUE, -Number.MAX_VALUE) },
)
const measured = fc.record({
  afterMs: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 9_000 }) },
    { weight: 3, arbitrary: fc.integer({ min: 9_000, max: 70_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 600_000, max: 4_000_000 }) },
  ),
  level,
  by: fc.integer({ min: 0, max: 2_400 }),
  /** The meter begins again at a small number. */
  isReset: fc.integer({ max: 9, min: 0 }).map((n) => n === 0),
  restart: fc.nat({ max: 3 }),
  has: fc.record({ level: fc.boolean(), energy: fc.boolean(), total: fc.boolean(), running: fc.boolean() }),
})
const story = fc.record({
  beginMs: fc.constantFrom(1_767_225_600_000, 1_767_228_599_000, -7_300_000),
  measured: fc.array(measured, { minLength: 4, maxLength: 90 }),
  perBatch: fc.integer({ min: 1, max: 6 }),
  /** By how many batches each comes later than it was promised. */
  delays: fc.array(fc.constantFrom(0, 0, 0, 0, 1, 2, 5, 30), { minLength: 1, maxLength: 30 }),
  swaps: fc.array(fc.nat({ max: 40 }), { maxLength: 20 }),
  repeated: fc.array(fc.nat({ max: 40 }), { maxLength: 8 }),
  restartsAfter: fc.array(fc.nat({ max: 60 }), { maxLength: 3 }),
  repairsEvery: fc.integer({ min: 1, max: 5 }),
  memoryMs: fc.constantFrom(...MEMORIES_MS),
  punctualMemoryMs: fc.constantFrom(...MEMORIES_MS),
})
type Story = typeof story extends fc.Arbitrary<infer S> ? S : never

function samplesOf({ beginMs, measured: all }: Story): SampleValues[] {
  let timeMs = beginMs
  let energy = 9_000
  let total = 40
  return all.map(({ afterMs, by, isReset, restart, has, ...one }, i) => {
    timeMs += afterMs
    energy = (energy + by) % WRAPS_AT
    total = isReset ? restart : total + by
    const values: Record<string, number | boolean | string> = { mode: `m${i % 7}` }
    if (has.level) values['level'] = one.level
    if (has.energy) values['energy'] = energy
    if (has.total) values['total'] = total
    if (has.running) values['running'] = i % 3 === 0
    return { timeMs, values }
  })
}

/** As they leave the agent, each promising all that should have been measured by then; the last two say that nothing comes any more. */
function plansOf({ perBatch, delays }: Story, samples: readonly SampleValues[]): BatchPlan[] {
  const groups = Array.from({ length: Math.ceil(samples.length / perBatch) }, (_, i) =>
    samples.slice(i * perBatch, (i + 1) * perBatch),
  )
  const sent = groups
    .map((group, i) => ({ group, place: i + (delays[i % delays.length] as number) }))
    .sort((a, b) => a.place - b.place)
  let readingsBefore = 0
  const plans = sent.map(({ group, place }, i): BatchPlan => {
    const blocks = [blockOf('meter-1', 'plant', group)]
    const next = groups[place + 1]?.[0] ?? samples.at(-1)
    const plan = { sequence: i + 1, readingsBefore, completeThroughMs: next?.timeMs ?? 0, blocks }
    readingsBefore += readingsOf(blocks)
    return plan
  })
  const endMs = (samples.at(-1) as SampleValues).timeMs + 200_000_000
  for (const afterMs of [0, 3_600_000])
    plans.push({ sequence: plans.length + 1, readingsBefore, completeThroughMs: endMs + afterMs })
  return plans
}

async function run(one: Story, samples: readonly SampleValues[]): Promise<{ store: ModelStore; counters: Counters }> {
  const context = contextOf([plant], one)
  const store = createModelStore()
  const effects = createEffects()
  let nowMs = 0
  let state = stateFor(context)
  let list = createRepairList(0, () => nowMs)
  const plans = plansOf(one, samples)
  const last = plans.splice(-2)
  for (const i of one.swaps)
    if (i + 1 < plans.length) [plans[i], plans[i + 1]] = [plans[i + 1] as BatchPlan, plans[i] as BatchPlan]
  const again = one.repeated.flatMap((i) => plans[i] ?? [])
  const turn = async (plan: BatchPlan | undefined, repairs: boolean) => {
    nowMs += 1_000
    clearEffects(effects)
    list.settle(state, effects, context.contracts)
    if (plan) step(state, intakeOf(batchOf(plan)), context, effects)
    for (const lines of [effects.lines, effects.rollups])
      for (let i = 0; i < lines.count; i++) store.write(lines.line(i).toString('utf8').trimEnd())
    list.look(state, context.contracts)
    if (repairs) list.give(await recompute(store.query, context.contracts, list.due, new AbortController().signal))
  }
  for (const [i, plan] of [...plans, ...again, ...last].entries()) {
    await turn(plan, i % one.repairsEvery === 0)
    if (!one.restartsAfter.includes(i)) continue
    state = decodeState(encodeState(state), context.contracts)
    list = createRepairList(0, () => nowMs)
  }
  for (let turns = 0; state.dirty.size > 0; turns++) {
    if (turns > 100) throw new Error(`stays dirty: ${[...state.dirty.keys()].join(' ')}`)
    await turn(undefined, true)
  }
  return { store, counters: state.counters }
}

/** What is counted from reading to reading, in order. */
function countedIn(samples: readonly SampleValues[], field: string, wrapsAt: number, startMs: number, endMs: number) {
  const readings = samples.filter(({ values }) => values[field] !== undefined)
  let [increase, resets, fromMs, toMs] = [0, 0, Number.NaN, Number.NaN]
  for (const [i, { timeMs, values }] of readings.entries()) {
    if (timeMs < startMs || timeMs >= endMs) continue
    const before = readings[i - 1]
    if (Number.isNaN(fromMs)) fromMs = before?.timeMs ?? timeMs
    toMs = timeMs
    if (before === undefined) continue
    const [was, is] = [before.values[field] as number, values[field] as number]
    if (is >= was) increase += is - was
    else if (is - was + wrapsAt < wrapsAt / 4) increase += is - was + wrapsAt
    else {
      resets += 1
      if (is <= was / 2) increase += is
    }
  }
  return { increase, resets, rate: toMs > fromMs ? (increase * 1_000) / (toMs - fromMs) : undefined }
}

const near = (said: ModelValue | undefined, exact: number, slack: number, where: string) => {
  expect(typeof said, where).toBe('number')
  expect(Math.abs((said as number) - exact), `${where}: ${said}, not ${exact}`).toBeLessThanOrEqual(slack)
}

function expectRow(row: ReadonlyMap<string, ModelValue>, inside: readonly SampleValues[], where: string): void {
  const of = (field: string) => inside.flatMap(({ values }) => (values[field] === undefined ? [] : [values[field]]))
  for (const field of ['level', 'energy', 'total']) {
    const values = of(field) as number[]
    expect(row.get(`${field}_count`) ?? 0, where).toBe(values.length)
    if (values.length === 0) continue
    const [min, max] = [Math.min(...values), Math.max(...values)]
    expect([row.get(`${field}_min`), row.get(`${field}_max`)], where).toEqual([min + 0, max + 0])
    expect(row.get(`${field}_last`), where).toBe((values.at(-1) as number) + 0)
    const scale = Math.max(Math.abs(min), Math.abs(max))
    if (scale > 1e100) continue
    const mean = values.reduce((a, b) => a + b, 0) / values.length
    const spread = values.reduce((sum, v) => sum + (v - mean) ** 2, 0)
    near(row.get(`${field}_mean`), mean, 1e-9 * scale, `${where} ${field}_mean`)
    const deviation = values.length > 1 ? Math.sqrt(spread / (values.length - 1)) : 0
    near(row.get(`${field}_stddev`), deviation, 1e-6 * scale, `${where} ${field}_stddev`)
  }
  const sorted = (of('level') as number[]).sort((a, b) => a - b)
  const largest = Math.max(...sorted.map(Math.abs))
  for (const [name, share] of [
    ['p50', 0.5],
    ['p95', 0.95],
    ['p99', 0.99],
  ] as const) {
    if (sorted.length === 0) continue
    const exact = sorted[rankOf(share, sorted.length)] as number
    const slack = Math.abs(exact) < largest / 14_000 ? largest / 14_000 : RELATIVE_ERROR * Math.abs(exact)
    near(row.get(`level_${name}`), exact, slack, `${where} level_${name}`)
  }
  expect(row.get('running_last'), where).toBe(of('running').at(-1))
  expect(row.get('mode_last'), where).toBe(of('mode').at(-1))
}

function expectWindows({ series }: ModelStore, samples: readonly SampleValues[]): void {
  for (const widthMs of WIDTHS_MS) {
    const rows = series.get(`plant_${windowName(widthMs)},device=meter-1,site=workshop`)
    const starts = [...new Set(samples.map(({ timeMs }) => Math.floor(timeMs / widthMs) * widthMs))]
    expect([...(rows?.keys() ?? [])].sort((a, b) => a - b)).toEqual(starts)
    for (const startMs of starts) {
      const row = rows?.get(startMs) as ReadonlyMap<string, ModelValue>
      const where = `${windowName(widthMs)} ${startMs}`
      const inside = samples.filter(({ timeMs }) => timeMs >= startMs && timeMs < startMs + widthMs)
      expectRow(row, inside, where)
      for (const [field, wrapsAt] of [
        ['energy', WRAPS_AT],
        ['total', Number.POSITIVE_INFINITY],
      ] as const) {
        if (inside.every(({ values }) => values[field] === undefined)) continue
        const { increase, resets, rate } = countedIn(samples, field, wrapsAt, startMs, startMs + widthMs)
        const said = ['increase', 'resets'].map((what) => row.get(`${field}_${what}`))
        expect(said, `${where} ${field}`).toEqual([increase, resets])
        if (rate !== undefined) near(row.get(`${field}_rate`), rate, 1e-9 * rate, `${where} ${field}_rate`)
      }
    }
  }
}

test('any permutation, duplication and lateness gives the windows of plain computation', async () => {
  let revised = 0
  let repaired = 0
  await fc.assert(
    fc.asyncProperty(story, async (one) => {
      const samples = samplesOf(one)
      const { store, counters } = await run(one, samples)
      expectWindows(store, samples)
      revised += counters.windowsRevised
      repaired += counters.windowsRepaired
    }),
    { numRuns: 200 },
  )
  expect(revised).toBeGreaterThan(200)
  expect(repaired).toBeGreaterThan(200)
})
