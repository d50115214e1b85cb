/** A row's readings become part of the wider rows, once. */
import { raiseCounters, settleCounters } from './count-rows.ts'
import { addPart } from './rolled-up-part.ts'
import type { DeviceSeries } from './series.ts'
import { mergeRow, rowAt, type WindowRow, type Windows, windowStart } from './window.ts'

/**
 * Merges the row into the wider ones, up to the first that was not raised itself.
 * @param w its width
 * @param onMerged is told each of them; undefined: it is forgotten. Not certain: what a counter of it counted cannot be known
 */
export function raiseRow(
  series: DeviceSeries,
  w: number,
  row: WindowRow,
  onMerged: (wider: number, startMs: number, parent: WindowRow | undefined, isCertain: boolean) => void,
): void {
  const allWindows = series.windows as readonly Windows[]
  if (row.raised || w + 1 === allWindows.length) return
  row.raised = true
  if (w === 0) settleCounters(series, row, () => undefined)
  for (let wider = w + 1; wider < allWindows.length; wider++) {
    const windows = allWindows[wider] as Windows
    const startMs = windowStart(row.startMs, windows.widthMs)
    const parent = rowAt(windows, startMs)
    if (parent) {
      mergeRow(parent, row, windows.shape)
      raiseCounters(parent, row, allWindows[w] as Windows)
      addPart(parent, row.rolledUp, series)
    }
    onMerged(wider, startMs, parent, !row.uncertain)
    if (parent && !parent.raised) return
  }
}
