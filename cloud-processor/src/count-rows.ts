/**
 * Counters of rows: the narrowest row counts from reading to reading, wider ones are sums of it. Whenever the narrowest comes to
 * something else than it told them, the difference goes to all of them; so the sum is that of plain computation in whatever order
 * readings came.
 */
import {
  COUNTER_CELLS,
  type Counted,
  type Counter,
  carried,
  countWindow,
  FIRST_TIME,
  hasReadings,
  INCREASE,
  lastOf,
  mergeSegment,
  overlaps,
  RESETS,
  SEGMENT_CELLS,
  TOLD_INCREASE,
  TOLD_RESETS,
  TOLD_SINCE,
  widenSegment,
} from './counter.ts'
import type { DeviceSeries } from './series.ts'
import { rowAt, type WindowRow, type Windows, windowStart } from './window.ts'

/** Segments of a row and counter that are not joined, because what lies between them may still come; beyond that they are joined. */
const LOOSE_MAX = 16

/** A segment of a counter that lies after the one in the row's cells, or before it. */
export interface LooseSegment {
  readonly counter: number
  readonly cells: Float64Array
}

/**
 * Adds a segment to a row: to what it counts when it is of the narrowest width.
 * @param isWhole nothing that was measured before can come any more, as far as one knows
 * @returns false when it cannot be known what was counted
 */
export function addSegment(
  row: WindowRow,
  { isNarrowest, shape }: Windows,
  c: number,
  segment: Float64Array,
  isWhole: boolean,
): boolean {
  const cells = row.counters as Float64Array
  const at = c * COUNTER_CELLS
  if (!isNarrowest) {
    widenSegment(cells, at, segment, 0)
    return true
  }
  const { wrapsAt } = shape.counters[c] as Counter
  const others = row.loose?.filter(({ counter }) => counter === c) ?? []
  const isBetween = overlaps(cells, at, segment) || others.some((other) => overlaps(other.cells, 0, segment))
  if (row.closed || isBetween || !hasReadings(cells, at) || (isWhole && others.length === 0)) {
    joinLoose(row, shape.counters, c)
    return mergeSegment(cells, at, segment, 0, wrapsAt)
  }
  row.loose = [...(row.loose ?? []), { counter: c, cells: segment.slice(0, SEGMENT_CELLS) }]
  if (others.length === LOOSE_MAX) joinLoose(row, shape.counters, c)
  return true
}

/** @param only this counter; else all */
export function joinLoose(row: WindowRow, counters: readonly Counter[], only?: number): void {
  if (row.loose === undefined) return
  const rest = row.loose.filter(({ counter }) => only !== undefined && counter !== only)
  for (const { counter } of row.loose)
    if (only === undefined || counter === only)
      (row.counters as Float64Array).set(segmentIn(row, counter, counters), counter * COUNTER_CELLS)
  row.loose = rest.length > 0 ? rest : undefined
}

/** The row's segment of a counter, all that is loose joined. */
function segmentIn({ counters: cells, loose }: WindowRow, c: number, counters: readonly Counter[]): Float64Array {
  const at = c * COUNTER_CELLS
  const own = (cells as Float64Array).subarray(at, at + SEGMENT_CELLS)
  const others = loose?.filter(({ counter }) => counter === c) ?? []
  if (others.length === 0) return own
  const all = [own, ...others.map((other) => other.cells)]
  all.sort((a, b) => (a[FIRST_TIME] as number) - (b[FIRST_TIME] as number))
  const [joined, ...later] = all.map((one) => one.slice()) as [Float64Array, ...Float64Array[]]
  for (const one of later) mergeSegment(joined, 0, one, 0, (counters[c] as Counter).wrapsAt)
  return joined
}

const counted: Counted = { increase: 0, resets: 0, sinceMs: 0, rate: 0, lacksLead: false }

/** What a counter of a row comes to, until the next call. @returns undefined when the row has no reading of it */
export function tally(row: WindowRow, c: number, windows: Windows): Readonly<Counted> | undefined {
  const { counters } = windows.shape
  if (row.counters === undefined || !hasReadings(row.counters, c * COUNTER_CELLS)) return undefined
  let before: WindowRow | undefined
  for (const other of windows.rows.values())
    if (other.startMs < row.startMs && other.startMs >= (before?.startMs ?? Number.NEGATIVE_INFINITY))
      if (hasReadings(other.counters as Float64Array, c * COUNTER_CELLS)) before = other
  const lead = before ? lastOf(segmentIn(before, c, counters), 0) : carried(windows.carry, c)
  const { wrapsAt } = counters[c] as Counter
  countWindow(segmentIn(row, c, counters), 0, lead, !windows.isNarrowest, wrapsAt, counted)
  return counted
}

