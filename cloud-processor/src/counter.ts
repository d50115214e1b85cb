/**
 * Guarantee: the increases of a counter's windows add up to what it counted, over wraps and resets, in whatever order its readings
 * came and however often. Where that cannot be known (a reading came in between of others of the narrowest row that were counted
 * through already, or its row is forgotten) the window is entered in `dirty`, and computed from the store.
 *
 * - An increase belongs to the window of the later of its two readings: from the last reading before the window (its *lead*) to
 *   the last one in it. Windows of each width add up alike: a wide row is the sum of the narrowest ones in it (`count-rows.ts`).
 * - A fall is a wrap when the counter has a modulus, and the increase over it is less than a quarter of that.
 * - Else a fall to half or less is a reset: the counter began again at 0, and its new value is the increase.
 * - Any other fall is a step back, of a meter that was corrected: nothing is counted. Both are counted as resets.
 *
 * A segment is what is known of a counter in a span of time: first and last reading, and the increase between them.
 */

/** Numbers of one counter in a row. */
export const COUNTER_CELLS = 9
/** Of these a segment has the first six. */
export const SEGMENT_CELLS = 6
const FIRST = 0
/** NaN while there is no reading. */
export const FIRST_TIME = 1
const LAST = 2
export const LAST_TIME = 3
/** Of the narrowest row between its readings; of a wider one the sum of what the narrowest in it counted, with their leads. */
export const INCREASE = 4
export const RESETS = 5
/** What it came to when it was told last, to wider rows and to the store; and since when. */
export const TOLD_INCREASE = 6
export const TOLD_RESETS = 7
export const TOLD_SINCE = 8

/** What one field of a contract counts. */
export interface Counter {
  readonly slot: number
  /** Its modulus: the value after the highest is 0. Infinite when it never wraps. */
  readonly wrapsAt: number
}

/** The last reading of forgotten rows, two numbers a counter. */
const CARRY_CELLS = 2
/** There was a reading before, and nobody knows it here. */
const UNKNOWN_TIME = -Number.MAX_VALUE

export function createCounterCells(counters: number): Float64Array {
  const cells = new Float64Array(counters * COUNTER_CELLS)
  for (let c = 0; c < counters; c++) forgetCounter(cells, c)
  return cells
}
export function forgetCounter(cells: Float64Array, c: number): void {
  const at = c * COUNTER_CELLS
  cells.fill(0, at, at + COUNTER_CELLS)
  cells[at + FIRST_TIME] = Number.NaN
  cells[at + LAST_TIME] = Number.NaN
  cells[at + TOLD_SINCE] = Number.NaN
}
export const createCarry = (counters: number): Float64Array => new Float64Array(counters * CARRY_CELLS).fill(Number.NaN)

/** A segment of one reading. */
export function startSegment(segment: Float64Array, value: number, timeMs: number): void {
  segment[FIRST] = value
  segment[FIRST_TIME] = timeMs
  segment[LAST] = value
  segment[LAST_TIME] = timeMs
  segment[INCREASE] = 0
  segment[RESETS] = 0
}

/** What lies between one reading of a counter and the next; see the top. */
export type CounterChange = 'growth' | 'wrap' | 'reset' | 'step_back'
export function changeOf(from: number, to: number, wrapsAt: number): CounterChange {
  if (to >= from) return 'growth'
  if (to - from + wrapsAt < wrapsAt / 4) return 'wrap'
  return to <= from / 2 ? 'reset' : 'step_back'
}

/** What was counted from one reading to the next. */
function increaseOver(from: number, to: number, wrapsAt: number): number {
  const change = changeOf(from, to, wrapsAt)
  if (change === 'growth') return to - from
  if (change === 'wrap') return to - from + wrapsAt
  return change === 'reset' ? Math.max(0, to) : 0
}
function isReset(from: number, to: number, wrapsAt: number): number {
  const change = changeOf(from, to, wrapsAt)
  return change === 'reset' || change === 'step_back' ? 1 : 0
}

/**
 * Takes accepted readings [from, to) of a column, in the order in which they stand.
 * @param merge is called with each segment in which time goes forward
 */
export function segmentsOf(
  values: Float64Array | Uint8Array,
  present: Uint8Array | null,
  refused: Uint8Array | null,
  timesMs: Float64Array,
  from: number,
  to: number,
  wrapsAt: number,
  segment: Float64Array,
  merge: () => void,
): void {
  segment[FIRST_TIME] = Number.NaN
  for (let i = from; i < to; i++) {
    if ((present !== null && present[i] === 0) || (refused !== null && refused[i] === 1)) continue
    const value = values[i] as number
    const timeMs = timesMs[i] as number
    if (timeMs > (segment[LAST_TIME] as number) && !Number.isNaN(segment[FIRST_TIME]))
      append(segment, 0, value, timeMs, 0, 0, value, wrapsAt)
    else {
      if (!Number.isNaN(segment[FIRST_TIME])) merge()
      startSegment(segment, value, timeMs)
    }
  }
  if (!Number.isNaN(segment[FIRST_TIME])) merge()
}

function append(
  cells: Float64Array,
  at: number,
  last: number,
  lastTime: number,
  increase: number,
  resets: number,
  first: number,
  wrapsAt: number,
): void {
  const before = cells[at + LAST] as number
  cells[at + INCREASE] = (cells[at + INCREASE] as number) + increaseOver(before, first, wrapsAt) + increase
  cells[at + RESETS] = (cells[at + RESETS] as number) + isReset(before, first, wrapsAt) + resets
  cells[at + LAST] = last
  cells[at + LAST_TIME] = lastTime
}

