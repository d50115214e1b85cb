/** Where windows meet batches: what a block adds to them, when they close, and when they are written. */
import type { DeviceBlock, FieldColumn } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { addSegment, joinLoose, lacksLead, rowsToCorrect, settleCounters } from './count-rows.ts'
import { carryOver, SEGMENT_CELLS, segmentsOf } from './counter.ts'
import { noteLate } from './data-quality.ts'
import { contiguousThrough } from './deduplicate.ts'
import type { FieldLayout } from './kind-layout.ts'
import { leavePart } from './late-rows.ts'
import { isInDoubt } from './prior-life.ts'
import { raiseRow } from './raise-row.ts'
import { type DeviceSeries, layoutNamed, REVISION_KEY } from './series.ts'
import { sketchRun } from './sketch.ts'
import { addDirty, agentKeyOf } from './state.ts'
import { notePeers } from './watch-peers.ts'
import {
  createFold,
  foldRun,
  forgetBefore,
  forgetOldest,
  holdOpen,
  mergeFold,
  mergeString,
  PROVISIONAL_MS,
  rowAt,
  rowsMax,
  type WindowRow,
  type Windows,
  windowStart,
} from './window.ts'
import { writeRow } from './window-lines.ts'

const fold = createFold()
/** A device that delivered late counts as one that may for so long. */
const LATE_FOR_MS = 3_600_000
/** Of an agent that was not heard of for so long windows are written although they are open. */
const QUIET_MS = 60_000
const segment = new Float64Array(SEGMENT_CELLS)

/** Runs of samples of one narrowest window are folded once and merged into its row, and into wider ones if that was raised. */
export function foldBlock(
  s: BatchScope,
  series: DeviceSeries,
  block: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
): void {
  const { timesMs, columns } = block
  const allWindows = series.windows as readonly Windows[]
  const [narrowest] = allWindows
  if (narrowest === undefined) return
  const fields = columns.map(({ field }) => layoutNamed(series, field))
  const rows: (WindowRow | undefined)[] = []
  for (let from = 0; from < timesMs.length; ) {
    const startMs = windowStart(timesMs[from] as number, narrowest.widthMs)
    const endMs = startMs + narrowest.widthMs
    let to = from + 1
    while (to < timesMs.length && (timesMs[to] as number) >= startMs && (timesMs[to] as number) < endMs) to += 1
    let accepted = 0
    rows.length = 0
    for (let c = 0; c < columns.length; c++) {
      const column = columns[c] as FieldColumn
      const field = fields[c]
      const refused = refusals[c] ?? null
      if (field === undefined) continue
      if (column.type === 'string') {
        for (let i = from; i < to; i++) {
          if ((column.present !== null && column.present[i] === 0) || refused?.[i] === 1) continue
          if (accepted === 0) openRows(s, series, allWindows, rows, startMs)
          accepted += 1
          for (const row of rows)
            if (row) mergeString(row, field.slot, timesMs[i] as number, column.values[i] as string)
        }
        continue
      }
      const count = foldRun(fold, column.values, column.present, refused, timesMs, from, to)
      if (count === 0) continue
      if (accepted === 0) openRows(s, series, allWindows, rows, startMs)
      accepted += count
      for (let w = 0; w < rows.length; w++) {
        const row = rows[w]
        if (row === undefined) continue
        mergeFold(row, field.slot, fold)
        if (field.hasPercentiles && row.sketch)
          sketchRun(row.sketch, field.slot, column.values, column.present, refused, from, to)
      }
      if (field.counter !== undefined) countRun(s, series, field, column, refused, timesMs, from, to, rows)
    }
    if (accepted > 0) {
      // A window of which nothing had come has no row that could be closed.
      const isLate = rows[0] === undefined || rows[0].closed || endMs <= s.agent.watermarkMs
      if (isLate) noteLate(s, series, rows[0] !== undefined, block, refusals, from, to)
      countLate(s, series, allWindows, rows, startMs, accepted)
    }
    from = to
  }
  limitRows(s, series, allWindows)
}

