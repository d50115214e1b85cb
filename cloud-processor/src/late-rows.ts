/** Rows of what agents rolled up, beside those that are not in memory any more: both together are the window. */
import { windowName } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { linePrefix } from './line-protocol.ts'
import { mergePart } from './rolled-up-part.ts'
import { type DeviceSeries, REVISION_KEY } from './series.ts'
import { forgetLate, lateRowAt, type WindowRow, type Windows } from './window.ts'
import { writeRow } from './window-lines.ts'

const PART = 'rolled_up'

export function writeLate(s: BatchScope, series: DeviceSeries, w: number, row: WindowRow): void {
  const { site, device, contract } = series
  const windows = series.windows?.[w] as Windows
  const prefix = linePrefix(`${contract.kind}_${windowName(windows.widthMs)}`, { site, device, part: PART })
  s.state.counters.windowsWritten += 1
  if (row.revision > 0) s.state.counters.windowsRevised += 1
  writeRow(s.effects.rollups, prefix, series.layout.windowKeys, REVISION_KEY, row, windows)
}

/** What was rolled up of a narrower row, for a wider one that is forgotten: raw points do not tell it. */
export function leavePart(
  s: BatchScope,
  series: DeviceSeries,
  w: number,
  startMs: number,
  { rolledUp }: WindowRow,
): void {
  if (rolledUp === undefined) return
  const windows = series.windows?.[w] as Windows
  const late = lateRowAt(windows, startMs)
  if (late === undefined) {
    s.state.counters.rolledUpRefused += 1
    return
  }
  mergePart(late, rolledUp, series.fields)
  writeLate(s, series, w, late)
  forgetLate(windows)
}
