/**
 * Dirty windows computed anew from the raw points of the store, by the functions that fold what arrives.
 *
 * Guarantee: what is read is written nowhere; the same points give the same row; a row that has more readings than the store has
 * raw points and rolled-up ones for is left as it is.
 */
import type { Contracts } from '@tributary/protocol'
import type { InfluxQuery, InfluxSeries } from './influx-query.ts'
import { plainName } from './line-protocol.ts'
import { isHidden } from './privacy.ts'
import { pointsOf, rangesOf, rawStatements, restStatement, rowStatements, type StoreRange } from './repair-queries.ts'
import { mergePart } from './rolled-up-part.ts'
import { createSeries, type DeviceSeries, REVISION_KEY } from './series.ts'
import { type DirtyWindow, dirtyKeyOf } from './state.ts'
import {
  CELLS,
  COUNT,
  createFold,
  emptyRow,
  foldRun,
  mergeFold,
  mergeString,
  type RowLines,
  WIDTH_NAMES,
  WIDTHS_MS,
  type WindowRow,
  writeRow,
} from './window.ts'

export const WINDOWS_PER_BATCH_MAX = 500

export interface Recomputed {
  /** The entry as it was when the store was asked. */
  readonly window: DirtyWindow
  readonly series: DeviceSeries
  /** undefined: the row in the store stands. */
  readonly row: WindowRow | undefined
  /** The store told of fewer readings than the row has, or of none. */
  readonly lacks: boolean
}

interface Work {
  readonly window: DirtyWindow
  readonly series: DeviceSeries
  readonly row: WindowRow
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
  const ranges = rangesOf(due.filter((window) => window.kind === kind).slice(0, WINDOWS_PER_BATCH_MAX))
  const seriesOf = new Map<string, DeviceSeries>()
  const work = new Map<StoreRange, Work[]>()
  for (const range of ranges) {
    const key = `${range.site}/${range.device}`
    const series = seriesOf.get(key) ?? createSeries(range.site, range.device, contract, '', { withWindows: false })
    seriesOf.set(key, series)
    work.set(
      range,
      range.windows.map((window) => ({ window, series, row: emptyRow(window.startMs, series.fields.length) })),
    )
  }
  const fields = Object.keys(contract.fields)
  for (let statements = rawStatements(kind, fields, ranges); statements.length > 0; ) {
    const rest: string[] = []
    for (const { range, points, nextMs } of pointsOf(await query(statements.join(';'), signal), ranges)) {
      for (const one of work.get(range) ?? []) foldPoints(one, points)
      if (nextMs !== undefined) rest.push(restStatement(kind, fields, range, nextMs))
    }
    statements = rest
  }
  const stored = storedRows(await query(rowStatements(kind, ranges).join(';'), signal), kind)
  return [...work.values()].flat().map((one) => decide(one, stored.get(storedKeyOf(one.window))))
}

const fold = createFold()

function foldPoints({ window, series, row }: Work, points: InfluxSeries): void {
  const { values, columns } = points
  const timesMs = Float64Array.from(values, ([timeMs]) => timeMs as number)
  const from = firstFrom(timesMs, window.startMs)
  const to = firstFrom(timesMs, window.startMs + window.widthMs)
  if (from === to) return
  const inside = timesMs.subarray(from, to)
  for (const { name, slot, type } of series.fields) {
    const column = columns.indexOf(name)
    if (column < 0) continue
    const has = (i: number) => values[from + i]?.[column] !== null && values[from + i]?.[column] !== undefined
    if (type === 'string') {
      // What was stored before its field was sensitive must not show in a window.
      const sensitivity = series.contract.fields[name]?.sensitivity ?? 'none'
      for (let i = 0; i < inside.length; i++) {
        const text = values[from + i]?.[column]
        if (has(i) && (sensitivity === 'none' || isHidden(sensitivity, text)))
          mergeString(row, slot, series.fields.length, inside[i] as number, String(text))
      }
      continue
    }
    const present = Uint8Array.from(inside, (_, i) => (has(i) ? 1 : 0))
    const numbers = Float64Array.from(inside, (_, i) => Number(values[from + i]?.[column] ?? 0))
    if (foldRun(fold, numbers, present, null, inside, 0, inside.length) > 0) mergeFold(row, slot, fold)
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
function storedRows(all: readonly InfluxSeries[], kind: string): Map<string, StoredRow> {
  const rows = new Map<string, StoredRow>()
  for (const { name, tags, columns, values } of all) {
    if (tags?.['part']) continue
    const widthMs = WIDTHS_MS[WIDTH_NAMES.findIndex((width) => name === `${kind}_${width}`)]
    if (widthMs === undefined) continue
    for (const value of values) {
      const { site = '', device = '' } = tags ?? {}
      const key = dirtyKeyOf({ site, device, kind, widthMs, startMs: value[0] as number })
      rows.set(key, new Map(columns.map((column, i) => [column, value[i] ?? undefined])))
    }
  }
  return rows
}

function decide({ window, series, row }: Work, stored: StoredRow | undefined): Recomputed {
  const rolledUp = stored?.get('rolled_up')
  if (typeof rolledUp === 'string') mergePart(row, rolledUp, series.fields)
  const readingsOf = (slot: number) => row.cells[slot * CELLS + COUNT] as number
  const lacks = series.fields.some(({ name, slot }) => Number(stored?.get(`${name}_count`) ?? 0) > readingsOf(slot))
  const isEmpty = series.fields.every(({ slot }) => readingsOf(slot) === 0)
  const revision = stored === undefined ? 0 : Number(stored.get('revision') ?? 0) + 1
  const said = valuesOf(series, row)
  row.revision = revision
  const isSaid = stored !== undefined && [...said].every(([column, value]) => stored.get(column) === value)
  return { window, series, row: lacks || isEmpty || isSaid ? undefined : row, lacks: lacks || isEmpty }
}

/** What the row says, as the store answers it; without its revision. */
function valuesOf({ windowKeys }: DeviceSeries, row: WindowRow): Map<string, unknown> {
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
  writeRow(lines, new Uint8Array(), windowKeys, REVISION_KEY, row)
  said.delete('revision')
  return said
}
