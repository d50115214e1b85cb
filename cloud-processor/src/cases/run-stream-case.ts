/** Puts the batches of a case through `step`, then has what is dirty recomputed from the store that the lines went to. */
import { type Contract, windowName } from '@tributary/protocol'
import { createModelStore, type ModelValue } from '../model-store-harness.ts'
import { recompute } from '../recompute.ts'
import { createRepairList } from '../repair-list.ts'
import {
  accountOf,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  EPOCH,
  intakeOf,
  readingsOf,
  rollupOf,
  type SampleValues,
  stateFor,
  step,
} from '../testing.ts'
import { START_MS } from './run-case.ts'
import type { StreamBatch, StreamCase } from './stream-case.ts'

export interface StreamOutcome {
  /** One line an agent. */
  readonly account: string[]
  /** "device-1 1m 120s: energy_wh_increase=5 … revision=1", by device, width and time. */
  readonly windows: string[]
  readonly dirty: string[]
  /** Those that are others when nothing is dirty any more. */
  readonly repaired: string[]
}

export async function runStreamCase(given: StreamCase, contract: Contract): Promise<StreamOutcome> {
  const { memory: memoryMs, missing_after: missingAfterMs } = given
  const context = contextOf([contract], { memoryMs, punctualMemoryMs: memoryMs, missingAfterMs })
  const state = stateFor(context)
  const effects = createEffects()
  const store = createModelStore()
  let nowMs = 0
  const list = createRepairList(0, () => nowMs)
  const write = () => {
    for (const lines of [effects.lines, effects.rollups])
      for (let i = 0; i < lines.count; i++) store.write(lines.line(i).toString('utf8').trimEnd())
    clearEffects(effects)
  }
  const batches = planned(given)
  let receivedMs = 0
  for (const [streamSequence, one] of given.batches.entries()) {
    const plan = batches['again' in one ? one.again - 1 : streamSequence]
    if (plan === undefined) throw new Error(`there is no batch ${'again' in one ? one.again : ''} to come again`)
    if (plan.lost) continue
    receivedMs = Math.max(receivedMs, plan.receivedMs)
    const receivedAtMs = START_MS + receivedMs
    step(state, intakeOf(plan.batch, { streamSequence: streamSequence + 1, receivedAtMs }), context, effects)
    write()
  }
  const windows = windowsIn(store, given)
  const dirty = [...state.dirty.values()].map(
    ({ device, widthMs, startMs }) => `${device} ${windowName(widthMs)} ${sayAt(startMs)}`,
  )
  const account = accountOf(state, START_MS + receivedMs, missingAfterMs).map(
    ({ agent, produced, stored, deadLettered, shed, inFlight, missing }) =>
      `${agent}: produced=${produced} stored=${stored} dead_lettered=${deadLettered} shed=${shed} in_flight=${inFlight} missing=${missing}`,
  )
  for (let turn = 0; turn < 100 && state.dirty.size > 0; turn++) {
    nowMs += 1_000
    list.settle(state, effects, context.contracts)
    write()
    list.look(state, context.contracts)
    list.give(await recompute(store.query, list.contracts, list.due, new AbortController().signal))
  }
  const repaired = windowsIn(store, given).filter((line) => !windows.includes(line))
  return { account, windows, dirty, repaired }
}

/** Batches as their agents make them: sequences, and totals in the order of these. */
function planned({ batches, kind }: StreamCase) {
  const sequences = new Map<string, number>()
  const plans = batches.map((one) => {
    if ('again' in one) return undefined
    const sequence = one.sequence ?? (sequences.get(one.agent) ?? 0) + 1
    sequences.set(one.agent, Math.max(sequence, sequences.get(one.agent) ?? 0))
    return { ...one, sequence, readings: readingsOf(blocksOf(one, kind)) }
  })
  const rolledUp = plans.flatMap((plan) =>
    plan?.rolled_up
      ? [{ agent: plan.agent, sequence: plan.rolled_up.sequence, readings: readingsIn(plan.rolled_up.samples) }]
      : [],
  )
  const all = [...plans.filter((plan) => plan !== undefined), ...rolledUp]
  return plans.map((plan) => {
    if (plan === undefined) return undefined
    const { agent, device, sequence, lane, rolled_up: left } = plan
    const readingsBefore = all
      .filter((other) => other.agent === agent && other.sequence < sequence)
      .reduce((sum, { readings }) => sum + readings, 0)
    const lastMs = plan.samples.at(-1)?.[0] ?? 0
    const batch = batchOf({
      ...{ agent, epoch: EPOCH, sequence, lane, readingsBefore, blocks: blocksOf(plan, kind) },
      completeThroughMs: START_MS + (plan.complete_through ?? lastMs),
      ...(left && {
        rollups: [rollupOf(device, valuesOf(left.samples), { kind, widthMs: left.width, fromSequence: left.sequence })],
        tombstones: [
          {
            ...{ epoch: EPOCH, fromSequence: left.sequence, toSequence: left.sequence },
            ...{ readingCount: readingsIn(left.samples), reason: `rolled_up_${windowName(left.width)}` },
          },
        ],
      }),
    })
    return { batch, lost: plan.lost, receivedMs: plan.received ?? lastMs }
  })
}

const valuesOf = (samples: StreamBatch['samples']): SampleValues[] =>
  samples.map(([atMs, values]) => ({ timeMs: START_MS + atMs, values }))
const readingsIn = (samples: StreamBatch['samples']): number =>
  samples.reduce((sum, [, values]) => sum + Object.keys(values).length, 0)
const blocksOf = ({ device, samples }: StreamBatch, kind: string) =>
  samples.length > 0 ? [blockOf(device, kind, valuesOf(samples))] : []

const sayAt = (timeMs: number): string => `${(timeMs - START_MS) / 1_000}s`

/** Lines of all rows that are to be shown. */
function windowsIn(
  { series }: { series: ReadonlyMap<string, ReadonlyMap<number, ReadonlyMap<string, ModelValue>>> },
  given: StreamCase,
): string[] {
  const { widths, fields } = given.windows
  const lines: string[] = []
  for (const width of widths)
    for (const [key, rows] of series) {
      if (!key.startsWith(`${given.kind}_${width},`)) continue
      const device = /device=([^,]+)/.exec(key)?.[1]
      const part = key.includes('part=') ? ' (rolled up)' : ''
      for (const [startMs, row] of [...rows].sort(([a], [b]) => a - b)) {
        const shown = [...fields, 'revision'].flatMap((field) => (row.has(field) ? [`${field}=${row.get(field)}`] : []))
        lines.push(`${device} ${width} ${sayAt(startMs)}${part}: ${shown.join(' ')}`)
      }
    }
  return lines
}
