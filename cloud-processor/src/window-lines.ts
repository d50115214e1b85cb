/** Rows of windows as lines: what each field of a row is called, its percentiles, and what its counters counted. */
import { noteTold, tally } from './count-rows.ts'
import { fieldKey, type LineBuffer } from './line-protocol.ts'
import { quantiles, rankOf, SIGNIFICANT_MIN, type Sketch, scaleFor, sketchedCount } from './sketch.ts'
import { CELLS, COUNT, LAST, M2, MAX, MEAN, MIN, type WindowRow, type Windows } from './window.ts'

/** What a row's fields are called in a line, made once a series. */
export interface WindowKeys {
  readonly type: 'float' | 'integer' | 'boolean' | 'string'
  readonly scale: number
  readonly mean: Uint8Array
  readonly min: Uint8Array
  readonly max: Uint8Array
  readonly count: Uint8Array
  readonly stddev: Uint8Array
  readonly last: Uint8Array
  /** Keys of the percentiles at `SHARES`, and of how many readings they are when they are not of all. */
  readonly percentiles: readonly Uint8Array[] | undefined
  readonly sketched: Uint8Array
  /** Of a counter: its place among the counters. */
  readonly counter: number | undefined
  readonly increase: Uint8Array
  readonly rate: Uint8Array
  readonly resets: Uint8Array
}

/** Percentiles of each window. */
const SHARES = [0.5, 0.95, 0.99] as const
export const SHARE_NAMES = ['p50', 'p95', 'p99'] as const
const ranks = new Uint32Array(SHARES.length)
const found = new Float64Array(SHARES.length)

const ROLLED_UP_KEY = fieldKey('rolled_up')
const HOUR_KEY = fieldKey('hour')
const HOUR_MS = 3_600_000
/** What a row is written to. */
export type RowLines = Pick<LineBuffer, 'begin' | 'float' | 'integer' | 'boolean' | 'string' | 'end'>

/** Writes the row with its revision, and counts that. */
export function writeRow(
  lines: RowLines,
  prefix: Uint8Array,
  keys: readonly WindowKeys[],
  revisionKey: Uint8Array,
  row: WindowRow,
  windows: Windows,
): void {
  lines.begin(prefix)
  for (let slot = 0; slot < keys.length; slot++) {
    const key = keys[slot] as WindowKeys
    const at = slot * CELLS
    const count = row.cells[at + COUNT] as number
    if (count === 0) continue
    const last = row.cells[at + LAST] as number
    if (key.type === 'string') {
      lines.integer(key.count, count)
      lines.string(key.last, row.strings?.[slot] ?? '')
      continue
    }
    const min = row.cells[at + MIN] as number
    const max = row.cells[at + MAX] as number
    const mean = row.cells[at + MEAN] as number
    lines.float(key.mean, Number.isFinite(mean) ? mean : min / 2 + max / 2, key.scale)
    if (key.type === 'boolean') {
      lines.integer(key.count, count)
      lines.boolean(key.last, last === 1)
      continue
    }
    lines.float(key.min, min, key.scale)
    lines.float(key.max, max, key.scale)
    lines.integer(key.count, count)
    const deviation = count > 1 ? Math.sqrt(Math.max(0, row.cells[at + M2] as number) / (count - 1)) : 0
    lines.float(key.stddev, Number.isFinite(deviation) ? deviation : deviationWithin(min, max, count), key.scale)
    lines.float(key.last, last, key.scale)
    if (key.percentiles && row.sketch) writePercentiles(lines, key, row.sketch, slot, row)
    if (key.counter !== undefined) writeCounter(lines, key, key.counter, row, windows)
  }
  if (windows.widthMs === HOUR_MS) lines.integer(HOUR_KEY, hourOfDay(row.startMs))
  if (row.rolledUp !== undefined) lines.string(ROLLED_UP_KEY, row.rolledUp)
  lines.integer(revisionKey, row.revision)
  lines.end(prefix, row.startMs, 0, -1)
  row.revision += 1
  row.changed = false
}

/** 0 to 23, UTC: InfluxQL cannot group by it. */
const hourOfDay = (timeMs: number): number => (((timeMs / HOUR_MS) % 24) + 24) % 24

/** Within the window's extremes, which are exact. Roll-ups of agents have none: then it is said of how many readings these are. */
function writePercentiles(
  lines: RowLines,
  key: WindowKeys,
  sketch: Sketch,
  slot: number,
  { cells, tellsSketched }: WindowRow,
): void {
  const count = sketchedCount(sketch, slot)
  if (count === 0) return
  for (let i = 0; i < SHARES.length; i++) ranks[i] = rankOf(SHARES[i] as number, count)
  quantiles(sketch, slot, ranks, found)
  const at = slot * CELLS
  const min = cells[at + MIN] as number
  const max = cells[at + MAX] as number
  for (let i = 0; i < SHARES.length; i++) {
    if (ranks[i] === (cells[at + COUNT] as number) - 1) {
      lines.float((key.percentiles as readonly Uint8Array[])[i] as Uint8Array, max, key.scale)
      continue
    }
    const value = found[i] as number
    const scale = scaleFor(value, key.scale)
    const scaled = Math.round(value * scale)
    const rounded = Math.abs(scaled) < 1e15 && Math.abs(scaled) >= SIGNIFICANT_MIN ? scaled / scale : value
    lines.float(
      (key.percentiles as readonly Uint8Array[])[i] as Uint8Array,
      Math.min(max, Math.max(min, rounded)),
      scale,
    )
  }
  if (count !== cells[at + COUNT] || tellsSketched) lines.integer(key.sketched, count)
}

function writeCounter(lines: RowLines, key: WindowKeys, c: number, row: WindowRow, windows: Windows): void {
  const counted = tally(row, c, windows)
  if (counted === undefined) return
  writeFinite(lines, key.increase, counted.increase, key.scale)
  writeFinite(lines, key.rate, counted.rate, key.scale)
  lines.integer(key.resets, counted.resets)
  noteTold(row.counters as Float64Array, c, counted)
}

/**
 * Beyond some 1e154 squares overflow. Then it is the largest deviation that readings between these can have: a field that is left out
 * would keep what an earlier revision said.
 */
const deviationWithin = (min: number, max: number, count: number): number =>
  Math.min(Number.MAX_VALUE, (max / 2 - min / 2) * Math.sqrt(count / (count - 1)))

/** What no number can say is left out, and the rest of the row is stored. */
function writeFinite(lines: RowLines, key: Uint8Array, value: number, scale: number): void {
  if (Number.isFinite(value)) lines.float(key, value, scale)
}
