/** A block against its kind's contract. Ordinary blocks pass in one quick scan a column; only a column with a violation is looked at again. */
import type { DeviceBlock, FieldColumn } from './batch.ts'
import type { Contract, ContractField } from './contract.ts'
import { fieldInOtherUnit } from './unit-names.ts'

export type ViolationReason =
  | 'unknown_field'
  | 'wrong_unit'
  | 'wrong_type'
  | 'not_finite'
  | 'out_of_range'
  | 'step_too_large'
  | 'not_in_list'
  | 'missing_field'

/** One refused run of readings: samples (indices into the block) of one field, for one reason. */
export interface Violation {
  readonly field: string
  readonly reason: ViolationReason
  /** A sentence for a person: the first of the refused values, what is allowed, how many there are. */
  readonly detail: string
  /** Ascending indices of the block's samples. */
  readonly samples: readonly number[]
}

/**
 * A numeric field's value in the device's sample before this block, for `largest_step`; undefined when there is none.
 * Hand in the last value in range also when it was refused for its step: else one step to a new level would shut a series
 * out for good.
 */
export type PreviousValue = (field: string) => number | undefined

/**
 * Checks a block against its kind's contract. Pure. What becomes of the readings that a violation names is the contract's policy;
 * checks whose policy is `pass` are not made where nothing needs to be known of them. Details never say a sensitive value.
 */
export function checkBlock(contract: Contract, block: DeviceBlock, previous: PreviousValue): Violation[] {
  const violations: Violation[] = []
  for (const column of block.columns) {
    const field = Object.hasOwn(contract.fields, column.field) ? contract.fields[column.field] : undefined
    if (!field) refuseUnknown(violations, contract, column)
    else if (field.sensitivity === 'drop') continue
    else if (field.type === 'float' || field.type === 'integer')
      checkNumbers(violations, contract, field, column, previous)
    else if (field.type !== column.type)
      refuse(
        violations,
        column,
        'wrong_type',
        presentSamples(column),
        saying(field, (value) => `${value} is no ${field.type}`),
      )
    else if (field.type === 'string' && field.values && contract.policy.range !== 'pass')
      checkList(violations, field, field.values, column)
  }
  if (contract.policy.missing_field !== 'pass')
    for (const [name, field] of Object.entries(contract.fields))
      if (field.required) reportMissing(violations, name, block)
  return violations
}

function refuseUnknown(violations: Violation[], contract: Contract, column: FieldColumn): void {
  const other = fieldInOtherUnit(contract, column.field)
  if ((other === undefined ? contract.policy.unknown_field : contract.policy.unit) === 'pass') return
  const samples = presentSamples(column)
  if (other === undefined)
    refuse(violations, column, 'unknown_field', samples, () => `the contract of ${contract.kind} has no such field`)
  else refuse(violations, column, 'wrong_unit', samples, () => `the contract of ${contract.kind} has ${other}`)
}

/** A sentence about a value; of a sensitive field it must not tell it. */
const saying =
  (field: ContractField, sentence: (value: string) => string): ((value: string) => string) =>
  (value) =>
    sentence(field.sensitivity === 'none' ? value : 'a sensitive value')

type NumericField = Extract<ContractField, { type: 'float' | 'integer' }>