/**
 * Merges a segment (at `from` in `source`) into another one (at `at` in `cells`).
 * @returns false when they overlap in time: then it cannot be known what was counted
 */
export function mergeSegment(
  cells: Float64Array,
  at: number,
  source: Float64Array,
  from: number,
  wrapsAt: number,
): boolean {
  const firstTime = source[from + FIRST_TIME] as number
  if (Number.isNaN(firstTime)) return true
  if (Number.isNaN(cells[at + FIRST_TIME])) {
    for (let cell = FIRST; cell < SEGMENT_CELLS; cell++) cells[at + cell] = source[from + cell] as number
    return true
  }
  const last = source[from + LAST] as number
  const lastTime = source[from + LAST_TIME] as number
  const increase = source[from + INCREASE] as number
  const resets = source[from + RESETS] as number
  if (firstTime > (cells[at + LAST_TIME] as number)) {
    append(cells, at, last, lastTime, increase, resets, source[from + FIRST] as number, wrapsAt)
    return true
  }
  if (lastTime < (cells[at + FIRST_TIME] as number)) {
    const ourFirst = cells[at + FIRST] as number
    cells[at + INCREASE] = increase + increaseOver(last, ourFirst, wrapsAt) + (cells[at + INCREASE] as number)
    cells[at + RESETS] = resets + isReset(last, ourFirst, wrapsAt) + (cells[at + RESETS] as number)
    cells[at + FIRST] = source[from + FIRST] as number
    cells[at + FIRST_TIME] = firstTime
    return true
  }
  if (isSame(cells, at, source, from)) return true
  widenSegment(cells, at, source, from)
  return false
}

/** Takes over the first and the last reading, and nothing of what was counted. */
export function widenSegment(cells: Float64Array, at: number, source: Float64Array, from: number): void {
  if (!((source[from + FIRST_TIME] as number) >= (cells[at + FIRST_TIME] as number))) {
    cells[at + FIRST] = source[from + FIRST] as number
    cells[at + FIRST_TIME] = source[from + FIRST_TIME] as number
  }
  if (!((source[from + LAST_TIME] as number) <= (cells[at + LAST_TIME] as number))) {
    cells[at + LAST] = source[from + LAST] as number
    cells[at + LAST_TIME] = source[from + LAST_TIME] as number
  }
}

export const overlaps = (cells: Float64Array, at: number, other: Float64Array): boolean =>
  (cells[at + FIRST_TIME] as number) <= (other[LAST_TIME] as number) &&
  (other[FIRST_TIME] as number) <= (cells[at + LAST_TIME] as number)

/** Of what came a second time nothing is to be counted. */
function isSame(cells: Float64Array, at: number, source: Float64Array, from: number): boolean {
  for (let cell = FIRST; cell < SEGMENT_CELLS; cell++) if (cells[at + cell] !== source[from + cell]) return false
  return true
}

/** Keeps the last reading of a row that is forgotten, for the lead of the next. @param at where the segment begins in `cells` */
export function carryOver(carry: Float64Array, c: number, cells: Float64Array, at: number): void {
  const lastTime = cells[at + LAST_TIME] as number
  const carried = carry[c * CARRY_CELLS + 1] as number
  if (lastTime < carried || Number.isNaN(lastTime)) return
  carry[c * CARRY_CELLS] = cells[at + LAST] as number
  carry[c * CARRY_CELLS + 1] = lastTime
}

/** What lies before is not known here. */
export const forgetCarry = (carry: Float64Array, c: number): void => {
  carry[c * CARRY_CELLS + 1] = UNKNOWN_TIME
}

export const hasReadings = (cells: Float64Array, at: number): boolean => !Number.isNaN(cells[at + FIRST_TIME])

/** What a window of a counter comes to. */
export interface Counted {
  increase: number
  resets: number
  /** The last reading before the window, or the first in it when there is none. */
  sinceMs: number
  /** A second, over the time since; NaN when that is none. */
  rate: number
  /** There is a reading before the window, and it is not known. */
  lacksLead: boolean
}

/**
 * @param at where its segment begins in `cells`
 * @param before last reading before the window and its time; NaN: there is none
 * @param isSum of a wide row: its leads are in it
 * @param counted is filled
 */
export function countWindow(
  cells: Float64Array,
  at: number,
  [value, timeMs]: readonly [value: number, timeMs: number],
  isSum: boolean,
  wrapsAt: number,
  counted: Counted,
): void {
  const first = cells[at + FIRST] as number
  counted.lacksLead = timeMs === UNKNOWN_TIME
  const isKnown = !counted.lacksLead && timeMs < (cells[at + FIRST_TIME] as number)
  const hasLead = isKnown && !isSum
  counted.increase = (cells[at + INCREASE] as number) + (hasLead ? increaseOver(value, first, wrapsAt) : 0)
  counted.resets = (cells[at + RESETS] as number) + (hasLead ? isReset(value, first, wrapsAt) : 0)
  counted.sinceMs = isKnown ? timeMs : (cells[at + FIRST_TIME] as number)
  const elapsedMs = (cells[at + LAST_TIME] as number) - counted.sinceMs
  counted.rate = elapsedMs > 0 ? (counted.increase * 1_000) / elapsedMs : Number.NaN
}

export const lastOf = (cells: Float64Array, at: number): readonly [value: number, timeMs: number] => [
  cells[at + LAST] as number,
  cells[at + LAST_TIME] as number,
]
export const carried = (carry: Float64Array, c: number): readonly [value: number, timeMs: number] => [
  carry[c * CARRY_CELLS] as number,
  carry[c * CARRY_CELLS + 1] as number,
]
