/** An explicit limit from the contract. Anomalous beyond it; ordinary again once the value came back by the hysteresis. */
import type { Threshold } from '@tributary/protocol'
import { type Detector, NEVER_MS, ORDINARY, type SeriesContext, type Verdict } from './detector.ts'
import { sayNumber, sayReading } from './sentence.ts'

export interface ThresholdState {
  lastTimeMs: number
  beyond: boolean
  lastValue: number
}

/** `threshold_above_7.1`, `threshold_below_-5`: also the name under which alert rules find it. */
export const thresholdName = (threshold: Threshold): string =>
  threshold.above === undefined ? `threshold_below_${threshold.below}` : `threshold_above_${threshold.above}`

/** Is this value, seen alone, beyond the limit? For old readings, which no detector sees in order. */
export function exceeds(threshold: Threshold, value: number): boolean {
  return threshold.above === undefined ? value < (threshold.below ?? -Infinity) : value > threshold.above
}

export function thresholdDetector(threshold: Threshold, series: SeriesContext): Detector<ThresholdState> {
  const { above, below, hysteresis } = threshold
  const upward = above !== undefined
  const limit = above ?? below ?? Number.NaN
  const clearsAt = upward ? limit - hysteresis : limit + hysteresis
  const [lower, upper] = upward ? [undefined, limit] : [limit, undefined]
  const beyond = (value: number): Verdict => {
    const excess = sayNumber(Math.abs(value - limit), series.decimals)
    // "Inputs down: 1, 1 above the limit 0.5" would be said of whole numbers.
    const apart = Math.abs(Number(excess) - Math.abs(value - limit)) < 1e-9 * Math.max(1, Math.abs(limit))
    const message = `${sayReading(value, series)}, ${apart ? `${excess} ` : ''}${upward ? 'above' : 'below'} the limit ${limit}`
    return { anomalous: true, score: 1, expected: undefined, lower, upper, message, component: '' }
  }
  return {
    name: thresholdName(threshold),
    family: 'threshold',
    start: () => ({ lastTimeMs: NEVER_MS, beyond: false, lastValue: 0 }),
    observe(state, timeMs, value) {
      if (!(timeMs > state.lastTimeMs) || !Number.isFinite(value)) return undefined
      const first = state.lastTimeMs === NEVER_MS
      state.lastTimeMs = timeMs
      state.lastValue = value
      if (!state.beyond) {
        if (upward ? value <= limit : value >= limit) return first ? ORDINARY : undefined
        state.beyond = true
        return beyond(value)
      }
      if (upward ? value > clearsAt : value < clearsAt) return undefined
      state.beyond = false
      return ORDINARY
    },
    last: (state) => (state.beyond ? beyond(state.lastValue) : { ...ORDINARY, lower, upper }),
  }
}
