/**
 * Guarantee: a closed window's row equals the one that on-time data would have given, however late its readings came, as
 * long as the row is in memory; a row that is not is never overwritten from partial data but entered in `dirty`.
 *
 * A row holds all fields of one device and kind for one window, side by side in one list of doubles (a typed array costs three times as much). Runs of samples are folded
 * first and merged into the row of the narrowest width by Chan's formula (Chan, Golub, LeVeque 1983). That row is *raised*
 * once, when it closes or is written: merged into the row of the next width, which from then on takes late readings too.
 */
import type { LooseSegment } from './count-rows.ts'
import { COUNTER_CELLS, type Counter, carryOver, createCarry, createCounterCells, forgetCarry } from './counter.ts'
import { createSketch, mergeSketch, type Sketch } from './sketch.ts'

/** A row that is this much older than its device's newest sample, and still held open, is written provisionally. */
export const PROVISIONAL_MS = 10_000
/** Rows beyond the memory that an agent with a backlog may hold open. */
const ROWS_EXTRA = 64
/** Late rows of roll-ups that are kept. */
const LATE_ROWS_MAX = 64

export const COUNT = 0
export const MEAN = 1
export const M2 = 2
export const MIN = 3
export const MAX = 4
export const LAST = 5
export const LAST_TIME = 6
/** Numbers of one field in a row. */
export const CELLS = 7

export interface WindowRow {
  readonly startMs: number
  cells: number[]
  /** Last value of each string field. */
  strings: (string | undefined)[] | undefined
  /** What agents rolled up of it, which raw points do not tell; see `rolled-up-part.ts`. */
  rolledUp: string | undefined
  /** Of all fields that have percentiles; undefined when none has. */
  sketch: Sketch | undefined
  /** COUNTER_CELLS numbers a counter; undefined when there is none. */
  counters: Float64Array | undefined
  /** Segments of counters with gaps between them and what is in `counters`. */
  loose: LooseSegment[] | undefined
  /** Its readings are part of the next wider row. */
  raised: boolean
  /** The store has been told that percentiles are of a part of the readings: it is told again when they are of all. */
  tellsSketched: boolean
  /** What its counters counted cannot be known from what is here: the store is asked whenever it was written. */
  uncertain: boolean
  /** How often it was written. */
  revision: number
  closed: boolean
  /** Differs from what was written last. */
  changed: boolean
  /** Stands in the list of rows to be written at the end of this step. */
  listed: boolean
}

/** What the rows of a series are made of. */
export interface RowShape {
  readonly fieldCount: number
  readonly hasSketch: boolean
  readonly counters: readonly Counter[]
}

export interface Windows {
  readonly widthMs: number
  readonly isNarrowest: boolean
  readonly shape: RowShape
  rows: Map<number, WindowRow>
  /** Rows that are not closed, ascending, also after a restart: rows are written and added up in this order. */
  open: WindowRow[]
  /** Rows that began before this may have been forgotten. */
  forgottenBeforeMs: number
  /** Where the last reading went: nearly always where the next one goes. */
  current: WindowRow | undefined
  /** Rows of roll-ups alone, later than memory, by start; see `fold-rollup.ts`. The newest touched last. */
  late: Map<number, WindowRow>
  /** Late rows that began then or before may have been forgotten. */
  lateForgottenMs: number
  /** Last readings of counters in rows that were forgotten; see `counter.ts`. */
  carry: Float64Array
}

export const createWindows = (widthsMs: readonly number[], shape: RowShape): Windows[] =>
  widthsMs.map((widthMs, w) => ({
    widthMs,
    isNarrowest: w === 0,
    shape,
    rows: new Map(),
    open: [],
    forgottenBeforeMs: Number.NEGATIVE_INFINITY,
    current: undefined,
    late: new Map(),
    lateForgottenMs: Number.NEGATIVE_INFINITY,
    carry: createCarry(shape.counters.length),
  }))

export const windowStart = (timeMs: number, widthMs: number): number => Math.floor(timeMs / widthMs) * widthMs
/** Whether a window of the narrowest width ends in that time. */
export const endsBetween = (allWindows: readonly Windows[] = [], fromMs: number, toMs: number): boolean =>
  allWindows[0] !== undefined && windowStart(toMs, allWindows[0].widthMs) > windowStart(fromMs, allWindows[0].widthMs)
export const rowsMax = (widthMs: number, memoryMs: number): number => Math.ceil(memoryMs / widthMs) + ROWS_EXTRA

