/**
 * What contracts say of a dead letter's readings now. Pure: `step` asks when the letter is requeued, `tributary dlq requeue --dry-run`
 * before. Step and interval are judged by what a reading was compared with when it was refused for that, and not at all for others:
 * the readings beside them are not in the letter.
 */
import {
  type Contract,
  type Contracts,
  checkBlock,
  type DeadLetter,
  type DeviceBlock,
  type FieldColumn,
  isTooSoon,
  type Policy,
} from '@tributary/protocol'
import { convertValues } from './convert-values.ts'
import { POLICY_OF, sayTooSoon } from './judge-block.ts'
import { type LetterOriginal, readingsOfLetter } from './letter-readings.ts'
import { isHidden, sensitivitiesOf } from './privacy.ts'
import { AHEAD_MS_MAX } from './refuse.ts'
import { EXTRA_FIELDS_MAX } from './shape.ts'

export interface LetterVerdict {
  readonly block: DeviceBlock
  readonly original: LetterOriginal | undefined
  /** undefined: every reading is refused. */
  readonly contract: Contract | undefined
  /** For each column of the block which samples stay refused; null: none. A line that InfluxDB refused stays as a whole. */
  readonly refusals: readonly (Uint8Array | null)[]
  /** Samples that are stored and marked, and what a line was marked with before. */
  readonly marks: readonly Mark[]
  readonly flags: string | undefined
  readonly stored: number
  readonly refused: number
  /** Why readings stay refused, that of the most first; else ''. */
  readonly reason: string
  readonly detail: string
}

/** Whether a field that the contract does not have can be stored beside it; undefined: it can, else why not. */
export type TakeExtra = (block: DeviceBlock, column: FieldColumn) => string | undefined

/** What was taken so far stands in for what a partition remembers: a look ahead, letter by letter, without its state. */
export function takeExtrasInOrder(): TakeExtra {
  const fieldsOf = new Map<string, Map<string, FieldColumn['type']>>()
  return ({ device, kind }, { field, type }) => {
    const key = `${kind} ${device}`
    const fields = fieldsOf.get(key) ?? new Map<string, FieldColumn['type']>()
    fieldsOf.set(key, fields)
    const first = fields.get(field)
    if (first === undefined && fields.size >= EXTRA_FIELDS_MAX) return sayTooMany(field)
    fields.set(field, first ?? type)
    return first === undefined || first === type ? undefined : sayOtherType(field, first)
  }
}
export const sayTooMany = (field: string): string =>
  `${field}: the device sends more than ${EXTRA_FIELDS_MAX} fields that are not in its contract`
export const sayOtherType = (field: string, first: string): string => `${field}: came as ${first} first`

/** @returns a sentence when the letter cannot be requeued at all */
export function judgeLetter(
  letter: DeadLetter,
  contracts: Contracts,
  nowMs: number,
  takeExtra: TakeExtra = () => undefined,
): LetterVerdict | string {
  const readings = readingsOfLetter(letter)
  if (typeof readings === 'string') return readings
  const { original, flags } = readings
  const contract = contracts.get(readings.block.kind)
  const hidden = sensitiveOf(letter, readings.block, contracts)
  if (typeof hidden === 'string') return hidden
  const rules = contract && rulesFor(contract, hidden)
  const converted = rules && rules.policy.type !== 'reject' ? convertValues(rules, readings.block) : undefined
  const block = converted?.block ?? readings.block
  const marks: Mark[] = []
  if (rules?.policy.type === 'flag')
    for (const [field, samples] of converted?.samples ?? []) marks.push({ field, reason: 'wrong_type', samples })
  const found: Refusal[] = aheadOf(block, nowMs)
  const judge = (key: keyof Policy | undefined, refusal: Refusal) => {
    const policy = key === undefined ? 'reject' : (rules?.policy[key] ?? 'reject')
    if (policy === 'reject') found.push(refusal)
    else if (policy === 'flag') marks.push({ ...refusal, field: refusal.field ?? '' })
  }
  if (rules === undefined) {
    const detail = `there is no contract for the kind "${block.kind}"`
    found.push({ field: undefined, samples: all(block), reason: 'unknown_kind', detail })
  } else {
    for (const violation of checkBlock(rules, block, () => undefined))
      if (violation.reason !== 'missing_field') judge(POLICY_OF[violation.reason], violation)
    for (const step of stepsOf(contract as Contract, letter, block, original)) judge('step', step)
    for (const refusal of missingOf(rules, letter, block)) judge('missing_field', refusal)
    for (const refusal of tooSoonOf(rules, letter, block, original)) judge('interval', refusal)
    const isRejected = ({ field }: FieldColumn) => found.some((refusal) => refusal.field === field)
    for (const column of block.columns)
      if (!Object.hasOwn(rules.fields, column.field) && !isRejected(column))
        found.push(...extraOf(block, column, takeExtra))
  }
  const refusals = block.columns.map((): Uint8Array | null => null)
  const reasons = new Map<string, { count: number; detail: string }>()
  for (const { field, reason, detail, samples } of found)
    for (const [c, column] of block.columns.entries())
      for (const i of samples) {
        if ((field !== undefined && column.field !== field) || column.present?.[i] === 0) continue
        const mask = refusals[c] ?? new Uint8Array(block.timesMs.length)
        refusals[c] = mask
        if (mask[i] === 1) continue
        mask[i] = 1
        reasons.set(reason, { count: (reasons.get(reason)?.count ?? 0) + 1, detail })
      }
  const byCount = [...reasons].sort(([, a], [, b]) => b.count - a.count)
  const isWhole = letter.stage === 'store' && byCount.length > 0
  const refused = isWhole ? letter.readingCount : byCount.reduce((sum, [, { count }]) => sum + count, 0)
  return {
    block,
    original,
    contract,
    marks,
    flags,
    refusals: isWhole ? block.columns.map(() => Uint8Array.of(1)) : refusals,
    stored: letter.readingCount - refused,
    refused,
    reason: byCount[0]?.[0] ?? '',
    detail: byCount.map(([, { detail }]) => detail).join('; '),
  }
}

