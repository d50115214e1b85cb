import type { Detector, SeriesContext } from './detector.ts'

export interface OutlierState {
  lastTimeMs: number
}

export function outlierDetector(_series: SeriesContext): Detector<OutlierState> {
  throw new Error('not written yet')
}
