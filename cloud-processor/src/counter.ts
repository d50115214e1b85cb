/**
 * Guarantee: the increases of a counter's windows add up to what it counted, over wraps, in whatever order its readings came and
 * however often, as long as nothing was reset in between what came out of order. Where that cannot be known `mergeSegment`
 * says so, and the window is entered in `dirty`.
 *
 * - An increase belongs to the window of the later of its two readings: from the last reading before the window (its *lead*) to
 *   the last one in it. Windows of each width add up alike.
 * - A fall is a wrap when the counter has a modulus, and the increase over it is less than a quarter of that.
 * - Else a fall to half or less is a reset: the counter began again at 0, and its new value is the increase.
 * - Any other fall is a step back, of a meter that was corrected: nothing is counted. Both are counted as resets.
 *
 * A segment is what is known of a counter in a span of time: first and last reading, and the increase between them. Readings in
 * between do not change it as long as none fell but by wrapping.
 */

/** Numbers of one counter in a row. */
export const COUNTER_CELLS = 7
const FIRST = 0
/** NaN while there is no reading. */
const FIRST_TIME = 1
const LAST = 2
const LAST_TIME = 3
const INCREASE = 4
const RESETS = 5
/** Since when it counted when it was written last: the time of the reading before the window, or of its first. */
const SINCE = 6

/** What one field of a contract counts. */
export interface Counter {
  readonly slot: number
  /** Its modulus: the value after the highest is 0. Infinite when it never wraps. */
  readonly wrapsAt: number
}

/** The last reading of forgotten rows, two numbers a counter. */
const CARRY_CELLS = 2

export const createCounterCells = (counters: number): Float64Array =>
  new Float64Array(counters * COUNTER_CELLS).fill(Number.NaN)
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

/** What was counted from one reading to the next. */
function increaseOver(from: number, to: number, wrapsAt: number): number {
  if (to >= from) return to - from
  if (isWrap(from, to, wrapsAt)) return to - from + wrapsAt
  return to <= from / 2 ? Math.max(0, to) : 0
}
const isWrap = (from: number, to: number, wrapsAt: number): boolean => to - from + wrapsAt < wrapsAt / 4
const isReset = (from: number, to: number, wrapsAt: number): number => (to < from && !isWrap(from, to, wrapsAt) ? 1 : 0)

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
 * Merges a segment (at `from` in `source`) into that of a row (at `at` in `cells`).
 * @returns false when they overlap in time and it cannot be known what was counted
 */
export function mergeSegment(
  cells: Float64Array,
  at: number,
  source: Float64Array,
  from: number,
  wrapsAt: number,
): boolean {
  const first = source[from + FIRST] as number
  const firstTime = source[from + FIRST_TIME] as number
  const last = source[from + LAST] as number
  const lastTime = source[from + LAST_TIME] as number
  const increase = source[from + INCREASE] as number
  const resets = source[from + RESETS] as number
  if (Number.isNaN(firstTime)) return true
  if (Number.isNaN(cells[at + FIRST_TIME])) {
    for (let cell = FIRST; cell < SINCE; cell++) cells[at + cell] = source[from + cell] as number
    return true
  }
  if (firstTime > (cells[at + LAST_TIME] as number)) {
    append(cells, at, last, lastTime, increase, resets, first, wrapsAt)
    return true
  }
  const ourFirst = cells[at + FIRST] as number
  const ourFirstTime = cells[at + FIRST_TIME] as number
  const ourIncrease = cells[at + INCREASE] as number
  if (lastTime < ourFirstTime) {
    cells[at + INCREASE] = increase + increaseOver(last, ourFirst, wrapsAt) + ourIncrease
    cells[at + RESETS] = resets + isReset(last, ourFirst, wrapsAt) + (cells[at + RESETS] as number)
    cells[at + FIRST] = first
    cells[at + FIRST_TIME] = firstTime
    return true
  }
  if (resets > 0 || (cells[at + RESETS] as number) > 0) return isSame(cells, at, source, from)
  // Both lie on one line that only rises: whichever begins earlier is where it is measured from.
  const startsEarlier = firstTime < ourFirstTime
  const offset = startsEarlier ? distance(first, ourFirst, wrapsAt) : distance(ourFirst, first, wrapsAt)
  const ourEnd = startsEarlier ? offset + ourIncrease : ourIncrease
  const theirEnd = startsEarlier ? increase : offset + increase
  const endsLater = lastTime - (cells[at + LAST_TIME] as number)
  const slack = 1e-9 * Math.max(Math.abs(ourFirst), Math.abs(first), 1)
  const reach = startsEarlier ? theirEnd : ourEnd
  if (!(offset <= reach + slack) || (theirEnd - ourEnd) * Math.sign(endsLater) < -slack) return false
  if (endsLater === 0 && Math.abs(theirEnd - ourEnd) > slack) return false
  if (startsEarlier) {
    cells[at + FIRST] = first
    cells[at + FIRST_TIME] = firstTime
  }
  cells[at + INCREASE] = Math.max(ourEnd, theirEnd)
  if (endsLater > 0) {
    cells[at + LAST] = last
    cells[at + LAST_TIME] = lastTime
  }
  return true
}

