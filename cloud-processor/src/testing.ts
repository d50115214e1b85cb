/** What several tests of this package need: batches as an agent would make them, and a context to put them through `step`. */
import {
  BATCH_FORMAT_VERSION,
  type Batch,
  type ClockQuality,
  type Contract,
  type Contracts,
  contractSchema,
  type DeadLetter,
  type DeviceBlock,
  type EdgeDeadLetter,
  type FieldColumn,
  type OperatorRequest,
  type RollupBlock,
  type RollupColumn,
  type Tombstone,
} from '@tributary/protocol'
import { createAlertEngine, createDesk, NO_RULES, type RulesFile } from './alerts/index.ts'
import type { StepContext } from './batch-scope.ts'
import { NO_VERSION } from './device-journal.ts'
import { ALWAYS_MS, type DeviceRecord, type Placement, withPlacement } from './device-record.ts'
import type { DeviceLookup } from './device-registry.ts'
import type { Intake } from './intake.ts'
import { createPrivacy } from './privacy.ts'
import { createState, type PartitionState } from './state.ts'
import { createViolationLimits } from './violation-watch.ts'

export { accountOf } from './account.ts'
export { createCheckpointBucket } from './checkpoint-bucket.ts'
export { detectorsFor, fullDetector, outlierDetector, seriesContext } from './detectors/index.ts'
export { clearEffects, createEffects } from './effects.ts'
export { createFileCheckpointStore } from './file-checkpoint.ts'
export { createInfluxSink } from './influx-sink.ts'
export { createJetStreamCheckpointStore } from './jetstream-checkpoint.ts'
export { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'
export { allSeries } from './state.ts'
export { decodeState, encodeState } from './state-codec.ts'
export { step } from './step.ts'

export const EPOCH = '0123456789abcdef'

/** A kind with one field of each type. */
export const mixedContract: Contract = contractSchema.parse({
  kind: 'mixed',
  version: 1,
  description: 'One field of each type.',
  interval: '1s',
  fields: {
    level: { type: 'float', label: 'Level', decimals: 2, range: [-1000, 1000] },
    count: { type: 'integer', label: 'Count' },
    running: { type: 'boolean', label: 'Running' },
    mode: { type: 'string', label: 'Mode' },
    sequence: { type: 'integer', label: 'Sample', role: 'sequence' },
  },
})

export function contextOf(
  contracts: readonly Contract[] = [mixedContract],
  {
    rules = NO_RULES,
    receivers = [],
    groupingReceivers = [],
    notificationsPerReceiverMax = 100,
    ...changes
  }: Partial<StepContext> & {
    rules?: RulesFile
    receivers?: readonly string[]
    groupingReceivers?: readonly string[]
    notificationsPerReceiverMax?: number
  } = {},
): StepContext {
  const byKind: Contracts = new Map(contracts.map((contract) => [contract.kind, contract]))
  const engine = changes.engine ?? createAlertEngine(rules.rules, byKind)
  return {
    contracts: byKind,
    registry: registryOf({}),
    contractsVersion: 'test',
    contractsSource: JSON.stringify(contracts),
    privacy: createPrivacy(byKind, { hashKey: 'a key of sixteen characters' }),
    engine,
    violationLimit: createViolationLimits(rules),
    desk: createDesk(rules, {
      receivers,
      groupingReceivers,
      outboxLimits: { notificationsPerReceiverMax },
      ruleNamed: engine.ruleNamed,
    }),
    memoryMs: 600_000,
    punctualMemoryMs: 600_000,
    missingAfterMs: 600_000,
    ...changes,
  }
}

export const stateFor = (context: StepContext): PartitionState => createState(context.engine.start())

/** A registry that stays as it is. Placements are in force from `fromMs`, always when they have none. */
export function registryOf(
  devices: Readonly<Record<string, Partial<Placement> | readonly Partial<Placement>[]>>,
): DeviceLookup {
  const records = new Map(
    Object.entries(devices).map(([device, placements]) => [
      device,
      [placements].flat().reduce<DeviceRecord | undefined>(
        (record, placement) =>
          withPlacement(record, {
            fromMs: ALWAYS_MS,
            line: '',
            name: '',
            location: '',
            thresholds: [],
            ...placement,
          }),
        undefined,
      ),
    ]),
  )
  return { version: NO_VERSION, find: (device) => records.get(device) }
}

export interface SampleValues {
  readonly timeMs: number
  readonly values: Readonly<Record<string, number | boolean | string>>
}

/** Columns as a batcher makes them: one a field and type, with presence. */
export function blockOf(device: string, kind: string, samples: readonly SampleValues[]): DeviceBlock {
  const names = new Map<string, { field: string; type: 'number' | 'boolean' | 'string' }>()
  for (const { values } of samples)
    for (const [field, value] of Object.entries(values)) {
      const type = typeof value as 'number' | 'boolean' | 'string'
      names.set(`${field}/${type}`, { field, type })
    }
  const columns = [...names.values()].map(({ field, type }): FieldColumn => {
    const has = (sample: SampleValues) => typeof sample.values[field] === type
    const present = samples.every(has) ? null : Uint8Array.from(samples, (sample) => (has(sample) ? 1 : 0))
    const valueIn = (sample: SampleValues) => (has(sample) ? sample.values[field] : undefined)
    if (type === 'number')
      return {
        field,
        present,
        type,
        values: Float64Array.from(samples, (s) => (valueIn(s) as number | undefined) ?? 0),
      }
    if (type === 'boolean')
      return { field, present, type, values: Uint8Array.from(samples, (s) => (valueIn(s) === true ? 1 : 0)) }
    return { field, present, type, values: samples.map((s) => (valueIn(s) as string | undefined) ?? '') }
  })
  return { device, kind, timesMs: Float64Array.from(samples, ({ timeMs }) => timeMs), columns }
}

/** What an agent leaves of samples, computed the plain way. */
export function rollupOf(
  device: string,
  samples: readonly SampleValues[],
  options: { widthMs?: number; fromSequence?: number; toSequence?: number; kind?: string } = {},
): RollupBlock {
  const { widthMs = 10_000, fromSequence = 1, kind = 'mixed' } = options
  const { toSequence = fromSequence } = options
  const startOf = ({ timeMs }: SampleValues) => Math.floor(timeMs / widthMs) * widthMs
  const starts = [...new Set(samples.map(startOf))].sort((a, b) => a - b)
  const names = [...new Set(samples.flatMap(({ values }) => Object.keys(values)))]
  const columns = names.map((field): RollupColumn => {
    const windows = starts.map((startMs) => {
      const inside = samples.filter((s) => startOf(s) === startMs && s.values[field] !== undefined)
      const values = inside.map(({ values: v }) => Number(v[field]))
      const mean = values.reduce((a, b) => a + b, 0) / Math.max(1, values.length)
      const lastMs = Math.max(...inside.map(({ timeMs }) => timeMs))
      const lasts = inside.filter(({ timeMs }) => timeMs === lastMs).map(({ values: v }) => v[field] ?? 0)
      return {
        count: values.length,
        offset: inside.length === 0 ? 0 : lastMs - startMs,
        sum: values.reduce((a, b) => a + b, 0),
        spread: values.length * values.reduce((sum, v) => sum + (v - mean) ** 2, 0),
        min: inside.length === 0 ? 0 : Math.min(...values),
        max: inside.length === 0 ? 0 : Math.max(...values),
        last: lasts.length === 0 ? undefined : lasts.reduce((a, b) => (b > a ? b : a)),
      }
    })
    const of = (pick: (window: (typeof windows)[number]) => number) => Float64Array.from(windows, pick)
    const common = { field, counts: of(({ count }) => count), lastOffsetsMs: of(({ offset }) => offset) }
    const type = typeof samples.find(({ values }) => values[field] !== undefined)?.values[field]
    if (type === 'string') return { ...common, type, lasts: windows.map(({ last }) => String(last ?? '')) }
    const lasts = of(({ last }) => Number(last ?? 0))
    if (type === 'boolean') return { ...common, type, lasts: Uint8Array.from(lasts), trueCounts: of(({ sum }) => sum) }
    return {
      ...common,
      type: 'number',
      lasts,
      sums: of(({ sum }) => sum),
      spreads: of(({ spread }) => spread),
      minimums: of(({ min }) => min),
      maximums: of(({ max }) => max),
    }
  })
  return { device, kind, widthMs, fromSequence, toSequence, timesMs: Float64Array.from(starts), columns }
}

export interface BatchPlan {
  readonly agent?: string
  readonly epoch?: string
  readonly sequence: number
  /** Readings of the epoch before this batch. */
  readonly readingsBefore?: number
  readonly completeThroughMs?: number
  readonly lane?: 'live' | 'backlog'
  readonly blocks?: readonly DeviceBlock[]
  readonly deadLetters?: readonly EdgeDeadLetter[]
  readonly tombstones?: readonly Tombstone[]
  readonly rollups?: readonly RollupBlock[]
  readonly clockQuality?: ClockQuality
}

export const readingsOf = (blocks: readonly DeviceBlock[]): number =>
  blocks.reduce(
    (sum, { columns, timesMs }) =>
      sum +
      columns.reduce(
        (n, { present }) => n + (present === null ? timesMs.length : present.reduce((a, b) => a + b, 0)),
        0,
      ),
    0,
  )

export function batchOf(plan: BatchPlan): Batch {
  const { blocks = [], deadLetters = [], tombstones = [], rollups = [] } = plan
  const readingCount = readingsOf(blocks) + deadLetters.reduce((sum, letter) => sum + letter.readingCount, 0)
  return {
    header: {
      formatVersion: BATCH_FORMAT_VERSION,
      agent: plan.agent ?? 'agent-a',
      epoch: plan.epoch ?? EPOCH,
      sequence: plan.sequence,
      lane: plan.lane ?? 'live',
      createdAtMs: plan.completeThroughMs ?? 0,
      completeThroughMs: plan.completeThroughMs ?? 0,
      bootId: 'boot',
      clockQuality: plan.clockQuality ?? 'trusted',
      sampleCount: blocks.reduce((sum, { timesMs }) => sum + timesMs.length, 0),
      readingCount,
      readingsTotal: (plan.readingsBefore ?? 0) + readingCount,
      backlogBatches: 0,
      backlogBytes: 0,
      drainSeconds: 0,
      monotonicMs: 0,
    },
    blocks,
    deadLetters,
    tombstones,
    rollups,
  }
}

/** When the stream received what a test does not say more of: later than all that tests measure. */
export const RECEIVED_AT_MS = 1_800_000_000_000

export const intakeOf = (
  batch: Batch,
  { site = 'workshop', streamSequence = 1, receivedAtMs = RECEIVED_AT_MS } = {},
): Intake => ({
  site,
  agent: batch.header.agent,
  streamSequence,
  receivedAtMs,
  batch,
})

/** Asks for a dead letter to be requeued or dropped. */
export const requestOf = (
  letter: DeadLetter,
  action: 'requeue' | 'drop' = 'requeue',
  { streamSequence = 1, request = 'test' } = {},
): Intake => ({
  site: letter.site,
  agent: letter.agent,
  streamSequence,
  receivedAtMs: RECEIVED_AT_MS,
  batch: undefined,
  request: { request, action, letter },
})

/** That time went on, or what an operator asks. */
export const askedOf = (
  asked: OperatorRequest | 'tick',
  { receivedAtMs = RECEIVED_AT_MS, streamSequence = 1 } = {},
): Intake => ({ site: 'unknown', agent: 'unknown', streamSequence, receivedAtMs, batch: undefined, asked })
