/** What the ensemble holds of a reading, as a verdict with its sentence. */
import type { SeriesContext, Verdict } from './detector.ts'
import { type Extremes, unmatchedMs } from './extremes.ts'
import { sayDuration, sayNumber, sayReading } from './sentence.ts'
import { DISTRIBUTION_READINGS } from './views/distribution-view.ts'
import { VIEWS, type View } from './views/findings.ts'
import { LONG_BLOCK, WINDOW } from './views/shape-view.ts'

export interface Held {
  /** Index of the view that found most. */
  view: number
  value: number
  seen: number
  usual: number
  margin: number
  /** The usual level of the series, and how far from it is still usual. */
  level: number
  reach: number
  score: number
}

const UNMATCHED_MS_MIN = 60_000

export function sayHeld(
  held: Held,
  extremes: Extremes,
  timeMs: number,
  anomalous: boolean,
  series: SeriesContext,
): Verdict {
  const component = VIEWS[held.view] as View
  const { value, seen, usual, margin, score } = held
  const number = (of: number) => sayNumber(of, series.decimals)
  const side = (of: number, from: number) => `${number(Math.abs(of - from))} ${of < from ? 'below' : 'above'}`
  const finer = (of: number) => sayNumber(of, series.decimals + 1)
  const ofValue = (said: string, expected: number, reach: number): Verdict => {
    const days = unmatchedMs(extremes, timeMs, value, value >= expected)
    const rare = days >= UNMATCHED_MS_MIN ? `, ${value >= expected ? 'highest' : 'lowest'} in ${sayDuration(days)}` : ''
    const message = `${sayReading(value, series)}, ${said}${rare}`
    return { anomalous, score, expected, lower: expected - reach, upper: expected + reach, message, component }
  }
  const { level, reach } = held
  switch (component) {
    case 'record': {
      const edge = value > usual ? usual + margin : usual - margin
      const within = Math.abs(value - usual) <= margin
      return ofValue(within ? 'within all that it was' : `${side(value, edge)} all that it was`, usual, margin)
    }
    case 'level':
      return ofValue(`${side(value, usual)} its usual level ${number(usual)}`, usual, margin)
    case 'hour':
    case 'hour_record':
      return ofValue(`${side(value, usual)} the usual for ${sayHour(timeMs)}`, usual, margin)
    case 'jump':
      return ofValue(`${side(value, usual)} the readings before it`, usual, margin)
    case 'shift':
      return ofValue(`on average ${number(seen)} of late, ${number(usual)} before`, level, reach)
    case 'prediction':
      return ofValue(`${side(value, usual)} what the readings before it foretold`, usual, margin)
    case 'short_mean':
    case 'long_mean':
      return ofValue(
        `on average ${number(seen)}, which is ${side(seen, usual)} the middle of all before`,
        usual,
        margin,
      )
    case 'variability':
    case 'variability_record':
      return ofValue(`moves by ${finer(seen)} from one reading to the next, usually by ${finer(usual)}`, level, reach)
    case 'distribution':
      return ofValue(`the last ${DISTRIBUTION_READINGS} readings are spread otherwise than those before`, level, reach)
    case 'shape':
    case 'long_shape': {
      const readings = component === 'shape' ? WINDOW : WINDOW * LONG_BLOCK
      const times = (seen / Math.max(margin, Number.MIN_VALUE)).toFixed(1)
      return ofValue(
        `the course of the last ${readings} readings is unlike any before: ${times} times as far off as usual`,
        level,
        reach,
      )
    }
  }
}

/** "14:00 UTC". */
const sayHour = (timeMs: number): string => `${new Date(timeMs).toISOString().slice(11, 13)}:00 UTC`
