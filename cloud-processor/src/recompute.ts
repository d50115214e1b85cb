/**
 * Dirty windows computed anew from the raw points of the store, by the functions that fold what arrives.
 *
 * Guarantee: what is read is written nowhere; the same points give the same row; a row that has more readings than the store has
 * raw points and rolled-up ones for is left as it is.
 */
import { type Contracts, windowName, windowWidthsOf } from '@tributary/protocol'
import { addSegment } from './count-rows.ts'
import { SEGMENT_CELLS, segmentsOf, startSegment } from './counter.ts'
import type { InfluxQuery, InfluxSeries } from './influx-query.ts'
import { plainName } from './line-protocol.ts'
import { isHidden } from './privacy.ts'
import {
  neighbourStatements,
  pointsOf,
  rangesOf,
  rawStatements,
  restStatement,
  rolledUpStatements,
  rowStatements,
  type StoreRange,
  together,
} from './repair-queries.ts'
import { mergePart, rowOfPart } from './rolled-up-part.ts'
import { createSeries, type DeviceSeries, fieldNamed, REVISION_KEY } from './series.ts'
import { sketchRun } from './sketch.ts'
import { type DirtyWindow, dirtyKeyOf } from './state.ts'
import {
  CELLS,
  COUNT,
  createFold,
  createWindows,
  emptyRow,
  foldRun,
  LAST,
  LAST_TIME,
  mergeFold,
  mergeString,
  type WindowRow,
  type Windows,
} from './window.ts'
import { type RowLines, writeRow } from './window-lines.ts'

export const WINDOWS_PER_BATCH_MAX = 500

export interface Recomputed {
  /** The entry as it was when the store was asked. */
  readonly window: DirtyWindow
  readonly series: DeviceSeries
  /** Of the row alone; undefined: the contract has no such windows any more. */
  readonly windows: Windows | undefined
  /** undefined: the row in the store stands. */
  readonly row: WindowRow | undefined
  /** The store told of fewer readings than the row has, or of none. */
  readonly lacks: boolean
  /** Times of the next readings of counters whose increase may be another one now. */
  readonly followersMs: readonly number[]
}

interface Work {
  readonly window: DirtyWindow
  readonly series: DeviceSeries
  readonly windows: Windows
  readonly row: WindowRow
  /** Of each counter the time of its next reading after the window; NaN when there is none. */
  readonly nextMs: Float64Array
}

/**
 * The oldest of the windows and others of its kind, as many as go into a batch.
 * @param due windows whose kind has a contract; the one that waits for longest first
 * @throws Error when the database cannot be asked
 */
export async function recompute(
  query: InfluxQuery,
  contracts: Contracts,
  due: readonly DirtyWindow[],
  signal: AbortSignal,
): Promise<Recomputed[]> {
  const kind = due[0]?.kind
  const contract = kind === undefined ? undefined : contracts.get(kind)
  if (kind === undefined || contract === undefined) return []
  const widths = windowWidthsOf(contract)
  const asked = due.filter((window) => window.kind === kind).slice(0, WINDOWS_PER_BATCH_MAX)
  const ranges = rangesOf(asked.filter(({ widthMs }) => widths.includes(widthMs)))
  const seriesOf = new Map<string, DeviceSeries>()
  const work = new Map<StoreRange, Work[]>()
  for (const range of ranges) {
    const key = `${range.site}/${range.device}`
    const series = seriesOf.get(key) ?? createSeries(range.site, range.device, contract, '')
    seriesOf.set(key, series)
    work.set(
      range,
      range.windows.map((window) => workOf(window, series)),
    )
  }
  const fields = Object.keys(contract.fields)
  const counters = [...(seriesOf.values().next().value?.fields ?? [])].filter(({ counter }) => counter !== undefined)
  if (counters.length > 0)
    for (const same of together(ranges)) {
      const names = counters.map(({ name }) => name)
      const neighbours = await query(neighbourStatements(kind, names, same).join(';'), signal)
      const rolledUp = await query(rolledUpStatements(kind, widths, same).join(';'), signal)
      for (const range of same) {
        const ofRange = work.get(range) ?? []
        for (const one of ofRange) takeNeighbours(one, neighbours)
        takeRolledUp(ofRange, rolledUp)
      }
    }
  for (let statements = rawStatements(kind, fields, ranges); statements.length > 0; ) {
    const rest: string[] = []
    for (const { range, points, nextMs } of pointsOf(await query(statements.join(';'), signal), ranges)) {
      for (const one of work.get(range) ?? []) foldPoints(one, points)
      if (nextMs !== undefined) rest.push(restStatement(kind, fields, range, nextMs))
    }
    statements = rest
  }
  const rows = ranges.length > 0 ? await query(rowStatements(kind, ranges).join(';'), signal) : []
  const stored = storedRows(rows, kind, widths)
  const gone = asked.filter(({ widthMs }) => !widths.includes(widthMs))
  return [
    ...[...work.values()].flat().map((one) => decide(one, stored.get(storedKeyOf(one.window)))),
    ...gone.map((window) => ({
      ...{ window, series: createSeries(window.site, window.device, contract, ''), windows: undefined },
      ...{ row: undefined, lacks: false, followersMs: [] },
    })),
  ]
}

