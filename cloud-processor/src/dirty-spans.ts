/**
 * Dirty windows beyond those that can be named one by one: a stretch of time of a device and kind in which some are. Computing a
 * window that was right gives the same window, so all of them are entered once there is room.
 */
import { type Contracts, windowWidthsOf } from '@tributary/protocol'
import { DIRTY_MAX, type DirtyWindow, dirtyKeyOf, type PartitionState } from './state.ts'
import { windowStart } from './window.ts'

export interface DirtySpan extends Omit<DirtyWindow, 'widthMs' | 'startMs'> {
  fromMs: number
  toMs: number
}

const SPANS_MAX = 10_000
const SPAN_MS_MAX = 7 * 86_400_000
/** Entered at once. */
const ENTERED_MAX = 1_000

export const spanKeyOf = ({ site, device, kind }: Omit<DirtySpan, 'fromMs' | 'toMs'>): string =>
  `${site}/${device}/${kind}`

/** @returns false when there are too many, or the window lies too far from the others */
export function widenSpan(
  spans: Map<string, DirtySpan>,
  { site, device, kind, startMs, widthMs }: DirtyWindow,
): boolean {
  const key = spanKeyOf({ site, device, kind })
  const span = spans.get(key)
  const fromMs = Math.min(span?.fromMs ?? startMs, startMs)
  const toMs = Math.max(span?.toMs ?? startMs, startMs + widthMs)
  if (toMs - fromMs > SPAN_MS_MAX || (span === undefined && spans.size >= SPANS_MAX)) return false
  if (span) Object.assign(span, { fromMs, toMs })
  else spans.set(key, { site, device, kind, fromMs, toMs })
  return true
}

/** Enters windows of the oldest stretch when half of the list is free. @returns whether there were any */
export function takeFromSpans({ dirty, dirtySpans }: PartitionState, contracts: Contracts): boolean {
  const [first] = dirtySpans
  if (first === undefined || dirty.size > DIRTY_MAX / 2) return false
  const [key, span] = first
  const { site, device, kind, toMs } = span
  const contract = contracts.get(kind)
  const widths = contract === undefined ? [] : windowWidthsOf(contract)
  const widestMs = widths.at(-1)
  if (widestMs === undefined) {
    dirtySpans.delete(key)
    return true
  }
  let atMs = windowStart(span.fromMs, widestMs)
  for (let entered = 0; atMs < toMs && entered < ENTERED_MAX; atMs += widestMs)
    for (const widthMs of widths)
      for (let startMs = atMs; startMs < Math.min(atMs + widestMs, toMs); startMs += widthMs) {
        const window = { site, device, kind, widthMs, startMs }
        entered += 1
        if (!dirty.has(dirtyKeyOf(window))) dirty.set(dirtyKeyOf(window), window)
      }
  span.fromMs = atMs
  if (atMs >= toMs) dirtySpans.delete(key)
  return true
}
