import { type Contract, outlierSizeOf, type Threshold } from '@tributary/protocol'
import type { Detector, SeriesContext } from './detector.ts'
import { type FlatlineState, flatlineDetector } from './flatline.ts'
import { type FullState, fullDetector } from './full.ts'
import { type OutlierState, outlierDetector } from './outlier.ts'
import { type ChangeState, changeDetectorsFor } from './relations.ts'
import { type SilenceDetector, silenceDetector } from './silence.ts'
import { type ThresholdState, thresholdDetector, thresholdName } from './threshold.ts'

export * from './detector.ts'
export type { FlatlineState } from './flatline.ts'
export { type FullState, fullDetector } from './full.ts'
export * from './joint-detector.ts'
export { AGENT_UNREACHABLE, GATEWAY_UNREACHABLE, isLinkDetector } from './link.ts'
export { type OutlierState, outlierDetector } from './outlier.ts'
export { apartness, loseSight, PEERS_MIN, type PeersState, peersDetector } from './peers.ts'
export { hasRelation } from './relations.ts'
export { sayDuration, sayNumber, sayTime, sayValue } from './sentence.ts'
export type { SilenceDetector, SilenceInput, SilenceState, SilenceVerdict } from './silence.ts'
export { exceeds, type ThresholdState, thresholdName } from './threshold.ts'
export { fieldsOfTogether, type TogetherState, togetherDetector, togetherName } from './together.ts'

export type DetectorState = ThresholdState | OutlierState | FullState | FlatlineState | ChangeState

/**
 * The detectors that a contract asks for on one field of one device. Booleans are judged as 0 and 1; a field of strings has none.
 * Of two thresholds with the same limit the first counts.
 * @param thresholds in the stead of the contract's
 */
export function detectorsFor(
  contract: Contract,
  field: string,
  series: SeriesContext,
  thresholds: readonly Threshold[] = contract.thresholds,
): Detector<DetectorState>[] {
  const definition = contract.fields[field]
  if (definition === undefined || definition.type === 'string') return []
  const found = new Map<string, Detector<DetectorState>>()
  for (const threshold of thresholds)
    if (threshold.field === field && !found.has(thresholdName(threshold)))
      found.set(thresholdName(threshold), thresholdDetector(threshold, series))
  const size = outlierSizeOf(contract, field)
  if (size !== undefined) found.set('outlier', size === 'full' ? fullDetector(series) : outlierDetector(series))
  const { flatline } = contract.detectors
  const flatMs = Object.hasOwn(flatline, field) ? flatline[field] : undefined
  if (flatMs !== undefined) found.set('flatline', flatlineDetector(flatMs, series))
  for (const detector of changeDetectorsFor(contract, series)) found.set(detector.name, detector)
  return [...found.values()]
}

/** The silence detector of a device, when its contract asks for one. */
export function silenceFor(
  contract: Contract,
  series: Pick<SeriesContext, 'device' | 'kind'>,
): SilenceDetector | undefined {
  return contract.detectors.silence === undefined ? undefined : silenceDetector(contract.detectors.silence, series)
}

/** What detectors need to know of a series, from its contract. */
export function seriesContext(contract: Contract, site: string, device: string, field: string): SeriesContext {
  const definition = contract.fields[field]
  const numeric = definition?.type === 'float' || definition?.type === 'integer' ? definition : undefined
  return {
    site,
    device,
    kind: contract.kind,
    field,
    label: definition?.label ?? field,
    unit: numeric?.unit ?? '',
    decimals: numeric?.decimals ?? 0,
    intervalMs: contract.interval,
  }
}