function limitRows(s: BatchScope, series: DeviceSeries, allWindows: readonly Windows[]): void {
  for (let w = 0; w < allWindows.length; w++) {
    const windows = allWindows[w] as Windows
    const limit = rowsMax(windows.widthMs, s.context.memoryMs)
    if (windows.rows.size <= limit) continue
    const oldest = forgetOldest(windows, limit)
    const isChanged = oldest.some(({ listed }) => listed) && windows.shape.counters.length > 0
    for (const dropped of oldest) {
      // What a counter counted up to it may be another thing now.
      if (!dropped.closed || isChanged) addDirty(s.state, series, windows.widthMs, dropped.startMs)
      if (dropped.closed) continue
      raise(s, series, w, dropped)
      if (dropped.changed) write(s, series, w, dropped)
    }
    if (isChanged) correctAfter(s, series, w, (oldest.at(-1) as WindowRow).startMs)
  }
}

/** What the run adds to a counter; wherever it cannot be known, the window is left to the store. */
function countRun(
  s: BatchScope,
  series: DeviceSeries,
  { counter = 0 }: FieldLayout,
  column: Exclude<FieldColumn, { type: 'string' }>,
  refused: Uint8Array | null,
  timesMs: Float64Array,
  from: number,
  to: number,
  rows: readonly (WindowRow | undefined)[],
): void {
  const allWindows = series.windows as readonly Windows[]
  const wrapsAt = allWindows[0]?.shape.counters[counter]?.wrapsAt ?? Number.POSITIVE_INFINITY
  const isWhole = s.epoch !== undefined && contiguousThrough(s.epoch.sequences) >= s.batch.header.sequence
  segmentsOf(column.values, column.present, refused, timesMs, from, to, wrapsAt, segment, () => {
    let isCertain = rows[0] !== undefined
    for (let w = 0; w < rows.length; w++) {
      const row = rows[w]
      const windows = allWindows[w] as Windows
      if (row === undefined) carryOver(windows.carry, counter, segment, 0)
      else {
        if (!addSegment(row, windows, counter, segment, isWhole)) isCertain = false
        if (!isCertain) leaveToStore(s, series, w, row)
      }
    }
  })
}

const windowsOf = ({ windows = [] }: DeviceSeries, w: number): Windows => windows[w] as Windows

/** What a counter of the row counted cannot be known here: it is computed anew from the store. */
export function leaveToStore(s: BatchScope, series: DeviceSeries, w: number, row: WindowRow): void {
  row.uncertain = true
  addDirty(s.state, series, windowsOf(series, w).widthMs, row.startMs)
}

/** Rows from the narrowest to the first that was not raised; undefined stands for one that is forgotten. */
function openRows(
  s: BatchScope,
  series: DeviceSeries,
  allWindows: readonly Windows[],
  rows: (WindowRow | undefined)[],
  timeMs: number,
): void {
  for (let w = 0; w < allWindows.length; w++) {
    const windows = allWindows[w] as Windows
    const row = rowAt(windows, windowStart(timeMs, windows.widthMs))
    rows[w] = row
    if (row === undefined) continue
    touch(s, series, w, row)
    if (!row.raised) return
  }
}

/** A closed row is written again at the end of the step. */
export function touch(s: BatchScope, series: DeviceSeries, width: number, row: WindowRow): void {
  if (!row.closed || row.listed) return
  row.listed = true
  s.touched.push({ series, width, row })
}

function raise(s: BatchScope, series: DeviceSeries, w: number, row: WindowRow): void {
  raiseRow(series, w, row, (wider, startMs, parent, isCertain) => {
    if (parent === undefined) {
      addDirty(s.state, series, windowsOf(series, wider).widthMs, startMs)
      leavePart(s, series, wider, startMs, row)
      return
    }
    if (!isCertain) leaveToStore(s, series, wider, parent)
    touch(s, series, wider, parent)
  })
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
  if (rows[0] === undefined || rows[0].closed) series.lateAtMs = Math.max(series.lateAtMs, s.agent.watermarkMs)
  for (let w = 0; w < rows.length; w++)
    if (rows[w] === undefined) {
      const windows = allWindows[w] as Windows
      addDirty(s.state, series, windows.widthMs, windowStart(startMs, windows.widthMs))
      correctAfter(s, series, w, startMs)
    }
}