function workOf(window: DirtyWindow, series: DeviceSeries): Work {
  const { shape } = (series.windows as readonly Windows[])[0] as Windows
  const [windows] = createWindows([window.widthMs], shape) as [Windows]
  const nextMs = new Float64Array(shape.counters.length).fill(Number.NaN)
  return { window, series, windows, row: emptyRow(window.startMs, shape), nextMs }
}

/** What a counter counted from the last reading before the window belongs to the window; from its own last on, to that of the next. */
function takeBeside({ window, windows, nextMs }: Work, counter: number, value: number, timeMs: number): void {
  const leadMs = windows.carry[2 * counter + 1] as number
  if (timeMs < window.startMs) {
    if (!(leadMs >= timeMs)) windows.carry.set([value, timeMs], 2 * counter)
  } else if (timeMs >= window.startMs + window.widthMs && !((nextMs[counter] as number) <= timeMs))
    nextMs[counter] = timeMs
}

const isOf = ({ window }: Work, { tags }: InfluxSeries): boolean =>
  tags?.['site'] === plainName(window.site) && tags['device'] === plainName(window.device)

/** Readings next to the stretch of time. */
function takeNeighbours(work: Work, neighbours: readonly InfluxSeries[]): void {
  for (const neighbour of neighbours) {
    if (!isOf(work, neighbour)) continue
    const counter = fieldNamed(work.series, neighbour.columns[1] ?? '')?.counter
    const [timeMs, value] = neighbour.values[0] ?? []
    if (counter === undefined || typeof timeMs !== 'number' || typeof value !== 'number') continue
    takeBeside(work, counter, value, timeMs)
  }
}

/** Readings that were rolled up are not among the raw points: the last of each roll-up stands in its row. */
function takeRolledUp(ofRange: readonly Work[], rolledUp: readonly InfluxSeries[]): void {
  const [first] = ofRange
  if (first === undefined) return
  const { fields } = first.series
  for (const rows of rolledUp) {
    if (!isOf(first, rows)) continue
    for (const [startMs, text] of rows.values as [number, unknown][]) {
      if (typeof text !== 'string') continue
      const { cells } = rowOfPart({ startMs, rolledUp: text }, fields)
      for (const { slot, counter } of fields) {
        const at = slot * CELLS
        if (counter === undefined || cells[at + COUNT] === 0) continue
        for (const work of ofRange)
          takeBeside(work, counter, cells[at + LAST] as number, cells[at + LAST_TIME] as number)
      }
    }
  }
}

const fold = createFold()
const segment = new Float64Array(SEGMENT_CELLS)

function foldPoints(work: Work, points: InfluxSeries): void {
  const { window, series, windows, row } = work
  const { values, columns } = points
  const timesMs = Float64Array.from(values, ([timeMs]) => timeMs as number)
  const from = firstFrom(timesMs, window.startMs)
  const to = firstFrom(timesMs, window.startMs + window.widthMs)
  for (const { name, counter } of series.fields)
    if (counter !== undefined) {
      takeNearest(work, counter, columns.indexOf(name), values, from - 1, -1)
      takeNearest(work, counter, columns.indexOf(name), values, to, 1)
    }
  if (from === to) return
  const inside = timesMs.subarray(from, to)
  for (const { name, slot, type, hasPercentiles, counter } of series.fields) {
    const column = columns.indexOf(name)
    if (column < 0) continue
    const has = (i: number) => values[from + i]?.[column] !== null && values[from + i]?.[column] !== undefined
    if (type === 'string') {
      // What was stored before its field was sensitive must not show in a window.
      const sensitivity = series.contract.fields[name]?.sensitivity ?? 'none'
      for (let i = 0; i < inside.length; i++) {
        const text = values[from + i]?.[column]
        if (has(i) && (sensitivity === 'none' || isHidden(sensitivity, text)))
          mergeString(row, slot, inside[i] as number, String(text))
      }
      continue
    }
    const present = Uint8Array.from(inside, (_, i) => (has(i) ? 1 : 0))
    const numbers = Float64Array.from(inside, (_, i) => Number(values[from + i]?.[column] ?? 0))
    if (foldRun(fold, numbers, present, null, inside, 0, inside.length) === 0) continue
    mergeFold(row, slot, fold)
    if (hasPercentiles && row.sketch) sketchRun(row.sketch, slot, numbers, present, null, 0, inside.length)
    if (counter === undefined) continue
    const wrapsAt = windows.shape.counters[counter]?.wrapsAt ?? Number.POSITIVE_INFINITY
    segmentsOf(numbers, present, null, inside, 0, inside.length, wrapsAt, segment, () => {
      addSegment(row, windows, counter, segment, true)
    })
  }
}

