/**
 * Windows that an agent computed merge into the rows of the same and of wider windows, as their readings would have done.
 *
 * A row that is not in memory any more may have been written from other readings: it is not overwritten. The windows are then kept, and
 * written, as a part of their own (tag `part`), whose whole is the merge of both; the newest of these rows stay for a while, because
 * the next roll-up often goes on in the window in which the last one ended.
 */
import {
  checkBlock,
  type DeviceBlock,
  type FieldColumn,
  type RollupBlock,
  type RollupColumn,
} from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { addSegment } from './count-rows.ts'
import { SEGMENT_CELLS, startSegment } from './counter.ts'
import { rollupLetter } from './dead-letter.ts'
import { leaveToStore, touch } from './fold-block.ts'
import { writeLate } from './late-rows.ts'
import { AHEAD_MS_MAX, addLetter } from './refuse.ts'
import { partText, rowOfPart } from './rolled-up-part.ts'
import type { DeviceSeries } from './series.ts'
import { addDirty } from './state.ts'
import {
  CELLS,
  COUNT,
  forgetLate,
  LAST,
  LAST_TIME,
  lateRowAt,
  M2,
  MAX,
  MEAN,
  MIN,
  mergeFold,
  mergeString,
  rowAt,
  rowsMax,
  type WindowRow,
  type Windows,
  windowStart,
} from './window.ts'

const fold = new Float64Array(CELLS)
const segment = new Float64Array(SEGMENT_CELLS)

/** The windows are not merged: the readings of some came otherwise. They are to be recomputed from the store. */
export function leaveRollup(s: BatchScope, series: DeviceSeries, block: RollupBlock): void {
  s.state.counters.rolledUpRefused += block.timesMs.length
  for (const startMs of block.timesMs)
    for (const { widthMs } of series.windows ?? [])
      if (widthMs % block.widthMs === 0) addDirty(s.state, series, widthMs, windowStart(startMs, widthMs))
}

/** The block with these windows alone. */
export function pickWindows(block: RollupBlock, windows: readonly number[]): RollupBlock {
  const pick = (values: Float64Array) => Float64Array.from(windows, (i) => values[i] as number)
  const columns = block.columns.map((column): RollupColumn => {
    const counts = pick(column.counts)
    const lastOffsetsMs = pick(column.lastOffsetsMs)
    if (column.type === 'string')
      return { ...column, counts, lastOffsetsMs, lasts: windows.map((i) => column.lasts[i] as string) }
    if (column.type === 'boolean')
      return {
        ...column,
        counts,
        lastOffsetsMs,
        lasts: Uint8Array.from(windows, (i) => column.lasts[i] as number),
        trueCounts: pick(column.trueCounts),
      }
    const { lasts, sums, spreads, minimums, maximums } = column
    return {
      ...column,
      counts,
      lastOffsetsMs,
      lasts: pick(lasts),
      sums: pick(sums),
      spreads: pick(spreads),
      minimums: pick(minimums),
      maximums: pick(maximums),
    }
  })
  return { ...block, timesMs: pick(block.timesMs), columns }
}

export function foldRollup(s: BatchScope, series: DeviceSeries, received: RollupBlock): void {
  const block = s.context.privacy.hideRollup(received)
  const { timesMs, columns } = block
  const allWindows = series.windows ?? []
  const refused = received.columns.map((column, c) => {
    const isDropped = s.context.privacy.sensitivityOf(block.kind, column.field) === 'drop'
    if (isDropped) return new Uint8Array(timesMs.length).fill(1)
    return refuseWindows(s, series, block, column, columns[c] as RollupColumn)
  })
  const late = allWindows.map(() => new Set<WindowRow>())
  const parts = new Map<WindowRow, WindowRow>()
  for (let i = 0; i < timesMs.length; i++)
    if (columns.some(({ counts }, c) => (counts[i] as number) > 0 && refused[c]?.[i] !== 1))
      foldWindow(s, series, block, refused, i, late, parts)
  for (const [row, part] of parts) row.rolledUp = partText(part, series.fields)
  for (const [w, rows] of late.entries()) {
    for (const row of rows) writeLate(s, series, w, row)
    forgetLate(allWindows[w] as Windows)
  }
}

/** One window of an agent goes into the row of its width, and into wider ones if that is forgotten or was raised. */
function foldWindow(
  s: BatchScope,
  series: DeviceSeries,
  { widthMs, timesMs, columns }: RollupBlock,
  refused: readonly (Uint8Array | undefined)[],
  i: number,
  late: readonly Set<WindowRow>[],
  parts: Map<WindowRow, WindowRow>,
): void {
  /** Columns whose counter the narrowest row took. */
  const counted = new Set<number>()
  for (const [w, windows] of (series.windows ?? []).entries()) {
    if (windows.widthMs % widthMs !== 0) continue
    const startMs = windowStart(timesMs[i] as number, windows.widthMs)
    const row = rowFor(series, w, startMs, s.context.memoryMs)
    const target = row ?? lateRowAt(windows, startMs)
    if (target === undefined) {
      s.state.counters.rolledUpRefused += 1
      addDirty(s.state, series, windows.widthMs, startMs)
      continue
    }
    if (row) touch(s, series, w, row)
    else late[w]?.add(target)
    s.state.counters.rolledUpMerged += 1
    const part = row && (parts.get(row) ?? rowOfPart(row, series.fields))
    if (row && part) parts.set(row, part)
    for (let c = 0; c < columns.length; c++) {
      if (refused[c]?.[i] === 1) continue
      const column = columns[c] as RollupColumn
      if (mergeCell(series, windows, target, column, timesMs[i] as number, i, !row) && windows.isNarrowest)
        counted.add(c)
      if (row && !counted.has(c) && series.fieldNamed.get(column.field)?.counter !== undefined)
        leaveToStore(s, series, w, row)
      if (part) mergeCell(series, windows, part, column, timesMs[i] as number, i, true)
    }
    if (row && !row.raised) return
  }
}

