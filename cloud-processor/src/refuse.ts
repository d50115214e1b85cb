/** What a contract refuses, and where every dead letter is accounted for. */
import type { Contract, DeadLetter, DeadLetterStage, DeviceBlock, FieldColumn } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { noteRefusedSamples } from './data-quality.ts'
import { type ColumnRefusal, contractLetters } from './dead-letter.ts'
import { countDeadLettered } from './deduplicate.ts'
import type { Effects } from './effects.ts'
import { siteAt } from './enrich.ts'
import { type DeviceSeries, fieldNamed } from './series.ts'
import type { AgentState, EpochState, PartitionState } from './state.ts'

/** Reasons counted singly of one agent: those of the edge are the agent's own words. */
const LETTER_REASONS_MAX = 64

/** Counts the letter where its readings are accounted for, and has it published. */
export function addLetter(
  state: PartitionState,
  agent: AgentState,
  epoch: EpochState | undefined,
  letter: DeadLetter,
  effects: Pick<Effects, 'deadLetters'>,
): void {
  countLetter(agent, letter.stage, letter.reason, letter.readingCount)
  state.counters.deadLetters += 1
  state.counters.deadLetterReadings += letter.readingCount
  if (epoch) {
    epoch.deadLettered += letter.readingCount
    countDeadLettered(epoch.sequences, letter.sequence, letter.readingCount)
  }
  effects.deadLetters.push(letter)
}

export function countLetter(agent: AgentState, stage: DeadLetterStage, reason: string, readings: number): void {
  const known = agent.letters.has(`${stage}/${reason}`) || agent.letters.size < LETTER_REASONS_MAX
  const key = `${stage}/${known ? reason : 'other'}`
  const count = agent.letters.get(key) ?? { letters: 0, readings: 0 }
  count.letters += 1
  count.readings += readings
  agent.letters.set(key, count)
}

/**
 * A sample this much later than the stream received it has no time: milliseconds that are microseconds, a clock that was never
 * set. Let in, it would stand a year ahead of all that comes, and everything that comes would be taken for history.
 */
export const AHEAD_MS_MAX = 24 * 3_600_000

/** Refuses all readings of samples from the future. @returns the others, the block itself when that is all */
export function refuseAhead(s: BatchScope, block: DeviceBlock): DeviceBlock {
  const { timesMs } = block
  const latestMs = s.receivedAtMs + AHEAD_MS_MAX
  if (!timesMs.some((timeMs) => timeMs > latestMs)) return block
  const ahead: number[] = []
  const kept: number[] = []
  for (let i = 0; i < timesMs.length; i++) ((timesMs[i] as number) > latestMs ? ahead : kept).push(i)
  const first = new Date(timesMs[ahead[0] as number] as number).toISOString()
  const received = new Date(s.receivedAtMs).toISOString()
  const detail = `measured at ${first}, received at ${received}: set the clock of ${block.device} or of its agent; time_ms is milliseconds since 1970`
  const isAhead = new Set(ahead)
  const contract = s.context.contracts.get(block.kind)
  const sequenceColumn = contract && sequenceColumnOf(contract, block)
  for (const column of s.context.privacy.hide(block).columns) {
    const samples = presentSamples(column, timesMs.length).filter((i) => isAhead.has(i))
    refuse(s, block, { field: column.field, reason: 'time_in_future', detail, samples }, [column], sequenceColumn)
  }
  // Where it stands now, and when it came: the time of such a sample means nothing.
  const site = siteAt(s.findDevice(block.device), s.receivedAtMs, s.site)
  noteRefusedSamples(s, site, block, 'time_in_future', s.receivedAtMs, ahead.length)
  return pickSamples(block, kept)
}

/** The block with these samples alone. */
export function pickSamples(block: DeviceBlock, samples: readonly number[]): DeviceBlock {
  return {
    ...block,
    timesMs: Float64Array.from(samples, (i) => block.timesMs[i] as number),
    columns: block.columns.map((column) => samplesOf(column, samples)),
  }
}

function samplesOf(column: FieldColumn, samples: readonly number[]): FieldColumn {
  const present = column.present && Uint8Array.from(samples, (i) => column.present?.[i] as number)
  if (column.type === 'string') return { ...column, present, values: samples.map((i) => column.values[i] as string) }
  if (column.type === 'boolean')
    return { ...column, present, values: Uint8Array.from(samples, (i) => column.values[i] as number) }
  return { ...column, present, values: Float64Array.from(samples, (i) => column.values[i] as number) }
}

