/** A value outside the contract's range, whatever the policy makes of it; over with the next one within. */
import type { Policy } from '@tributary/protocol'
import { type Detector, NEVER_MS, ORDINARY, type SeriesContext, type Verdict } from './detector.ts'
import { sayReading } from './sentence.ts'

export interface OutOfRangeState {
  lastTimeMs: number
  lastValue: number
  outside: boolean
}

const BECAME: Readonly<Record<Policy['range'], string>> = {
  reject: 'refused',
  flag: 'stored and marked',
  pass: 'stored',
}

export function outOfRangeDetector(
  [lower, upper]: readonly [number, number],
  handling: Policy['range'],
  series: SeriesContext,
): Detector<OutOfRangeState> {
  const outside = (value: number): Verdict => {
    const message = `${sayReading(value, series)}, outside the range ${lower} to ${sayRange(upper)} of its contract: ${BECAME[handling]}`
    return { anomalous: true, score: 1, expected: undefined, lower, upper, message, component: '' }
  }
  const sayRange = (limit: number): string => (series.unit === '' ? `${limit}` : `${limit} ${series.unit}`)
  return {
    name: 'out_of_range',
    family: 'out_of_range',
    start: () => ({ lastTimeMs: NEVER_MS, lastValue: 0, outside: false }),
    observe(state, timeMs, value) {
      if (!(timeMs > state.lastTimeMs) || !Number.isFinite(value)) return undefined
      const isFirst = state.lastTimeMs === NEVER_MS
      const was = state.outside
      state.lastTimeMs = timeMs
      state.lastValue = value
      state.outside = value < lower || value > upper
      if (state.outside) return was ? undefined : outside(value)
      return isFirst || was ? ORDINARY : undefined
    },
    last: (state) => (state.outside ? outside(state.lastValue) : { ...ORDINARY, lower, upper }),
  }
}
