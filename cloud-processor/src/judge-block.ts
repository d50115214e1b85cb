/** What a contract's policies make of a block: which readings are refused, which samples are marked, and what of them may be shown. */
import {
  checkBlock,
  checkInterval,
  type DeviceBlock,
  type FieldColumn,
  type Policy,
  type Violation,
  type ViolationReason,
} from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { convertValues } from './convert-values.ts'
import { noteIssue, type QualityIssue } from './data-quality.ts'
import { countShed } from './deduplicate.ts'
import { type RefusedReadings, refuseViolations } from './refuse.ts'
import { type DeviceSeries, fieldNamed } from './series.ts'
import { EXTRA_FIELDS_MAX, extraOf } from './shape.ts'
import { watchViolations } from './violation-watch.ts'

/** Readings of fields with `sensitivity: drop` are shed, for this reason. */
export const SENSITIVE = 'sensitive'

export interface Judged {
  /** Without any sensitive value. */
  readonly block: DeviceBlock
  /** For each column which samples are refused; null: none. Empty: nothing is. */
  readonly refusals: readonly (Uint8Array | null)[]
  /** What the samples are marked with; null: none is. */
  readonly flags: readonly (string | undefined)[] | null
}

/** What can be a reason for a policy; what no store could hold (`not_finite`, a type that cannot be converted) is refused whatever it says. */
export const POLICY_OF: Partial<Record<ViolationReason, keyof Policy>> = {
  unknown_field: 'unknown_field',
  wrong_unit: 'unit',
  out_of_range: 'range',
  not_in_list: 'range',
  step_too_large: 'step',
  missing_field: 'missing_field',
}
const NONE: readonly (Uint8Array | null)[] = []

/** @param received as the device sent it; from here on only what this returns may be used */
export function judgeBlock(s: BatchScope, series: DeviceSeries, received: DeviceBlock): Judged {
  const { contract } = series
  const { policy } = contract
  const { privacy } = s.context
  const converted = policy.type === 'reject' ? undefined : convertValues(contract, received)
  const clear = converted?.block ?? received
  const violations = checkBlock(contract, clear, (field) => {
    const last = fieldNamed(series, field)?.lastValue
    return last === undefined || Number.isNaN(last) ? undefined : last
  })
  const interval =
    policy.interval === 'pass' ? undefined : checkInterval(clear.timesMs, series.newestMs, contract.interval)
  const block = privacy.hide(clear)
  const hasExtras = policy.unknown_field !== 'reject' || policy.unit !== 'reject'
  if (violations.length === 0 && !hasExtras && converted === undefined && interval === undefined && block === clear)
    return { block, refusals: NONE, flags: null }

  const marks: Mark[] = []
  const refused: Refusal[] = []
  const note = (field: string, issue: string, policy: QualityIssue['policy'], samples: readonly number[]) =>
    noteIssue(s, series, { issue, field, policy }, received.timesMs, samples)
  if (policy.type === 'flag')
    for (const [field, samples] of converted?.samples ?? []) {
      marks.push({ field, reason: 'wrong_type', samples })
      note(field, 'wrong_type', 'flag', samples)
    }
  for (const violation of violations) {
    const { field, reason, samples, detail } = violation
    const key = POLICY_OF[reason]
    const isMarked = key !== undefined && policy[key] === 'flag'
    note(field, reason, isMarked ? 'flag' : 'reject', samples)
    if (isMarked) marks.push(violation)
    else if (reason === 'missing_field') refuseSamples(refused, block, reason, `${field}: ${detail}`, samples)
    else refused.push(violation)
  }
  if (interval) {
    marks.push({ field: '', reason: 'too_late', samples: interval.tooLate })
    note('', 'too_late', 'flag', interval.tooLate)
    note('', 'too_soon', policy.interval === 'flag' ? 'flag' : 'reject', interval.tooSoon)
    if (policy.interval === 'flag') marks.push({ field: '', reason: 'too_soon', samples: interval.tooSoon })
    else {
      const before = new Map(interval.tooSoon.map((i, n) => [i, interval.tooSoonAfterMs[n] as number]))
      refuseSamples(refused, block, 'too_soon', sayTooSoon(contract.interval), interval.tooSoon, before)
    }
  }
  const ofContract = refused.length
  if (hasExtras) for (const column of block.columns) refuseExtra(refused, series, column)
  for (const { field, reason, samples } of refused.slice(ofContract)) note(field, reason, 'reject', samples)
  if (refused.length > 0) watchViolations(s, series, block.timesMs, refused)
  const refusals = refused.length === 0 ? block.columns.map(() => null) : refuseViolations(s, series, block, refused)
  dropSensitive(s, block, refusals)
  const flags = new Flags(s, clear.timesMs.length)
  for (const { field, reason, samples } of marks)
    flags.mark(
      field,
      reason,
      samples.filter((i) => !isRefused(block, refusals, field, i)),
    )
  return { block, refusals, flags: flags.texts }
}