export function closeWindows(s: BatchScope, series: DeviceSeries, watermarkMs: number): void {
  for (const [w, windows] of (series.windows ?? []).entries()) {
    let kept = 0
    for (const row of windows.open) {
      if (row.startMs + windows.widthMs > watermarkMs) windows.open[kept++] = row
      else {
        joinLoose(row, windows.shape.counters)
        raise(s, series, w, row)
        row.closed = true
        if (series.layout.peers?.widthMs === windows.widthMs) notePeers(s, series, row)
        if (row.changed) write(s, series, w, row)
        else if (row.uncertain) addDirty(s.state, series, windows.widthMs, row.startMs)
      }
    }
    windows.open.length = kept
  }
  if (Number.isFinite(watermarkMs)) s.closed.push({ series, watermarkMs })
}

/** A device that is never late needs less memory. */
const memoryOf = ({ context }: BatchScope, { lateAtMs }: DeviceSeries, watermarkMs: number): number =>
  watermarkMs - lateAtMs < LATE_FOR_MS ? context.memoryMs : Math.min(context.memoryMs, context.punctualMemoryMs)

/** Closed rows that late readings changed, and rows that a gap has held open for long. */
export function writeTouched(s: BatchScope): void {
  if (s.live && !s.inDoubt) writeProvisional(s)
  for (const { series, width, row } of s.touched) {
    row.listed = false
    if (!row.changed) continue
    if (s.inDoubt) {
      row.closed = false
      holdOpen(series.windows?.[width] as Windows, row)
    } else write(s, series, width, row)
  }
  // Not before all is written: counters begin with what lies before.
  for (const { series, watermarkMs } of s.closed)
    for (const windows of series.windows ?? []) forgetBefore(windows, watermarkMs - memoryOf(s, series, watermarkMs))
}

function writeProvisional(s: BatchScope): void {
  for (const series of s.heard) {
    if (series.windows === undefined) continue
    for (let w = 0; w < series.windows.length; w++) {
      const { open, widthMs } = series.windows[w] as Windows
      for (const row of open)
        if (row.startMs + widthMs + PROVISIONAL_MS <= series.newestMs) {
          raise(s, series, w, row)
          if (row.changed) write(s, series, w, row)
        }
    }
    limitRows(s, series, series.windows)
  }
}

/** Agents that may be gone for good: their windows are written as they stand, once. */
export function writeQuiet(s: BatchScope): void {
  if (s.inDoubt) return
  for (const agent of s.state.agents.values()) {
    const heardAtMs = Math.max(...[...agent.epochs.values()].map(({ lastReceivedAtMs }) => lastReceivedAtMs))
    if (agent === s.agent || s.receivedAtMs - heardAtMs < QUIET_MS || isInDoubt(agent)) continue
    for (const series of agent.series) {
      if (series.agent !== agentKeyOf(agent) || series.windows === undefined) continue
      for (const [w, { open }] of series.windows.entries())
        for (const row of open) {
          raise(s, series, w, row)
          if (row.changed) write(s, series, w, row)
        }
    }
  }
}

function write(s: BatchScope, series: DeviceSeries, w: number, row: WindowRow): void {
  const windows = windowsOf(series, w)
  if (s.inDoubt) {
    addDirty(s.state, series, windows.widthMs, row.startMs)
    return
  }
  // What lies before it is not known any more, or was not known to this state.
  if (row.counters && (windows.rows.get(row.startMs) !== row || lacksLead(row, windows))) row.uncertain = true
  if (w === 0)
    settleCounters(series, row, (wider, startMs, parent, isCertain) => {
      if (parent === undefined) addDirty(s.state, series, windowsOf(series, wider).widthMs, startMs)
      else {
        if (!isCertain) leaveToStore(s, series, wider, parent)
        touch(s, series, wider, parent)
      }
    })
  if (row.uncertain) addDirty(s.state, series, windows.widthMs, row.startMs)
  s.state.counters.windowsWritten += 1
  if (row.revision > 0) s.state.counters.windowsRevised += 1
  const prefix = series.windowPrefixes[w] as Uint8Array
  writeRow(s.effects.rollups, prefix, series.layout.windowKeys, REVISION_KEY, row, windows)
  correctAfter(s, series, w, row.startMs)
}

/** What counters counted from before that time on may be another thing now in the next rows. */
function correctAfter(s: BatchScope, series: DeviceSeries, w: number, startMs: number): void {
  for (const next of rowsToCorrect(windowsOf(series, w), startMs)) write(s, series, w, next)
}