/** The nearest reading of a counter on one side of the window. */
function takeNearest(
  work: Work,
  counter: number,
  column: number,
  points: InfluxSeries['values'],
  first: number,
  direction: 1 | -1,
): void {
  for (let i = first; column >= 0 && i >= 0 && i < points.length; i += direction) {
    const [timeMs, value] = [points[i]?.[0] as number, points[i]?.[column]]
    if (typeof value !== 'number') continue
    takeBeside(work, counter, value, timeMs)
    return
  }
}

/** @returns index of the first time that is not before */
function firstFrom(timesMs: Float64Array, startMs: number): number {
  let low = 0
  let high = timesMs.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((timesMs[middle] as number) < startMs) low = middle + 1
    else high = middle
  }
  return low
}

const storedKeyOf = (window: DirtyWindow): string =>
  dirtyKeyOf({ ...window, site: plainName(window.site), device: plainName(window.device) })

type StoredRow = ReadonlyMap<string, unknown>

/** Rows as they are in the store, without those of roll-ups alone. */
function storedRows(all: readonly InfluxSeries[], kind: string, widths: readonly number[]): Map<string, StoredRow> {
  const rows = new Map<string, StoredRow>()
  for (const { name, tags, columns, values } of all) {
    if (tags?.['part']) continue
    const widthMs = widths.find((width) => name === `${kind}_${windowName(width)}`)
    if (widthMs === undefined) continue
    for (const value of values) {
      const { site = '', device = '' } = tags ?? {}
      const key = dirtyKeyOf({ site, device, kind, widthMs, startMs: value[0] as number })
      rows.set(key, new Map(columns.map((column, i) => [column, value[i] ?? undefined])))
    }
  }
  return rows
}

function decide({ window, series, windows, row, nextMs }: Work, stored: StoredRow | undefined): Recomputed {
  const rolledUp = stored?.get('rolled_up')
  if (typeof rolledUp === 'string') {
    mergePart(row, rolledUp, series.fields)
    row.rolledUp = rolledUp
    // Of a counter the last value that was rolled up is enough, as in `fold-rollup.ts`.
    const part = rowOfPart(row, series.fields)
    for (const { slot, counter } of series.fields) {
      const at = slot * CELLS
      if (counter === undefined || part.cells[at + COUNT] === 0) continue
      startSegment(segment, part.cells[at + LAST] as number, part.cells[at + LAST_TIME] as number)
      addSegment(row, windows, counter, segment, true)
    }
  }
  const readingsOf = (slot: number) => row.cells[slot * CELLS + COUNT] as number
  const lacks = series.fields.some(({ name, slot }) => Number(stored?.get(`${name}_count`) ?? 0) > readingsOf(slot))
  const isEmpty = series.fields.every(({ slot }) => readingsOf(slot) === 0)
  const revision = stored === undefined ? 0 : Number(stored.get('revision') ?? 0) + 1
  row.tellsSketched = series.fields.some(({ name }) => stored?.get(`${name}_sketched`) !== undefined)
  const said = valuesOf(series, windows, row)
  row.revision = revision
  const isSaid = stored !== undefined && [...said].every(([column, value]) => stored.get(column) === value)
  const isKept = lacks || isEmpty || isSaid
  const followersMs = series.fields.flatMap(({ name, counter }) =>
    isKept || counter === undefined || ['last', 'count'].every((what) => isToldIn(stored, said, `${name}_${what}`))
      ? []
      : (nextMs[counter] ?? []),
  )
  return {
    ...{ window, series, windows, row: isKept ? undefined : row, lacks: lacks || isEmpty },
    followersMs: followersMs.filter(Number.isFinite),
  }
}

const isToldIn = (stored: StoredRow | undefined, said: StoredRow, column: string): boolean =>
  stored?.get(column) === said.get(column)

/** What the row says, as the store answers it; without its revision. */
function valuesOf({ layout: { windowKeys } }: DeviceSeries, windows: Windows, row: WindowRow): Map<string, unknown> {
  const said = new Map<string, unknown>()
  const note = (key: Uint8Array, value: unknown) => void said.set(Buffer.from(key).toString('utf8').slice(0, -1), value)
  const lines: RowLines = {
    begin: () => undefined,
    end: () => undefined,
    float: note,
    integer: note,
    boolean: note,
    string: note,
  }
  writeRow(lines, new Uint8Array(), windowKeys, REVISION_KEY, row, windows)
  said.delete('revision')
  return said
}
