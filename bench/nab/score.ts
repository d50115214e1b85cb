/**
 * The score of the Numenta Anomaly Benchmark, computed anew from its description: Lavin and Ahmad, "Evaluating Real-time
 * Anomaly Detection Algorithms", 2015.
 * - A row is detected when its score is at or above the threshold, one threshold for all files. The first 15 % of a file, 750
 *   rows at most, do not count.
 * - Of the detected rows in a labelled window the earliest counts: s(y)/s(-1), s(y) = 2/(1+exp(5y)) - 1, y rising from -1 at the
 *   left edge to almost 0 at the right one. A window without a detection costs a false negative.
 * - Each detected row outside costs a false positive times |s(y)|, y its distance from the last window's end in widths of that window
 *   less one; all of it beyond 3 and where no window came before.
 * - 100 (sum - null) / (perfect - null): null detects nothing, perfect every window at its left edge and nothing else.
 */
import type { NabFile, Profile } from './corpus.ts'

const PROBATION_SHARE = 0.15
const PROBATION_ROWS_MAX = 750
const FAR_WIDTHS = 3

const sigmoid = (y: number): number => 2 / (1 + Math.exp(5 * y)) - 1

export const probationRows = (file: NabFile): number =>
  Math.min(Math.floor(PROBATION_SHARE * file.values.length), PROBATION_ROWS_MAX)

/** What a detection of each row is worth: the window it lies in or -1, and its reward or cost before a profile's weights. */
export interface RowWorth {
  readonly window: Int32Array
  /** 0 to 1: the reward in a window, the cost outside. */
  readonly worth: Float64Array
}

const worths = new WeakMap<NabFile, RowWorth>()

export function rowWorthOf(file: NabFile): RowWorth {
  const known = worths.get(file) ?? findRowWorth(file)
  worths.set(file, known)
  return known
}

function findRowWorth(file: NabFile): RowWorth {
  const window = new Int32Array(file.values.length).fill(-1)
  const worth = new Float64Array(file.values.length).fill(1)
  for (const [w, { from, to }] of file.windows.entries()) {
    const width = to - from + 1
    for (let row = from; row <= to; row++) {
      window[row] = w
      worth[row] = sigmoid(-(to - row + 1) / width) / sigmoid(-1)
    }
    const next = file.windows[w + 1]?.from ?? file.values.length
    for (let row = to + 1; row < next; row++) {
      const y = (row - to) / (width - 1)
      if (y <= FAR_WIDTHS) worth[row] = -sigmoid(y)
    }
  }
  return { window, worth }
}

export interface Tally {
  /** Sum of rewards and costs, before the scale of 100. */
  sum: number
  windows: number
  found: number
  /** Rows detected inside and outside of windows. */
  truePositives: number
  falsePositives: number
}

export const nothing = (): Tally => ({ sum: 0, windows: 0, found: 0, truePositives: 0, falsePositives: 0 })

export function add(into: Tally, other: Tally): Tally {
  for (const key of Object.keys(into) as (keyof Tally)[]) into[key] += other[key]
  return into
}

/** @param scores of each row; those that are no number are no detection */
export function tally(file: NabFile, scores: ArrayLike<number>, threshold: number, profile: Profile): Tally {
  const { window, worth } = rowWorthOf(file)
  const best = new Float64Array(file.windows.length).fill(-1)
  const result = { ...nothing(), windows: file.windows.length }
  for (let row = probationRows(file); row < file.values.length; row++) {
    if (!((scores[row] as number) >= threshold)) continue
    const w = window[row] as number
    if (w < 0) {
      result.falsePositives += 1
      result.sum -= profile.falsePositive * (worth[row] as number)
    } else {
      result.truePositives += 1
      best[w] = Math.max(best[w] as number, worth[row] as number)
    }
  }
  for (const reward of best) {
    result.sum += reward < 0 ? -profile.falseNegative : profile.truePositive * reward
    if (reward >= 0) result.found += 1
  }
  return result
}

/** The sum of all files at a threshold. */
export const tallyAll = (
  files: readonly NabFile[],
  scores: readonly ArrayLike<number>[],
  threshold: number,
  profile: Profile,
): Tally => files.reduce((sum, file, f) => add(sum, tally(file, scores[f] ?? [], threshold, profile)), nothing())

/** On the benchmark's scale; NaN where there is no window. */
export const normalised = ({ sum, windows }: Pick<Tally, 'sum' | 'windows'>, profile: Profile): number =>
  (100 * (sum + profile.falseNegative * windows)) / ((profile.truePositive + profile.falseNegative) * windows)