function sequenceColumnOf(contract: Contract, block: DeviceBlock): FieldColumn | undefined {
  const name = Object.entries(contract.fields).find(([, f]) => 'role' in f && f.role === 'sequence')?.[0]
  return block.columns.find(({ field, type, present }) => field === name && type === 'number' && present === null)
}

/** Every reading of the block: there is no contract for its kind. */
export function refuseUnknownKind(s: BatchScope, block: DeviceBlock): void {
  const detail = `there is no contract for the kind "${block.kind}"; add contracts/${block.kind}.yaml, or correct the kind in the agent's config`
  for (const column of s.context.privacy.hide(block).columns) {
    const samples = presentSamples(column, block.timesMs.length)
    refuse(s, block, { field: column.field, reason: 'unknown_kind', detail, samples }, [column], undefined)
  }
}

function presentSamples({ present }: FieldColumn, count: number): number[] {
  const samples: number[] = []
  for (let i = 0; i < count; i++) if (present === null || present[i] === 1) samples.push(i)
  return samples
}

function refuse(
  s: BatchScope,
  block: DeviceBlock,
  refusal: ColumnRefusal,
  columns: readonly FieldColumn[],
  sequenceColumn: FieldColumn | undefined,
): void {
  for (const letter of contractLetters(
    s.origin,
    block,
    refusal,
    columns,
    sequenceColumn,
    () => s.contractLetterCount++,
  ))
    addLetter(s.state, s.agent, s.epoch, letter, s.effects)
}

export interface RefusedReadings {
  readonly field: string
  readonly reason: string
  readonly detail: string
  readonly samples: readonly number[]
  /** What samples were compared with, where the letter must tell; of steps it is looked up. */
  readonly before?: ReadonlyMap<number, number>
}

/** @param block without sensitive values @returns for each column which samples are refused; null: none */
export function refuseViolations(
  s: BatchScope,
  series: DeviceSeries,
  block: DeviceBlock,
  violations: readonly RefusedReadings[],
): (Uint8Array | null)[] {
  const refusals: (Uint8Array | null)[] = block.columns.map(() => null)
  const sequenceColumn = sequenceColumnOf(series.contract, block)
  for (const violation of violations) {
    const columns = block.columns.filter(({ field }) => field === violation.field)
    const fresh: number[] = []
    for (const sample of violation.samples) {
      const c = block.columns.findIndex(
        ({ field, present }) => field === violation.field && (present === null || present[sample] === 1),
      )
      if (c < 0) continue
      const mask = refusals[c] ?? new Uint8Array(block.timesMs.length)
      refusals[c] = mask
      // A reading is refused once, for the first reason: else it would be counted twice.
      if (mask[sample] === 1) continue
      mask[sample] = 1
      fresh.push(sample)
    }
    if (fresh.length === 0) continue
    const { field, reason, detail } = violation
    const before =
      reason === 'step_too_large'
        ? samplesBefore(series, columns, fresh)
        : violation.before && fresh.map((i) => violation.before?.get(i) ?? null)
    const refusal = { field, reason, detail, samples: fresh, ...(before && { before }) }
    refuse(s, block, refusal, columns, sequenceColumn)
  }
  return refusals
}

/** What `largest_step` compared each of the samples with: the value before it that is not refused for its own sake. */
function samplesBefore(
  series: DeviceSeries,
  columns: readonly FieldColumn[],
  samples: readonly number[],
): (number | null)[] {
  const column = columns.find(({ type }) => type === 'number')
  const field = column && fieldNamed(series, column.field)
  if (column === undefined || field === undefined) return samples.map(() => null)
  const isBounded = series.contract.policy.range !== 'pass'
  return samples.map((sample) => {
    for (let i = sample - 1; i >= 0; i--) {
      const value = column.values[i] as number
      const isMeasured =
        column.present?.[i] !== 0 &&
        Number.isFinite(value) &&
        (!isBounded || (value >= field.low && value <= field.high))
      if (isMeasured && (field.type !== 'integer' || Number.isSafeInteger(value))) return value
    }
    return Number.isNaN(field.lastValue) ? null : field.lastValue
  })
}
