/** A value that has not moved for the contract's duration while samples kept coming: a frozen or unplugged probe. */
import { type Detector, NEVER_MS, ORDINARY, type SeriesContext, type Verdict } from './detector.ts'
import { sayDuration, sayReading, sayTime } from './sentence.ts'

export interface FlatlineState {
  lastTimeMs: number
  value: number
  sinceMs: number
  /** Samples with this value, the first one included. */
  samples: number
  flat: boolean
}

/** Fewer equal samples than this prove nothing, however long they took. */
const SAMPLES_MIN = 5

export function flatlineDetector(durationMs: number, series: SeriesContext): Detector<FlatlineState> {
  // Across a longer gap nobody watched: the count begins anew.
  const gapMsMax = Math.max(10 * series.intervalMs, durationMs / 2)
  const still = ({ lastTimeMs, value, sinceMs, samples }: FlatlineState): Verdict => {
    const message = `${sayReading(value, series)}, unchanged for ${sayDuration(lastTimeMs - sinceMs)} and ${samples} samples, since ${sayTime(sinceMs)}`
    return {
      anomalous: true,
      score: 1,
      expected: undefined,
      lower: undefined,
      upper: undefined,
      message,
      component: '',
    }
  }
  return {
    name: 'flatline',
    family: 'flatline',
    start: () => ({ lastTimeMs: NEVER_MS, value: 0, sinceMs: 0, samples: 0, flat: false }),
    observe(state, timeMs, value) {
      if (!(timeMs > state.lastTimeMs) || !Number.isFinite(value)) return undefined
      const gap = timeMs - state.lastTimeMs > gapMsMax
      state.lastTimeMs = timeMs
      if (state.samples === 0 || value !== state.value || (gap && !state.flat)) {
        const changed = state.samples === 0 || state.flat
        state.value = value
        state.sinceMs = timeMs
        state.samples = 1
        state.flat = false
        return changed ? ORDINARY : undefined
      }
      state.samples += 1
      if (state.flat || state.samples < SAMPLES_MIN || timeMs - state.sinceMs < durationMs) return undefined
      state.flat = true
      return still(state)
    },
    last: (state) => (state.flat ? still(state) : ORDINARY),
  }
}
