/**
 * What agents rolled up of a row, kept beside it as text: the readings are not among the raw points, so a row that is computed anew
 * from those takes it from here. JSON, field → [count, mean, M2, min, max, last, time of last], of strings [count, last, time of last].
 */
import type { DeviceSeries, FieldSeries } from './series.ts'
import { CELLS, COUNT, emptyRow, LAST_TIME, mergeFold, mergeString, type WindowRow } from './window.ts'

type SavedCells = (number | null)[] | [count: number, last: string, lastMs: number]

/** A row with what the part of another one says. */
export function rowOfPart(
  { startMs, rolledUp }: Pick<WindowRow, 'startMs' | 'rolledUp'>,
  fields: readonly FieldSeries[],
): WindowRow {
  const row = emptyRow(startMs, { fieldCount: fields.length, hasSketch: false, counters: [] })
  if (rolledUp !== undefined) mergePart(row, rolledUp, fields)
  return row
}

export function partText({ cells, strings }: WindowRow, fields: readonly FieldSeries[]): string {
  const saved: Record<string, SavedCells> = {}
  for (const { name, slot, type } of fields) {
    const own = cells.slice(slot * CELLS, (slot + 1) * CELLS)
    const count = own[COUNT] as number
    if (count === 0) continue
    saved[name] = type === 'string' ? [count, strings?.[slot] ?? '', own[LAST_TIME] as number] : [...own]
  }
  return JSON.stringify(saved)
}

/** Fields that the contract does not have any more are left out. */
export function mergePart(row: WindowRow, text: string, fields: readonly FieldSeries[]): void {
  const saved = JSON.parse(text) as Partial<Record<string, SavedCells>>
  for (const { name, slot, type } of fields) {
    const cells = saved[name]
    if (cells === undefined || (type === 'string') !== (typeof cells[1] === 'string')) continue
    if (type === 'string') {
      const [count, last, lastMs] = cells as [number, string, number]
      mergeString(row, slot, lastMs, last, count)
      // What overflowed has no number in JSON.
    } else
      mergeFold(
        row,
        slot,
        (cells as (number | null)[]).map((cell) => cell ?? Number.POSITIVE_INFINITY),
      )
  }
}

/** The row takes over what was rolled up of a narrower one. */
export function addPart(row: WindowRow, text: string | undefined, { fields }: DeviceSeries): void {
  if (text === undefined) return
  const part = rowOfPart(row, fields)
  mergePart(part, text, fields)
  row.rolledUp = partText(part, fields)
}

/** Nothing of that field. */
export function forgetFieldOfPart(row: WindowRow, field: string): void {
  if (row.rolledUp === undefined) return
  const { [field]: _, ...rest } = JSON.parse(row.rolledUp) as Record<string, SavedCells>
  row.rolledUp = Object.keys(rest).length === 0 ? undefined : JSON.stringify(rest)
}
