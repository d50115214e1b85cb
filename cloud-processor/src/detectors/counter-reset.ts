/** A counter that fell and did not wrap: a meter that was swapped, began again, or was set back. `counter.ts` says what is which. */
import { changeOf } from '../counter.ts'
import { type Detector, NEVER_MS, ORDINARY, type SeriesContext, type Verdict } from './detector.ts'
import { sayReading, sayValue } from './sentence.ts'

export interface CounterResetState {
  lastTimeMs: number
  lastValue: number
  /** The reading before the last one. */
  before: number
  fell: boolean
}

/** @param wrapsAt the counter's modulus; infinite when it never wraps */
export function counterResetDetector(wrapsAt: number, series: SeriesContext): Detector<CounterResetState> {
  const fallen = ({ before, lastValue }: CounterResetState): Verdict => {
    const what =
      changeOf(before, lastValue, wrapsAt) === 'reset'
        ? `began again: it stood at ${sayValue(before, series)}`
        : `stepped back by ${sayValue(before - lastValue, series)} from ${sayValue(before, series)}`
    const message = `${sayReading(lastValue, series)}, ${what}`
    return { anomalous: true, score: 1, expected: before, lower: before, upper: undefined, message, component: '' }
  }
  return {
    name: 'counter_reset',
    family: 'counter_reset',
    start: () => ({ lastTimeMs: NEVER_MS, lastValue: 0, before: 0, fell: false }),
    observe(state, timeMs, value) {
      if (!(timeMs > state.lastTimeMs) || !Number.isFinite(value)) return undefined
      const isFirst = state.lastTimeMs === NEVER_MS
      state.lastTimeMs = timeMs
      const change = isFirst ? 'growth' : changeOf(state.lastValue, value, wrapsAt)
      const was = state.fell
      state.fell = change === 'reset' || change === 'step_back'
      // Of falls one after another the first is told.
      if (!was || !state.fell) state.before = isFirst ? value : state.lastValue
      state.lastValue = value
      if (state.fell) return was ? undefined : fallen(state)
      return isFirst || was ? ORDINARY : undefined
    },
    last: (state) => (state.fell ? fallen(state) : ORDINARY),
  }
}