interface Mark {
  /** '': the sample. */
  readonly field: string
  readonly reason: string
  readonly samples: readonly number[]
}

const isRefused = (
  { columns }: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
  field: string,
  i: number,
): boolean => columns.some((column, c) => column.field === field && column.present?.[i] !== 0 && refusals[c]?.[i] === 1)

/** What samples are marked with, counted by reason. */
export class Flags {
  texts: (string | undefined)[] | null = null
  private readonly scope: BatchScope
  private readonly count: number
  constructor(scope: BatchScope, count: number) {
    this.scope = scope
    this.count = count
  }
  mark(field: string, reason: string, samples: readonly number[]): void {
    if (samples.length === 0) return
    const { flagged } = this.scope.state.contracts
    flagged[reason] = (flagged[reason] ?? 0) + samples.length
    this.texts ??= new Array<string | undefined>(this.count).fill(undefined)
    const text = field === '' ? reason : `${field}:${reason}`
    for (const i of samples) this.texts[i] = this.texts[i] === undefined ? text : `${this.texts[i]} ${text}`
  }
}

export const sayTooSoon = (intervalMs: number): string =>
  `less than half the interval of ${intervalMs} ms after the sample before`

type Refusal = Omit<Violation, 'reason'> & Pick<RefusedReadings, 'reason' | 'before'>

/** All readings of these samples. */
function refuseSamples(
  refused: Refusal[],
  { columns }: DeviceBlock,
  reason: string,
  detail: string,
  samples: readonly number[],
  before?: RefusedReadings['before'],
): void {
  if (samples.length === 0) return
  for (const field of new Set(columns.map((column) => column.field)))
    refused.push({ field, reason, detail, samples, ...(before && { before }) })
}

/** A field that the contract does not have, and that its policy takes, must be one that the store can take. */
function refuseExtra(refused: Refusal[], series: DeviceSeries, column: FieldColumn): void {
  const { field, type } = column
  if (series.layout.slotOf.has(field)) return
  const extra = extraOf(series, field, type)
  const samples = [...column.values.keys()].filter((i) => column.present?.[i] !== 0)
  if (extra === undefined) {
    const detail = `${field}: the device sends more than ${EXTRA_FIELDS_MAX} fields that are not in its contract`
    refused.push({ field, reason: 'unknown_field', detail, samples })
  } else if (extra.type !== (type === 'number' ? 'float' : type))
    refused.push({ field, reason: 'wrong_type', detail: `${field}: came as ${extra.type} first`, samples })
  else if (type === 'number') {
    const notFinite = samples.filter((i) => !Number.isFinite(column.values[i]))
    const detail = `${field}: ${column.values[notFinite[0] ?? 0]} is no measurement`
    if (notFinite.length > 0) refused.push({ field, reason: 'not_finite', detail, samples: notFinite })
  }
}

/** What remains of fields with `sensitivity: drop` goes no further, and is counted. */
function dropSensitive(s: BatchScope, { kind, columns, timesMs }: DeviceBlock, refusals: (Uint8Array | null)[]): void {
  for (const [c, { field, present }] of columns.entries()) {
    if (s.context.privacy.sensitivityOf(kind, field) !== 'drop') continue
    const before = refusals[c] ?? null
    let dropped = 0
    for (let i = 0; i < timesMs.length; i++) if (present?.[i] !== 0 && before?.[i] !== 1) dropped += 1
    refusals[c] = new Uint8Array(timesMs.length).fill(1)
    if (s.epoch && dropped > 0) countShed(s.epoch.sequences, s.batch.header.sequence, SENSITIVE, dropped)
  }
}
