/**
 * Readings of any lateness, batches in any order, the process killed after any operation, its state lost, readings that come while
 * windows are being recomputed: in the end every window of the store is the one that plain computation gives, and nothing is dirty.
 */
import type { KeptWatermark, RollupBlock, Tombstone } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createModelStore, type ModelStore, type ModelValue } from './model-store-harness.ts'
import { isInDoubt, takeOver } from './prior-life.ts'
import { recompute } from './recompute.ts'
import { createRepairList } from './repair-list.ts'
import { agentOf, dirtyKeyOf, type PartitionState } from './state.ts'
import { decodeState } from './state-codec.ts'
import { watermarkOfEpoch } from './stored-watermark.ts'
import {
  allSeries,
  type BatchPlan,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  EPOCH,
  encodeState,
  intakeOf,
  RECEIVED_AT_MS,
  readingsOf,
  rollupOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'
import { windowStart } from './window.ts'

const START_MS = 1_767_225_600_000
const WIDTHS = { '10s': 10_000, '1m': 60_000 } as const
const DEVICES = ['pump-1', 'pump-2'] as const
const TURN_MS = 4_000

interface Measured {
  readonly samples: number
  /** Seconds by which it is measured before its time. */
  readonly lateSeconds: number
  readonly isRolledUp: boolean
}
interface Plan extends BatchPlan {
  readonly sequence: number
  readonly completeThroughMs: number
}
interface Reading extends SampleValues {
  readonly device: string
  readonly isRolledUp: boolean
}

const batches = fc.array(
  fc.record({
    samples: fc.integer({ min: 1, max: 6 }),
    lateSeconds: fc.constantFrom(0, 0, 0, 20, 90, 100, 300, 10_800),
    isRolledUp: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
  }),
  { minLength: 6, maxLength: 40 },
)

/** The last two batches promise that everything is complete; whoever knows of none of a device's does not know the device. */
function plansOf(measured: readonly Measured[]): { plans: Plan[]; readings: Reading[] } {
  const all = [...measured, ...Array.from({ length: 4 }, () => ({ samples: 1, lateSeconds: 0, isRolledUp: false }))]
  const plans: Plan[] = []
  const readings: Reading[] = []
  let readingsBefore = 0
  let tombstones: Tombstone[] = []
  let rollups: RollupBlock[] = []
  for (const [i, { samples, lateSeconds, isRolledUp }] of all.entries()) {
    const sequence = i + 1
    const nowMs = START_MS + 14_400_000 + sequence * 4_001
    const blocks = DEVICES.map((device, d) => {
      const inside = Array.from({ length: samples }, (_, s): SampleValues => {
        const level = ((sequence * 7 + s * 13 + d * 5) % 97) / 4
        const values = { level, running: level > 12, mode: `m${(sequence + s) % 3}` }
        return { timeMs: nowMs - lateSeconds * 1_000 + s * 700, values }
      })
      readings.push(...inside.map((sample) => ({ ...sample, device, isRolledUp })))
      if (isRolledUp) rollups.push(rollupOf(device, inside, { fromSequence: sequence }))
      return blockOf(device, 'mixed', inside)
    })
    const readingCount = readingsOf(blocks)
    if (isRolledUp)
      tombstones.push({ epoch: EPOCH, fromSequence: sequence, toSequence: sequence, readingCount, reason: 'rolled_up' })
    else {
      plans.push({ sequence, readingsBefore, completeThroughMs: nowMs, blocks, tombstones, rollups })
      tombstones = []
      rollups = []
    }
    readingsBefore += readingCount
  }
  const endMs = START_MS + 36_000_000
  for (const sequence of [all.length + 1, all.length + 2])
    plans.push({ sequence, readingsBefore, completeThroughMs: endMs + sequence * 60_000 })
  return { plans, readings }
}

class Died extends Error {}

/** The loop as `loop.ts` has it, one operation after the other; the process may die after each. */
function world({ memoryMs, restMs, deaths }: Pick<Story, 'memoryMs' | 'restMs' | 'deaths'>) {
  const context = contextOf(undefined, { memoryMs })
  const store = createModelStore()
  const effects = createEffects()
  let operations = 0
  let nowMs = 0
  let checkpoint: Uint8Array | undefined
  let state = stateFor(context)
  let list = createRepairList(restMs, () => nowMs)
  const operation = (work: () => void) => {
    work()
    operations += 1
    if (deaths.includes(operations)) throw new Died()
  }
  return {
    store,
    get state(): PartitionState {
      return state
    },
    get list() {
      return list
    },
    turn(plans: readonly Plan[], kept: KeptWatermark): void {
      nowMs += TURN_MS
      clearEffects(effects)
      // At once, as in the loop when it has nothing to write.
      list.look(state, context.contracts)
      list.settle(state, effects, context.contracts)
      for (const plan of plans) step(state, intakeOf(batchOf(plan)), context, effects)
      // What the gateway keeps: it is asked while an epoch is in doubt.
      if ([...state.agents.values()].some(isInDoubt))
        takeOver(state, 'workshop', kept, { atMs: RECEIVED_AT_MS, patienceMs: RECEIVED_AT_MS })
      for (const lines of [effects.lines, effects.rollups])
        for (let i = 0; i < lines.count; i++) operation(() => store.write(lines.line(i).toString('utf8').trimEnd()))
      operation(() => {
        checkpoint = encodeState(state)
      })
    },
    recompute: () => recompute(store.query, context.contracts, list.due, new AbortController().signal),
    /** Another process begins with the checkpoint, or without any. */
    begin(isLost: boolean): void {
      if (isLost) checkpoint = undefined
      state = checkpoint ? decodeState(checkpoint, context.contracts) : stateFor(context)
      list = createRepairList(restMs, () => nowMs)
    },
    get checkpointed() {
      return checkpoint ? decodeState(checkpoint, context.contracts) : stateFor(context)
    },
  }
}

const keptBy = (state: PartitionState): KeptWatermark => {
  const agent = agentOf(state, 'workshop', 'agent-a')
  const epoch = agent.epochs.get(EPOCH)
  return epoch ? watermarkOfEpoch(agent, epoch) : { agent: 'agent-a', epoch: EPOCH, sequence: 0 }
}

function expectWindows(store: ModelStore, readings: readonly Reading[], forgotten: ReadonlySet<string>): void {
  const truth = new Map<string, Reading[]>()
  for (const reading of readings)
    for (const [width, widthMs] of Object.entries(WIDTHS)) {
      const startMs = Math.floor(reading.timeMs / widthMs) * widthMs
      const key = `mixed_${width},device=${reading.device} ${startMs}`
      if (forgotten.has(dirtyKeyOf({ site: 'workshop', device: reading.device, kind: 'mixed', widthMs, startMs })))
        continue
      truth.set(key, [...(truth.get(key) ?? []), reading])
    }
  for (const [key, inside] of truth) {
    const [name, startMs] = key.split(' ') as [string, string]
    const row = store.series.get(`${name},site=workshop`)?.get(Number(startMs))
    const part = store.series.get(`${name},part=rolled_up,site=workshop`)?.get(Number(startMs))
    const count = Number(row?.get('level_count') ?? 0) + Number(part?.get('level_count') ?? 0)
    expect(count, key).toBe(inside.length)
    if (part === undefined) expectRow(key, row, inside)
  }
}

function expectRow(key: string, row: ReadonlyMap<string, ModelValue> | undefined, inside: readonly Reading[]): void {
  const levels = inside.map(({ values }) => values['level'] as number)
  const last = inside.reduce((a, b) => (b.timeMs > a.timeMs ? b : a))
  const mean = levels.reduce((a, b) => a + b, 0) / levels.length
  const spread = levels.reduce((sum, level) => sum + (level - mean) ** 2, 0)
  expect(row?.get('level_mean'), key).toBeCloseTo(mean, 9)
  expect(row?.get('level_min'), key).toBe(Math.min(...levels))
  expect(row?.get('level_max'), key).toBe(Math.max(...levels))
  expect(row?.get('level_stddev'), key).toBeCloseTo(levels.length > 1 ? Math.sqrt(spread / (levels.length - 1)) : 0, 7)
  expect(row?.get('level_last'), key).toBe(last.values['level'])
  expect(row?.get('mode_last'), key).toBe(last.values['mode'])
  expect(row?.get('running_last'), key).toBe(last.values['running'])
}

/** What the list `dirty` of a state had in it is lost with it, and late rows of the last seconds, which no watermark tells of: in them, and in the wider rows of which they are not part yet. */
function lostWith(state: PartitionState): string[] {
  const { watermarkMs } = agentOf(state, 'workshop', 'agent-a')
  const late = [...allSeries(state)].flatMap(({ device, windows = [] }) =>
    windows.flatMap(({ open }, width) =>
      open.flatMap((row) =>
        windows
          .slice(width)
          .map(({ widthMs }) => ({ widthMs, startMs: windowStart(row.startMs, widthMs) }))
          .filter(({ widthMs, startMs }) => startMs + widthMs <= watermarkMs)
          .map((window) => dirtyKeyOf({ site: 'workshop', device, kind: 'mixed', ...window })),
      ),
    ),
  )
  return [...state.dirty.keys(), ...late]
}

function mix<T>(items: readonly T[], swaps: readonly number[]): T[] {
  const mixed = [...items]
  for (const i of swaps) if (i + 1 < mixed.length) [mixed[i], mixed[i + 1]] = [mixed[i + 1] as T, mixed[i] as T]
  return mixed
}

const stories = (loses: boolean) =>
  fc.record({
    measured: loses ? batches.map((all) => all.map((one) => ({ ...one, isRolledUp: false }))) : batches,
    memoryMs: fc.constantFrom(10_000, 60_000, 600_000),
    restMs: fc.constantFrom(0, 10_000),
    swaps: fc.array(fc.nat({ max: 40 }), { maxLength: 20 }),
    taken: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 }),
    /** Turns at whose beginning what was recomputed before the turn before is handed over. */
    slow: fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
    deaths: fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 6 }),
    lostAfterDeath: fc.constant(loses),
  })
