import { accountOf } from './account.ts'
import type { StepContext } from './batch-scope.ts'
import { clearEffects, createEffects, type Effects } from './effects.ts'
import type { PartitionState } from './state.ts'
import { step } from './step.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  contextOf,
  intakeOf,
  RECEIVED_AT_MS,
  type SampleValues,
  stateFor,
} from './testing.ts'

export const T = 1_767_225_600_000

/** A partition to which batches are given one after another, with running totals as an agent would keep them. */
export function partition(context: StepContext = contextOf()) {
  const state = stateFor(context)
  const effects = createEffects()
  let readingsBefore = 0
  return {
    state,
    effects,
    give(plan: Omit<BatchPlan, 'readingsBefore'>, receivedAtMs = RECEIVED_AT_MS) {
      clearEffects(effects)
      const batch = batchOf({ ...plan, readingsBefore })
      readingsBefore = batch.header.readingsTotal
      step(state, intakeOf(batch, { receivedAtMs }), context, effects)
      return texts(effects)
    },
    skip(readings: number) {
      readingsBefore += readings
    },
  }
}
export const texts = ({ lines, rollups }: Effects) => ({
  lines: lines.bytes.toString('utf8', 0, lines.length).split('\n').slice(0, -1),
  rollups: rollups.bytes.toString('utf8', 0, rollups.length).split('\n').slice(0, -1),
})
export const levels = (device: string, ...samples: [offsetMs: number, level: number][]) =>
  blockOf(
    device,
    'mixed',
    samples.map(([offset, level]): SampleValues => ({ timeMs: T + offset, values: { level } })),
  )
export const account = (state: PartitionState, nowMs = 0) => accountOf(state, nowMs, 60_000)[0]
