import type { DeviceBlock } from './batch.ts'
import type { Contract } from './contract.ts'

export type ViolationReason =
  | 'unknown_field'
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
  readonly detail: string
  /** Ascending indices of the block's samples. */
  readonly samples: readonly number[]
}

/** The last accepted value of a numeric field of this device, for `largest_step`; undefined when there is none yet. */
export type PreviousValue = (field: string) => number | undefined

/** Checks a block against its kind's contract. Pure. `missing_field` is reported, and refuses no reading. */
export function checkBlock(_contract: Contract, _block: DeviceBlock, _previous: PreviousValue): Violation[] {
  throw new Error('not written yet')
}