type Story = ReturnType<typeof stories> extends fc.Arbitrary<infer S> ? S : never

async function run(story: Story) {
  const { measured, swaps, taken, slow, lostAfterDeath } = story
  const { plans, readings } = plansOf(measured)
  const w = world(story)
  const last = plans.at(-1) as Plan
  let waiting = [...mix(plans.slice(0, -1), swaps), last]
  let unacknowledged: Plan[] = []
  let lives = 1
  let losses = 0
  let kept = keptBy(w.state)
  const forgotten = new Set<string>()
  for (let turn = 0; ; turn++) {
    if (turn > 2_000)
      throw new Error(`${w.state.dirty.size} windows stay dirty: ${[...w.state.dirty.keys()].slice(0, 3)}`)
    if (waiting.length === 0 && w.state.dirty.size === 0) break
    const early = slow[turn % slow.length] ? await w.recompute() : undefined
    const taking = waiting.slice(0, taken[turn % taken.length])
    unacknowledged = taking
    try {
      w.turn(taking, kept)
      kept = keptBy(w.state)
      waiting = waiting.slice(taking.length)
      w.list.give(early ?? (await w.recompute()))
    } catch (error) {
      if (!(error instanceof Died)) throw error
      lives += 1
      // Of each device something must reach the state that begins anew.
      const isLost = lostAfterDeath && lives === 2 && kept.sequence < last.sequence - 5
      if (isLost) for (const lost of [w.state, w.checkpointed]) for (const key of lostWith(lost)) forgotten.add(key)
      if (isLost) losses += 1
      w.begin(isLost)
      if (isLost) waiting = [...mix(plans.slice(0, -1), swaps), last].filter(({ sequence }) => sequence > kept.sequence)
      else waiting = [...new Set([...unacknowledged, ...waiting])]
    }
  }
  expectWindows(w.store, readings, forgotten)
  return { losses, counters: w.state.counters }
}

test('whatever is late, however often it dies: every window is the one of plain computation, and none stays dirty', async () => {
  let repaired = 0
  let kept = 0
  await fc.assert(
    fc.asyncProperty(stories(false), async (story) => {
      const { counters } = await run(story)
      repaired += counters.windowsRepaired
      kept += counters.windowsKept
    }),
    { numRuns: 150 },
  )
  expect(repaired).toBeGreaterThan(500)
  expect(kept).toBeGreaterThan(0)
})

test('the state is lost, too: the windows in doubt are recomputed', async () => {
  let repaired = 0
  let lost = 0
  await fc.assert(
    fc.asyncProperty(stories(true), async (story) => {
      const { losses, counters } = await run(story)
      lost += losses
      if (losses > 0) repaired += counters.windowsRepaired
    }),
    { numRuns: 150 },
  )
  expect(lost).toBeGreaterThan(30)
  expect(repaired).toBeGreaterThan(100)
})
