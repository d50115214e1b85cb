/** The detector that spoke of an anomaly, and what it remembers. */
import type { Detector } from './detectors/index.ts'
import { peersKey } from './peer-group.ts'
import { fieldNamed } from './series.ts'
import { findSeries, type PartitionState, type RecordedAnomaly } from './state.ts'

export interface Speaker {
  readonly detector: Pick<Detector<object>, 'name' | 'confirm' | 'dismiss'>
  readonly state: object
}

export function speakerOf(state: PartitionState, anomaly: RecordedAnomaly): Speaker | undefined {
  const { site, device, kind, field, detector: name } = anomaly
  if (name === 'peers') {
    const group = state.peers.get(peersKey(anomaly))
    const f = group?.fields.indexOf(field) ?? -1
    const [detector, learned] = [group?.detectors[f], group?.peers.get(device)?.states[f]]
    return detector && learned && { detector, state: learned }
  }
  const series = findSeries(state, site, device, kind)
  const watches = field === '' ? series?.together : series && fieldNamed(series, field)?.watches
  return watches?.find(({ detector }) => detector.name === name)
}