/** NaN when a counter that never wraps fell. */
const distance = (from: number, to: number, wrapsAt: number): number =>
  to >= from ? to - from : Number.isFinite(wrapsAt) ? to - from + wrapsAt : Number.NaN

/** Of what came a second time nothing is to be counted. */
function isSame(cells: Float64Array, at: number, source: Float64Array, from: number): boolean {
  for (let cell = FIRST; cell < SINCE; cell++) if (cells[at + cell] !== source[from + cell]) return false
  return true
}

/** Keeps the last reading of a row that is forgotten, for the lead of the next. */
export function carryOver(carry: Float64Array, cells: Float64Array): void {
  for (let c = 0; c * CARRY_CELLS < carry.length; c++) {
    const lastTime = cells[c * COUNTER_CELLS + LAST_TIME] as number
    const carried = carry[c * CARRY_CELLS + 1] as number
    if (lastTime < carried || Number.isNaN(lastTime)) continue
    carry[c * CARRY_CELLS] = cells[c * COUNTER_CELLS + LAST] as number
    carry[c * CARRY_CELLS + 1] = lastTime
  }
}

/** A reading of a row that is forgotten came after all. @param segment of it */
export function carryLate(carry: Float64Array, c: number, segment: Float64Array): void {
  if (!((segment[LAST_TIME] as number) > (carry[c * CARRY_CELLS + 1] as number))) return
  carry[c * CARRY_CELLS] = segment[LAST] as number
  carry[c * CARRY_CELLS + 1] = segment[LAST_TIME] as number
}

export const hasReadings = (cells: Float64Array, c: number): boolean =>
  !Number.isNaN(cells[c * COUNTER_CELLS + FIRST_TIME])

/** What a window of a counter comes to. */
export interface Counted {
  increase: number
  /** A second, over the time from the reading before the window to its last one; NaN when that is none. */
  rate: number
  resets: number
  /** Time of the last reading before the window; of the first in it when that is not known. */
  sinceMs: number
}

/**
 * @param before cells of the newest row before that has readings; else what was carried over
 * @param counted is filled
 */
export function countWindow(
  cells: Float64Array,
  c: number,
  before: Float64Array | undefined,
  carry: Float64Array,
  wrapsAt: number,
  counted: Counted,
): void {
  const at = c * COUNTER_CELLS
  const first = cells[at + FIRST] as number
  const firstTime = cells[at + FIRST_TIME] as number
  const value = (before ? before[at + LAST] : carry[c * CARRY_CELLS]) as number
  const time = (before ? before[at + LAST_TIME] : carry[c * CARRY_CELLS + 1]) as number
  const isKnown = time < firstTime
  const lead = isKnown ? increaseOver(value, first, wrapsAt) : 0
  counted.sinceMs = isKnown ? time : firstTime
  const elapsedMs = (cells[at + LAST_TIME] as number) - counted.sinceMs
  counted.increase = lead + (cells[at + INCREASE] as number)
  counted.resets = (cells[at + RESETS] as number) + (isKnown ? isReset(value, first, wrapsAt) : 0)
  counted.rate = elapsedMs > 0 ? (counted.increase * 1_000) / elapsedMs : Number.NaN
}

export function noteSince(cells: Float64Array, c: number, sinceMs: number): void {
  cells[c * COUNTER_CELLS + SINCE] = sinceMs
}
/** Whether the row was written when it counted since another reading. */
export const sinceDiffers = (cells: Float64Array, c: number, sinceMs: number): boolean =>
  cells[c * COUNTER_CELLS + SINCE] !== sinceMs