function checkNumbers(
  violations: Violation[],
  contract: Contract,
  field: NumericField,
  column: FieldColumn,
  previous: PreviousValue,
): void {
  if (column.type !== 'number') {
    refuse(
      violations,
      column,
      'wrong_type',
      presentSamples(column),
      saying(field, (value) => `${value} is no number`),
    )
    return
  }
  const whole = field.type === 'integer'
  const range = contract.policy.range === 'pass' ? undefined : field.range
  const low = range?.[0] ?? (whole ? Number.MIN_SAFE_INTEGER : -Number.MAX_VALUE)
  const high = range?.[1] ?? (whole ? Number.MAX_SAFE_INTEGER : Number.MAX_VALUE)
  const step = (contract.policy.step === 'pass' ? undefined : field.largest_step) ?? Number.POSITIVE_INFINITY
  const before = step < Number.POSITIVE_INFINITY ? (previous(column.field) ?? Number.NaN) : Number.NaN
  const [least, most] = whole
    ? [Math.max(low, Number.MIN_SAFE_INTEGER), Math.min(high, Number.MAX_SAFE_INTEGER)]
    : [low, high]
  if (numbersFit(column.values, column.present, least, most, whole, step, before)) return

  const wrongType: number[] = []
  const notFinite: number[] = []
  const outOfRange: number[] = []
  const stepTooLarge: number[] = []
  let last = before
  for (const i of presentSamples(column)) {
    const value = column.values[i] as number
    if (!Number.isFinite(value)) notFinite.push(i)
    else if (whole && !Number.isSafeInteger(value)) wrongType.push(i)
    else if (value < low || value > high) outOfRange.push(i)
    else {
      if (Math.abs(value - last) > step) stepTooLarge.push(i)
      last = value
    }
  }
  const unit = field.unit ? ` ${field.unit}` : ''
  const say = (reason: ViolationReason, samples: readonly number[], sentence: (value: string) => string) =>
    refuse(violations, column, reason, samples, saying(field, sentence))
  say('not_finite', notFinite, (value) => `${value} is no measurement`)
  say('wrong_type', wrongType, (value) => `${value} is no whole number below 2^53`)
  say('out_of_range', outOfRange, (value) => `${value}${unit} is not within ${low} to ${high}${unit}`)
  say('step_too_large', stepTooLarge, (value) => `${value}${unit} is more than ${step}${unit} from the sample before`)
}

/** The quick scan: is there nothing to refuse? NaN fails every comparison; a step is judged against the sample before. */
function numbersFit(
  values: Float64Array,
  present: Uint8Array | null,
  low: number,
  high: number,
  whole: boolean,
  step: number,
  before: number,
): boolean {
  let last = before
  for (let i = 0; i < values.length; i++) {
    if (present !== null && present[i] === 0) continue
    const value = values[i] as number
    if (!(value >= low && value <= high)) return false
    if (whole && Math.trunc(value) !== value) return false
    if (Math.abs(value - last) > step) return false
    last = value
  }
  return true
}

function checkList(
  violations: Violation[],
  field: ContractField,
  allowed: readonly string[],
  column: FieldColumn,
): void {
  const list = new Set<unknown>(allowed)
  const strange = presentSamples(column).filter((i) => !list.has(column.values[i]))
  refuse(
    violations,
    column,
    'not_in_list',
    strange,
    saying(field, (value) => `${value} is none of ${allowed.join(', ')}`),
  )
}

function reportMissing(violations: Violation[], field: string, block: DeviceBlock): void {
  const columns = block.columns.filter((column) => column.field === field)
  if (columns.some((column) => column.present === null)) return
  const samples: number[] = []
  for (let i = 0; i < block.timesMs.length; i++)
    if (!columns.some((column) => column.present?.[i] !== 0)) samples.push(i)
  if (samples.length > 0)
    violations.push({
      field,
      reason: 'missing_field',
      detail: `${samples.length} of ${block.timesMs.length} samples lack it`,
      samples,
    })
}

function presentSamples(column: FieldColumn): number[] {
  const samples: number[] = []
  for (let i = 0; i < column.values.length; i++) if (column.present?.[i] !== 0) samples.push(i)
  return samples
}

function refuse(
  violations: Violation[],
  column: FieldColumn,
  reason: ViolationReason,
  samples: readonly number[],
  sentence: (value: string) => string,
): void {
  if (samples.length === 0) return
  const value = column.values[samples[0] as number]
  const shown =
    column.type === 'boolean' ? String(value !== 0) : column.type === 'string' ? JSON.stringify(value) : String(value)
  const count = samples.length === 1 ? '1 reading' : `${samples.length} readings`
  violations.push({ field: column.field, reason, detail: `${column.field}: ${sentence(shown)} (${count})`, samples })
}