function rowFor(series: DeviceSeries, w: number, startMs: number, memoryMs: number): WindowRow | undefined {
  const windows = series.windows?.[w] as Windows
  // A long roll-up must not push out rows that readings still go to.
  const mayBegin = windows.rows.has(startMs) || windows.rows.size < rowsMax(windows.widthMs, memoryMs)
  return mayBegin ? rowAt(windows, startMs) : undefined
}

/** @returns false when it cannot be known what a counter counted */
function mergeCell(
  series: DeviceSeries,
  windows: Windows,
  row: WindowRow,
  column: RollupColumn,
  startMs: number,
  i: number,
  isLate: boolean,
): boolean {
  const field = series.fieldNamed.get(column.field)
  const count = column.counts[i] as number
  if (field === undefined || count === 0) return true
  const lastMs = startMs + (column.lastOffsetsMs[i] as number)
  if (column.type === 'string') {
    mergeString(row, field.slot, lastMs, column.lasts[i] as string, count)
    return true
  }
  fold[COUNT] = count
  fold[LAST] = column.lasts[i] as number
  fold[LAST_TIME] = lastMs
  if (column.type === 'number') {
    fold[MEAN] = (column.sums[i] as number) / count
    fold[M2] = (column.spreads[i] as number) / count
    fold[MIN] = column.minimums[i] as number
    fold[MAX] = column.maximums[i] as number
  } else {
    const trues = column.trueCounts[i] as number
    fold[MEAN] = trues / count
    fold[M2] = (trues * (count - trues)) / count
    fold[MIN] = trues === count ? 1 : 0
    fold[MAX] = trues > 0 ? 1 : 0
  }
  mergeFold(row, field.slot, fold)
  if (field.counter === undefined || isLate) return true
  // Of a counter the last value is enough: it tells what was counted since the reading before.
  startSegment(segment, column.lasts[i] as number, lastMs)
  return addSegment(row, windows, field.counter, segment, false)
}

/** The contract of a window is that of its minimum, its maximum and its last value; a step between readings cannot be seen any more. */
function refuseWindows(
  s: BatchScope,
  series: DeviceSeries,
  block: RollupBlock,
  column: RollupColumn,
  shown: RollupColumn,
): Uint8Array | undefined {
  const present = Uint8Array.from(column.counts, (count) => (count > 0 ? 1 : 0))
  const numbers = (values: Float64Array): FieldColumn => ({ field: column.field, present, type: 'number', values })
  const lasts =
    column.type === 'number'
      ? numbers(column.lasts)
      : ({ field: column.field, present, type: column.type, values: column.lasts } as FieldColumn)
  const columns = column.type === 'number' ? [lasts, numbers(column.minimums), numbers(column.maximums)] : [lasts]
  const asSamples: DeviceBlock = { device: block.device, kind: block.kind, timesMs: block.timesMs, columns }
  const latestMs = s.receivedAtMs + AHEAD_MS_MAX
  const ahead = [...block.timesMs.keys()].filter((i) => (block.timesMs[i] as number) > latestMs && present[i] === 1)
  const refusals = [
    ...(ahead.length > 0
      ? [{ reason: 'time_in_future', detail: 'windows more than a day ahead of their receipt', samples: ahead }]
      : []),
    ...checkBlock(series.contract, asSamples, () => undefined),
  ]
  let refused: Uint8Array | undefined
  for (const { reason, detail, samples } of refusals) {
    if (reason === 'missing_field' || reason === 'step_too_large') continue
    if ((reason === 'out_of_range' || reason === 'not_in_list') && series.contract.policy.range !== 'reject') continue
    refused ??= new Uint8Array(present.length)
    const fresh = samples.filter((i) => refused?.[i] === 0)
    for (const i of fresh) refused[i] = 1
    if (fresh.length > 0) refuseRollup(s, block, shown, reason, detail, fresh)
  }
  return refused
}

/** Nothing of the block can be taken: there is no contract for its kind. */
export function refuseRollupOfUnknownKind(s: BatchScope, block: RollupBlock): void {
  const detail = `there is no contract for the kind "${block.kind}"; add contracts/${block.kind}.yaml, or correct the kind in the agent's config`
  for (const column of s.context.privacy.hideRollup(block).columns)
    refuseRollup(
      s,
      block,
      column,
      'unknown_kind',
      detail,
      [...block.timesMs.keys()].filter((i) => column.counts[i] !== 0),
    )
}

/** The readings are counted as shed already: the letter counts none. */
function refuseRollup(
  s: BatchScope,
  block: RollupBlock,
  column: RollupColumn,
  reason: string,
  detail: string,
  windows: readonly number[],
): void {
  s.state.counters.rolledUpRefused += windows.length
  const letter = rollupLetter(s.origin, s.contractLetterCount++, block, column, { reason, detail, windows })
  addLetter(s.state, s.agent, s.epoch, letter, s.effects)
}
