/** Limits of a device alone: they stand in for the contract's limits of the same field. */
import type { Contract, Threshold } from '@tributary/protocol'
import {
  type Detector,
  type DetectorState,
  detectorsFor,
  restoreState,
  seriesContext,
  thresholdName,
} from './detectors/index.ts'
import type { DeviceThreshold } from './device-record.ts'
import type { DeviceSeries, Watch } from './series.ts'

export const NO_LIMITS: readonly DeviceThreshold[] = []

/** The limits in force for a device, of a kind that this is the contract of. */
export function limitsFor(contract: Contract, own: readonly DeviceThreshold[]): readonly Threshold[] {
  const mine = own.filter(({ field, kind }) => (kind ?? contract.kind) === contract.kind && field in contract.fields)
  if (mine.length === 0) return contract.thresholds
  return [...contract.thresholds.filter(({ field }) => mine.every((limit) => limit.field !== field)), ...mine]
}

/** The device's own limit that a detector judges by, if it is one. */
export function ownLimitOf(
  { ownThresholds, contract }: Pick<DeviceSeries, 'ownThresholds' | 'contract'>,
  field: string,
  detector: string,
): DeviceThreshold | undefined {
  return ownThresholds.find(
    (limit) =>
      limit.field === field && (limit.kind ?? contract.kind) === contract.kind && thresholdName(limit) === detector,
  )
}

/** The detectors of a field; those that were there before go on with what they remember. */
export function watchesFor(
  contract: Contract,
  own: readonly DeviceThreshold[],
  place: { site: string; device: string; field: string },
  saved: Readonly<Record<string, DetectorState | undefined>>,
): Watch[] {
  const { site, device, field } = place
  const detectors: Detector<DetectorState>[] = detectorsFor(
    contract,
    field,
    seriesContext(contract, site, device, field),
    limitsFor(contract, own),
  )
  return detectors.map((detector) => ({ detector, state: restoreState(detector, saved[detector.name]) }))
}