const all = ({ timesMs }: DeviceBlock): number[] => Array.from(timesMs, (_, i) => i)

interface Mark {
  /** '': the sample. */
  readonly field: string
  readonly reason: string
  readonly samples: readonly number[]
}

interface Refusal {
  /** undefined: all. */
  readonly field: string | undefined
  readonly reason: string
  readonly detail: string
  readonly samples: readonly number[]
}

function aheadOf(block: DeviceBlock, nowMs: number): Refusal[] {
  const samples = all(block).filter((i) => (block.timesMs[i] as number) > nowMs + AHEAD_MS_MAX)
  if (samples.length === 0) return []
  const first = new Date(block.timesMs[samples[0] as number] as number).toISOString()
  return [
    { field: undefined, reason: 'time_in_future', detail: `measured at ${first}, which has not been yet`, samples },
  ]
}

/**
 * What was refused hidden, or before its field was sensitive, is not sent in again: only a line of the store has what stands there instead.
 * @returns the sensitive fields, or why the letter cannot be requeued
 */
function sensitiveOf(letter: DeadLetter, { kind, columns }: DeviceBlock, contracts: Contracts): Set<string> | string {
  const sensitivityOf = sensitivitiesOf(contracts)
  const sensitive = new Set<string>()
  for (const { field, values } of columns) {
    const sensitivity = sensitivityOf(kind, field)
    if (sensitivity === 'none') continue
    sensitive.add(field)
    if (letter.stage !== 'store' || !isHidden(sensitivity, values[0]))
      return `${field} is a sensitive field: what was refused of it is not sent in again`
  }
  return sensitive
}

/** Steps are judged apart; what is hidden is text. */
function rulesFor(contract: Contract, hidden: ReadonlySet<string>): Contract {
  const fields = Object.entries(contract.fields).map(([name, field]) => {
    if (hidden.has(name)) return [name, { type: 'string', label: field.label, sensitivity: 'none' }]
    return [name, 'largest_step' in field ? { ...field, largest_step: undefined } : field]
  })
  return { ...contract, fields: Object.fromEntries(fields) as Contract['fields'] }
}

/** A field that is not in the letter was missing: is it required still? */
function missingOf({ fields }: Contract, { reason, detail }: DeadLetter, block: DeviceBlock): Refusal[] {
  const missing = detail.slice(0, detail.indexOf(':'))
  const isStill = reason === 'missing_field' && Object.hasOwn(fields, missing) && fields[missing]?.required
  return isStill ? [{ field: undefined, reason, detail, samples: all(block) }] : []
}

function tooSoonOf(
  { interval }: Contract,
  { reason }: DeadLetter,
  block: DeviceBlock,
  original: LetterOriginal | undefined,
): Refusal[] {
  if (reason !== 'too_soon') return []
  const samples = all(block).filter((i) => {
    const before = original?.before?.[i]
    return typeof before !== 'number' || isTooSoon((block.timesMs[i] as number) - before, interval)
  })
  return samples.length === 0 ? [] : [{ field: undefined, reason, detail: sayTooSoon(interval), samples }]
}

function extraOf(block: DeviceBlock, column: FieldColumn, takeExtra: TakeExtra): Refusal[] {
  const { field } = column
  const samples = all(block).filter((i) => column.present?.[i] !== 0)
  const why = takeExtra(block, column)
  if (why !== undefined) return [{ field, reason: 'unknown_field', detail: why, samples }]
  const notFinite = samples.filter((i) => column.type === 'number' && !Number.isFinite(column.values[i]))
  if (notFinite.length === 0) return []
  return [
    {
      field,
      reason: 'not_finite',
      detail: `${field}: ${column.values[notFinite[0] as number]} is no measurement`,
      samples: notFinite,
    },
  ]
}

function stepsOf(
  contract: Contract,
  letter: DeadLetter,
  block: DeviceBlock,
  original: LetterOriginal | undefined,
): Refusal[] {
  const field = contract.fields[letter.field]
  const step = field && 'largest_step' in field ? field.largest_step : undefined
  if (letter.reason !== 'step_too_large' || step === undefined) return []
  const samples = all(block).filter((i) => {
    const value = original?.values[i]
    const before = original?.before?.[i]
    return typeof value !== 'number' || typeof before !== 'number' || Math.abs(value - before) > step
  })
  if (samples.length === 0) return []
  const [i] = samples as [number]
  const before = original?.before?.[i]
  const detail =
    typeof before === 'number'
      ? `${letter.field}: ${original?.values[i]} is more than ${step} from ${before}, the sample before`
      : `${letter.field}: the letter does not say what the sample before was; the contract has a largest_step of ${step}`
  return [{ field: letter.field, reason: 'step_too_large', detail, samples }]
}
