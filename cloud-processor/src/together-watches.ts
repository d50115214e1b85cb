/** Groups of fields of a device that a contract watches together. */
import type { Contract } from '@tributary/protocol'
import {
  type JointDetector,
  restoreState,
  seriesContext,
  type TogetherState,
  togetherDetector,
} from './detectors/index.ts'

export interface TogetherWatch {
  readonly fields: readonly string[]
  readonly detector: JointDetector<TogetherState>
  readonly state: TogetherState
}

const NONE: readonly TogetherWatch[] = []

/** The groups of fields that a contract watches together; those that were there before go on with what they remember. */
export function togetherWatchesFor(
  contract: Contract,
  place: { site: string; device: string },
  saved: Readonly<Record<string, unknown>> = {},
): readonly TogetherWatch[] {
  const groups = contract.detectors.together
  if (groups === undefined) return NONE
  return groups.map((fields) => {
    const detector = togetherDetector(fields.map((field) => seriesContext(contract, place.site, place.device, field)))
    return { fields, detector, state: restoreState(detector, saved[detector.name]) }
  })
}

/** What a checkpoint keeps of them. */
export const savedTogether = (watches: readonly TogetherWatch[]): Record<string, TogetherState> =>
  Object.fromEntries(watches.map(({ detector, state }) => [detector.name, state]))