/** @returns undefined when the row was forgotten */
export function rowAt(windows: Windows, startMs: number): WindowRow | undefined {
  if (windows.current?.startMs === startMs) return windows.current
  let row = windows.rows.get(startMs)
  if (row === undefined) {
    if (startMs < windows.forgottenBeforeMs) return undefined
    row = emptyRow(startMs, windows.shape)
    windows.rows.set(startMs, row)
    holdOpen(windows, row)
  }
  windows.current = row
  return row
}

/** Enters a row that is not closed (any more). */
export function holdOpen({ open }: Windows, row: WindowRow): void {
  let at = open.length
  for (; at > 0 && (open[at - 1] as WindowRow).startMs > row.startMs; at--) open[at] = open[at - 1] as WindowRow
  open[at] = row
}

/** Zeros by fields; cloning is the cheapest way to a list that V8 keeps as doubles. A half comes first: it would keep zeros as integers. */
const ZEROS: number[][] = []
function createCells(fieldCount: number): number[] {
  ZEROS[fieldCount] ??= new Array<number>(fieldCount * CELLS).fill(0.5).fill(0)
  return ZEROS[fieldCount].slice()
}

export const emptyRow = (startMs: number, { fieldCount, hasSketch, counters }: RowShape): WindowRow => ({
  startMs,
  cells: createCells(fieldCount),
  strings: undefined,
  rolledUp: undefined,
  sketch: hasSketch ? createSketch() : undefined,
  counters: counters.length > 0 ? createCounterCells(counters.length) : undefined,
  loose: undefined,
  raised: false,
  tellsSketched: false,
  uncertain: false,
  revision: 0,
  closed: false,
  changed: false,
  listed: false,
})

/** A row of roll-ups alone. @returns undefined when it was forgotten */
export function lateRowAt(windows: Windows, startMs: number): WindowRow | undefined {
  let row = windows.late.get(startMs)
  if (row === undefined) {
    if (startMs <= windows.lateForgottenMs) return undefined
    row = emptyRow(startMs, windows.shape)
  } else windows.late.delete(startMs)
  windows.late.set(startMs, row)
  return row
}

/** Forgets the late rows that were touched longest ago when there are too many. */
export function forgetLate(windows: Windows): void {
  for (const startMs of windows.late.keys()) {
    if (windows.late.size <= LATE_ROWS_MAX) return
    windows.late.delete(startMs)
    windows.lateForgottenMs = Math.max(windows.lateForgottenMs, startMs)
  }
}

/** What a run of readings of one field comes to: the same cells as in a row. */
export const createFold = (): number[] => createCells(1)

/** Folds accepted samples [from, to) of a numeric or boolean column. @returns their number */
export function foldRun(
  fold: number[],
  values: Float64Array | Uint8Array,
  present: Uint8Array | null,
  refused: Uint8Array | null,
  timesMs: Float64Array,
  from: number,
  to: number,
): number {
  let count = 0
  let mean = 0
  let m2 = 0
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  let last = 0
  let lastTime = Number.NEGATIVE_INFINITY
  for (let i = from; i < to; i++) {
    if ((present !== null && present[i] === 0) || (refused !== null && refused[i] === 1)) continue
    const value = values[i] as number
    count += 1
    const delta = value - mean
    mean += delta / count
    m2 += delta * (value - mean)
    if (value < min) min = value
    if (value > max) max = value
    const time = timesMs[i] as number
    if (time > lastTime || (time === lastTime && value > last)) {
      last = value
      lastTime = time
    }
  }
  fold[COUNT] = count
  fold[MEAN] = mean
  fold[M2] = m2
  fold[MIN] = min
  fold[MAX] = max
  fold[LAST] = last
  fold[LAST_TIME] = lastTime
  return count
}

/** @param from where the fold's cells begin in `fold` */
export function mergeFold(row: WindowRow, slot: number, fold: readonly number[], from = 0): void {
  const { cells } = row
  const at = slot * CELLS
  const ours = cells[at + COUNT] as number
  const theirs = fold[from + COUNT] as number
  row.changed = true
  if (ours === 0) {
    for (let cell = 0; cell < CELLS; cell++) cells[at + cell] = fold[from + cell] as number
    return
  }
  const count = ours + theirs
  const delta = (fold[from + MEAN] as number) - (cells[at + MEAN] as number)
  cells[at + COUNT] = count
  cells[at + MEAN] = (cells[at + MEAN] as number) + (delta * theirs) / count
  cells[at + M2] = (cells[at + M2] as number) + (fold[from + M2] as number) + (delta * delta * ours * theirs) / count
  if ((fold[from + MIN] as number) < (cells[at + MIN] as number)) cells[at + MIN] = fold[from + MIN] as number
  if ((fold[from + MAX] as number) > (cells[at + MAX] as number)) cells[at + MAX] = fold[from + MAX] as number
  const newer = (fold[from + LAST_TIME] as number) - (cells[at + LAST_TIME] as number)
  if (newer > 0 || (newer === 0 && (fold[from + LAST] as number) > (cells[at + LAST] as number))) {
    cells[at + LAST] = fold[from + LAST] as number
    cells[at + LAST_TIME] = fold[from + LAST_TIME] as number
  }
}

