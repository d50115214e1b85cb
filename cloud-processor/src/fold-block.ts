/** Where windows meet batches: what a block adds to them, when they close, and when they are written. */
import type { DeviceBlock, FieldColumn } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { type DeviceSeries, REVISION_KEY } from './series.ts'
import { addDirty } from './state.ts'
import {
  createFold,
  foldRun,
  forgetBefore,
  forgetOldest,
  mergeFold,
  mergeString,
  PROVISIONAL_MS,
  rowAt,
  rowsMax,
  SMALLEST_WIDTH_MS,
  WIDTHS_MS,
  type WindowRow,
  type Windows,
  windowStart,
  writeRow,
} from './window.ts'

const fold = createFold()

/** Runs of samples of one smallest window are folded once and merged into the rows of all widths. */
export function foldBlock(
  s: BatchScope,
  series: DeviceSeries,
  block: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
): void {
  const { timesMs, columns } = block
  const fieldCount = series.fields.length
  const allWindows = series.windows as readonly Windows[]
  const fields = columns.map(({ field }) => series.fieldNamed.get(field))
  const rows: (WindowRow | undefined)[] = []
  for (let from = 0; from < timesMs.length; ) {
    const startMs = windowStart(timesMs[from] as number, SMALLEST_WIDTH_MS)
    const endMs = startMs + SMALLEST_WIDTH_MS
    let to = from + 1
    while (to < timesMs.length && (timesMs[to] as number) >= startMs && (timesMs[to] as number) < endMs) to += 1
    let accepted = 0
    for (let w = 0; w < allWindows.length; w++) rows[w] = undefined
    for (let c = 0; c < columns.length; c++) {
      const column = columns[c] as FieldColumn
      const field = fields[c]
      const refused = refusals[c] ?? null
      if (field === undefined) continue
      if (column.type === 'string') {
        for (let i = from; i < to; i++) {
          if ((column.present !== null && column.present[i] === 0) || refused?.[i] === 1) continue
          if (accepted === 0) openRows(s, series, allWindows, rows, startMs, fieldCount)
          accepted += 1
          for (const row of rows)
            if (row) mergeString(row, field.slot, fieldCount, timesMs[i] as number, column.values[i] as string)
        }
        continue
      }
      const count = foldRun(fold, column.values, column.present, refused, timesMs, from, to)
      if (count === 0) continue
      if (accepted === 0) openRows(s, series, allWindows, rows, startMs, fieldCount)
      accepted += count
      for (let w = 0; w < rows.length; w++) {
        const row = rows[w]
        if (row) mergeFold(row, field.slot, fold)
      }
    }
    if (accepted > 0) countLate(s, series, allWindows, rows, startMs, accepted)
    from = to
  }
  for (const windows of allWindows) {
    for (const dropped of forgetOldest(windows, rowsMax(windows.widthMs, s.context.memoryMs))) {
      addDirty(s.state, series, windows.widthMs, dropped.startMs)
      if (dropped.changed) write(s, series, allWindows.indexOf(windows), dropped)
    }
  }
}

function openRows(
  s: BatchScope,
  series: DeviceSeries,
  allWindows: readonly Windows[],
  rows: (WindowRow | undefined)[],
  startMs: number,
  fieldCount: number,
): void {
  for (let w = 0; w < allWindows.length; w++) {
    const windows = allWindows[w] as Windows
    const row = rowAt(windows, windowStart(startMs, windows.widthMs), fieldCount)
    rows[w] = row
    if (row?.closed && !row.listed) {
      row.listed = true
      s.touched.push({ series, width: w, row })
    }
  }
}

function countLate(
  s: BatchScope,
  series: DeviceSeries,
  allWindows: readonly Windows[],
  rows: readonly (WindowRow | undefined)[],
  startMs: number,
  readings: number,
): void {
  if (rows[0] === undefined) s.state.counters.lateBeyondMemory += readings
  else if (rows[0].closed) s.state.counters.late += readings
  for (let w = 0; w < rows.length; w++)
    if (rows[w] === undefined) {
      const { widthMs } = allWindows[w] as Windows
      addDirty(s.state, series, widthMs, windowStart(startMs, widthMs))
    }
}

export function closeWindows(s: BatchScope, series: DeviceSeries, watermarkMs: number): void {
  for (const [w, windows] of (series.windows ?? []).entries()) {
    let kept = 0
    for (const row of windows.open) {
      if (row.startMs + windows.widthMs > watermarkMs) windows.open[kept++] = row
      else {
        row.closed = true
        if (row.changed) write(s, series, w, row)
      }
    }
    windows.open.length = kept
    if (Number.isFinite(watermarkMs)) forgetBefore(windows, watermarkMs - s.context.memoryMs)
  }
}

/** Closed rows that late readings changed, and rows that a gap has held open for long. */
export function writeTouched(s: BatchScope): void {
  for (const { series, width, row } of s.touched) {
    row.listed = false
    if (!row.changed) continue
    if (s.inDoubt) {
      row.closed = false
      series.windows?.[width]?.open.push(row)
    } else write(s, series, width, row)
  }
  if (!s.live || s.inDoubt) return
  for (const series of s.heard)
    for (const [w, windows] of (series.windows ?? []).entries()) {
      if (windows.open.length < 2) continue
      for (const row of windows.open)
        if (row.changed && row.startMs + windows.widthMs + PROVISIONAL_MS <= series.newestMs) write(s, series, w, row)
    }
}

function write(s: BatchScope, series: DeviceSeries, width: number, row: WindowRow): void {
  if (s.inDoubt) {
    addDirty(s.state, series, WIDTHS_MS[width] as number, row.startMs)
    return
  }
  s.state.counters.windowsWritten += 1
  if (row.revision > 0) s.state.counters.windowsRevised += 1
  writeRow(s.effects.rollups, series.windowPrefixes[width] as Uint8Array, series.windowKeys, REVISION_KEY, row)
}
