/**
 * How fast a value changes, against the contract's limit: the slope over a stated span, so that noise between two neighbouring
 * samples is no rate. The span is cut into BUCKETS; the slope is the median of those between any two buckets' means (Theil 1950, Sen
 * 1968), which a single wild value does not move. Judged each time a bucket is full. Over once the slope is below CLEAR_SHARE of the limit.
 * A counter that wraps goes on counting: what was before is taken down by its modulus.
 */
import { type RateLimit, rateMs, rateSpanMs } from '@tributary/protocol'
import { changeOf } from '../counter.ts'
import { type Detector, NEVER_MS, ORDINARY, type SeriesContext, type Verdict } from './detector.ts'
import { sayDuration, sayNumber, sayReading, sayValue } from './sentence.ts'

const BUCKETS = 8
/** Fewer tell no slope, nor do those that lie nearer together than this share of the span. */
const FILLED_MIN = 3
const SPANNED_MIN = 0.5
const CLEAR_SHARE = 0.8
/** Larger values would overflow in the arithmetic. */
const VALUE_MAX = 1e290
const PER_MS = { s: 1_000, min: 60_000, h: 3_600_000 } as const

export interface RateState {
  lastTimeMs: number
  lastValue: number
  /** A ring; of each bucket its number since 1970, how many readings, their mean, and the mean of their times within it. */
  numbers: number[]
  counts: number[]
  means: number[]
  offsetsMs: number[]
  beyond: boolean
  /** A millisecond, and the time and value from which it was measured. */
  slope: number
  fromMs: number
  fromValue: number
}

const slopes = new Float64Array((BUCKETS * (BUCKETS - 1)) / 2)

/** @param wrapsAt of a counter: its modulus */
export function rateDetector(
  limit: RateLimit,
  series: SeriesContext,
  wrapsAt = Number.POSITIVE_INFINITY,
): Detector<RateState> {
  const spanMs = rateSpanMs(limit, series.intervalMs)
  const bucketMs = spanMs / BUCKETS
  const most = rateMs(limit)
  const beyondBy = (slope: number, share: number): boolean =>
    (limit.direction !== 'falling' && slope > share * most) || (limit.direction !== 'rising' && -slope > share * most)

  /** Of the buckets that are full and within the span. @returns false when they do not tell */
  const measure = (state: RateState, current: number): boolean => {
    let count = 0
    let firstMs = Number.POSITIVE_INFINITY
    let lastMs = Number.NEGATIVE_INFINITY
    let filled = 0
    for (let i = 0; i < BUCKETS; i++) {
      if (!isWithin(state, i, current)) continue
      filled += 1
      const timeMs = timeOf(state, i)
      if (timeMs < firstMs) {
        firstMs = timeMs
        state.fromMs = timeMs
        state.fromValue = state.means[i] as number
      }
      lastMs = Math.max(lastMs, timeMs)
      for (let j = 0; j < i; j++)
        if (isWithin(state, j, current))
          slopes[count++] = ((state.means[i] as number) - (state.means[j] as number)) / (timeMs - timeOf(state, j))
    }
    if (filled < FILLED_MIN || lastMs - firstMs < SPANNED_MIN * spanMs) return false
    const sorted = slopes.subarray(0, count).sort()
    state.slope = ((sorted[(count - 1) >> 1] as number) + (sorted[count >> 1] as number)) / 2
    return true
  }
  const timeOf = ({ numbers, offsetsMs }: RateState, i: number): number =>
    (numbers[i] as number) * bucketMs + (offsetsMs[i] as number)
  const isWithin = ({ numbers, counts }: RateState, i: number, current: number): boolean => {
    const number = numbers[i] as number
    return (counts[i] as number) > 0 && number < current && number >= current - BUCKETS
  }

  const add = (state: RateState, timeMs: number, value: number, number: number): void => {
    const i = number - BUCKETS * Math.floor(number / BUCKETS)
    if (state.numbers[i] !== number) {
      state.numbers[i] = number
      state.counts[i] = state.means[i] = state.offsetsMs[i] = 0
    }
    const count = (state.counts[i] as number) + 1
    state.counts[i] = count
    state.means[i] = (state.means[i] as number) + (value - (state.means[i] as number)) / count
    state.offsetsMs[i] =
      (state.offsetsMs[i] as number) + (timeMs - number * bucketMs - (state.offsetsMs[i] as number)) / count
  }

  /** As the counter showed it. */
  const shown = (value: number): number => (value < 0 && Number.isFinite(wrapsAt) ? value + wrapsAt : value)
  const wrap = (state: RateState): void => {
    state.means = state.means.map((mean) => mean - wrapsAt)
    state.fromValue -= wrapsAt
  }

  const beyond = (state: RateState): Verdict => {
    const { slope, lastTimeMs, lastValue, fromMs, fromValue } = state
    const room = most * (lastTimeMs - fromMs)
    const perUnit = sayNumber(Math.abs(slope) * PER_MS[limit.per], Math.max(1, series.decimals))
    const message = `${sayReading(lastValue, series)}, ${slope > 0 ? 'rising' : 'falling'} by ${perUnit} a ${SAID[limit.per]} over the last ${sayDuration(lastTimeMs - fromMs)}, from ${sayValue(shown(fromValue), series)}; the limit is ${limit.amount}`
    return {
      anomalous: true,
      score: 1,
      expected: fromValue,
      lower: limit.direction === 'rising' ? undefined : fromValue - room,
      upper: limit.direction === 'falling' ? undefined : fromValue + room,
      message,
      component: '',
    }
  }

  return {
    name: 'rate',
    family: 'rate',
    start: () => ({
      lastTimeMs: NEVER_MS,
      lastValue: 0,
      numbers: new Array<number>(BUCKETS).fill(0),
      counts: new Array<number>(BUCKETS).fill(0),
      means: new Array<number>(BUCKETS).fill(0),
      offsetsMs: new Array<number>(BUCKETS).fill(0),
      beyond: false,
      slope: 0,
      fromMs: 0,
      fromValue: 0,
    }),
    observe(state, timeMs, value) {
      if (!(timeMs > state.lastTimeMs) || !(Math.abs(value) <= VALUE_MAX)) return undefined
      const isFirst = state.lastTimeMs === NEVER_MS
      const number = Math.floor(timeMs / bucketMs)
      const isFull = !isFirst && number > Math.floor(state.lastTimeMs / bucketMs)
      if (!isFirst && changeOf(state.lastValue, value, wrapsAt) === 'wrap') wrap(state)
      state.lastTimeMs = timeMs
      state.lastValue = value
      const was = state.beyond
      if (isFull) state.beyond = measure(state, number) && beyondBy(state.slope, was ? CLEAR_SHARE : 1)
      add(state, timeMs, value, number)
      if (state.beyond && !was) return beyond(state)
      return isFirst || (was && !state.beyond) ? ORDINARY : undefined
    },
    last: (state) => (state.beyond ? beyond(state) : ORDINARY),
  }
}

const SAID = { s: 'second', min: 'minute', h: 'hour' } as const