/** A wider row takes over the span of a row that is raised, and of one that is a sum itself the sum. */
export function raiseCounters(parent: WindowRow, row: WindowRow, { isNarrowest, shape }: Windows): void {
  if (parent.counters === undefined || row.counters === undefined) return
  for (let c = 0; c < shape.counters.length; c++) {
    const at = c * COUNTER_CELLS
    if (!hasReadings(row.counters, at)) continue
    widenSegment(parent.counters, at, segmentIn(row, c, shape.counters), 0)
    if (isNarrowest) continue
    for (const cell of [at + INCREASE, at + RESETS])
      parent.counters[cell] = (parent.counters[cell] as number) + (row.counters[cell] as number)
  }
}

/** Tells wider rows what a narrowest one that was raised counts beyond what they have of it. @param tell is told each row: it differs */
export function settleCounters(
  { windows: allWindows = [] }: DeviceSeries,
  row: WindowRow,
  tell: (wider: number, startMs: number, parent: WindowRow | undefined, isCertain: boolean) => void,
): void {
  const [windows] = allWindows
  if (windows === undefined || row.counters === undefined || !row.raised) return
  for (let c = 0; c < windows.shape.counters.length; c++) {
    const sum = tally(row, c, windows)
    if (sum === undefined) continue
    const at = c * COUNTER_CELLS
    if (sum.lacksLead) row.uncertain = true
    const increase = sum.increase - (row.counters[at + TOLD_INCREASE] as number)
    const resets = sum.resets - (row.counters[at + TOLD_RESETS] as number)
    if (increase === 0 && resets === 0 && !row.uncertain) continue
    noteTold(row.counters, c, sum)
    for (let wider = 1; wider < allWindows.length; wider++) {
      const parent = parentOf(allWindows, wider, row)
      if (parent?.counters) {
        parent.counters[at + INCREASE] = (parent.counters[at + INCREASE] as number) + increase
        parent.counters[at + RESETS] = (parent.counters[at + RESETS] as number) + resets
        parent.changed = true
      }
      tell(wider, windowStart(row.startMs, (allWindows[wider] as Windows).widthMs), parent, !row.uncertain)
      if (parent && !parent.raised) break
    }
  }
}

const parentOf = (allWindows: readonly Windows[], wider: number, { startMs }: WindowRow): WindowRow | undefined => {
  const windows = allWindows[wider] as Windows
  return rowAt(windows, windowStart(startMs, windows.widthMs))
}

export function noteTold(cells: Float64Array, c: number, { increase, resets, sinceMs }: Readonly<Counted>): void {
  const at = c * COUNTER_CELLS
  cells[at + TOLD_INCREASE] = increase
  cells[at + TOLD_RESETS] = resets
  cells[at + TOLD_SINCE] = sinceMs
}

/** Rows after that time that were written, and count something else now: what lies before them has changed. */
export function rowsToCorrect(windows: Windows, afterMs: number): WindowRow[] {
  const { counters } = windows.shape
  const found = new Set<WindowRow>()
  for (let c = 0; c < counters.length; c++) {
    let next: WindowRow | undefined
    for (const other of windows.rows.values())
      if (other.startMs > afterMs && other.startMs < (next?.startMs ?? Number.POSITIVE_INFINITY))
        if (hasReadings(other.counters as Float64Array, c * COUNTER_CELLS)) next = other
    if (next !== undefined && next.revision > 0 && isToldOtherwise(next, c, windows)) found.add(next)
  }
  return [...found]
}

function isToldOtherwise(row: WindowRow, c: number, windows: Windows): boolean {
  const sum = tally(row, c, windows)
  if (sum === undefined || row.counters === undefined) return false
  const at = c * COUNTER_CELLS
  return (
    row.counters[at + TOLD_INCREASE] !== sum.increase ||
    row.counters[at + TOLD_RESETS] !== sum.resets ||
    row.counters[at + TOLD_SINCE] !== sum.sinceMs
  )
}