/** The last value of a string field; of equal times the greater string counts. */
export function mergeString(row: WindowRow, slot: number, timeMs: number, value: string, readings = 1): void {
  const at = slot * CELLS
  row.strings ??= new Array<string | undefined>(row.cells.length / CELLS).fill(undefined)
  const count = row.cells[at + COUNT] as number
  const lastTime = row.cells[at + LAST_TIME] as number
  row.changed = true
  row.cells[at + COUNT] = count + readings
  if (count === 0 || timeMs > lastTime || (timeMs === lastTime && value > (row.strings[slot] as string))) {
    row.cells[at + LAST_TIME] = timeMs
    row.strings[slot] = value
  }
}

/** Adds all readings of a narrower row, but for its counters (`count-rows.ts`). */
export function mergeRow(row: WindowRow, { cells, strings, sketch }: WindowRow, { fieldCount }: RowShape): void {
  for (let slot = 0; slot < fieldCount; slot++) {
    const at = slot * CELLS
    const count = cells[at + COUNT] as number
    if (count === 0) continue
    const text = strings?.[slot]
    if (text === undefined) mergeFold(row, slot, cells, at)
    else mergeString(row, slot, cells[at + LAST_TIME] as number, text, count)
  }
  if (sketch && row.sketch) mergeSketch(row.sketch, sketch)
}

function carryRow({ carry }: Windows, { counters, loose = [] }: WindowRow): void {
  if (counters === undefined) return
  for (let c = 0; c * COUNTER_CELLS < counters.length; c++) carryOver(carry, c, counters, c * COUNTER_CELLS)
  for (const { counter, cells } of loose) carryOver(carry, counter, cells, 0)
}

/** Forgets closed rows that lie wholly before the time. */
export function forgetBefore(windows: Windows, timeMs: number): void {
  if (windows.forgottenBeforeMs >= timeMs - windows.widthMs) return
  for (const row of windows.rows.values())
    if (row.closed && row.startMs + windows.widthMs <= timeMs) {
      windows.rows.delete(row.startMs)
      if (windows.current === row) windows.current = undefined
      carryRow(windows, row)
    }
  windows.forgottenBeforeMs = Math.max(windows.forgottenBeforeMs, windowStart(timeMs, windows.widthMs))
}

/**
 * Forgets every row that may hold a reading of that time or before, and takes none for them any more: the store knows more of
 * them. @returns their beginnings
 */
export function distrustWindows(windows: Windows, throughMs: number): number[] {
  const starts = [...windows.rows.keys()].filter((startMs) => startMs <= throughMs)
  for (let c = 0; c < windows.shape.counters.length; c++) forgetCarry(windows.carry, c)
  for (const startMs of starts) windows.rows.delete(startMs)
  if (windows.current !== undefined && windows.current.startMs <= throughMs) windows.current = undefined
  windows.open = windows.open.filter(({ startMs }) => startMs > throughMs)
  windows.forgottenBeforeMs = Math.max(
    windows.forgottenBeforeMs,
    windowStart(throughMs, windows.widthMs) + windows.widthMs,
  )
  return starts
}

/** Forgets the oldest rows when there are too many. @returns those, ascending */
export function forgetOldest(windows: Windows, limit: number): WindowRow[] {
  const excess = windows.rows.size - limit
  if (excess <= 0) return []
  const oldest = [...windows.rows.values()].sort((a, b) => a.startMs - b.startMs).slice(0, excess)
  for (const row of oldest) {
    windows.rows.delete(row.startMs)
    carryRow(windows, row)
  }
  const lastMs = (oldest.at(-1) as WindowRow).startMs
  if (windows.current !== undefined && windows.current.startMs <= lastMs) windows.current = undefined
  windows.forgottenBeforeMs = Math.max(windows.forgottenBeforeMs, lastMs + windows.widthMs)
  windows.open = windows.open.filter((row) => row.startMs > lastMs)
  return oldest
}
