/** The explicit detectors of a field beyond its limits, and which of all that relate values to others a contract has. */
import type { Contract } from '@tributary/protocol'
import { type CounterResetState, counterResetDetector } from './counter-reset.ts'
import type { Detector, SeriesContext } from './detector.ts'
import { type OutOfRangeState, outOfRangeDetector } from './out-of-range.ts'
import { type RateState, rateDetector } from './rate.ts'
import { togetherName } from './together.ts'

export type ChangeState = RateState | OutOfRangeState | CounterResetState

/** Those of one field. */
export function changeDetectorsFor(
  { fields, policy, detectors }: Contract,
  series: SeriesContext,
): Detector<ChangeState>[] {
  const { field: name } = series
  const field = fields[name]
  if (field?.type !== 'float' && field?.type !== 'integer') return []
  const { range, wraps_at: wrapsAt = Number.POSITIVE_INFINITY } = field
  const { rate = {} } = detectors
  const limit = Object.hasOwn(rate, name) ? rate[name] : undefined
  const found: (Detector<ChangeState> | undefined)[] = [
    limit && rateDetector(limit, series, wrapsAt),
    range && detectors.out_of_range?.includes(name) ? outOfRangeDetector(range, policy.range, series) : undefined,
    detectors.counter_reset?.includes(name) ? counterResetDetector(wrapsAt, series) : undefined,
  ]
  return found.filter((one) => one !== undefined)
}

/** @param detector a detector's name. @param field '' for one that is about several */
export function hasRelation({ detectors }: Contract, field: string, detector: string): boolean {
  if (detector === 'rate') return detectors.rate !== undefined && Object.hasOwn(detectors.rate, field)
  if (detector === 'out_of_range' || detector === 'counter_reset' || detector === 'peers')
    return detectors[detector]?.includes(field) ?? false
  return detectors.together?.some((fields) => togetherName(fields) === detector) ?? false
}
