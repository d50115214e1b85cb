/**
 * How many records of a backlog may be in flight: additive increase while acknowledgements come quickly, halved when they come
 * late or something fails, never below one. Judged once for each window's worth of acknowledgements, by their mean, since the
 * other end syncs in groups and single latencies say little.
 *
 * Late is: above `LATE_FACTOR` times what acknowledgements take when the way is free, and above `LATENCY_FREE_MS`, which group
 * commit at the other end may take at any time. What a free way takes is the smoothed minimum; it rises only by what is seen at
 * a window of one, which fills no queue. Source: AIMD as in Chiu and Jain, 1989; the delay signal as in TCP Vegas.
 */

import type { PumpLane } from './lane.ts'

const LATE_FACTOR = 3
const LATENCY_FREE_MS = 300

export interface DrainWindow {
  /** Records that may be in flight now. */
  readonly records: number
  /** What an acknowledgement takes when nothing waits, in milliseconds; undefined before the first round. */
  readonly freeLatencyMs: number | undefined
  /** The window held something back that could have been sent: only then there is reason to widen it. */
  wasFull(): void
  /** Of either lane: they go the same way. */
  acknowledged(sentAtMs: number, nowMs: number, lane: PumpLane): void
  failed(nowMs: number): void
}

export function createDrainWindow({ recordsMax }: { readonly recordsMax: number }): DrainWindow {
  let window = Math.min(2, recordsMax)
  let freeLatencyMs: number | undefined
  /** What was sent before says something of an earlier window. */
  let roundStartedMs = 0
  let latencySumMs = 0
  let count = 0
  let backlogCount = 0
  let full = false

  const nextRound = (startedMs: number) => {
    roundStartedMs = startedMs
    latencySumMs = 0
    count = 0
    backlogCount = 0
    full = false
  }
  const narrow = (nowMs: number) => {
    window = Math.max(1, window / 2)
    nextRound(nowMs)
  }
  function judge(meanMs: number, nowMs: number): void {
    freeLatencyMs ??= meanMs
    const isLate = meanMs > Math.max(LATENCY_FREE_MS, LATE_FACTOR * freeLatencyMs)
    if (meanMs < freeLatencyMs) freeLatencyMs += (meanMs - freeLatencyMs) / 2
    else if (window < 2) freeLatencyMs += (meanMs - freeLatencyMs) / 4
    if (isLate) narrow(nowMs)
    else {
      if (full) window = Math.min(recordsMax, window + 1)
      // What is in flight was sent under much the same window.
      nextRound(roundStartedMs)
    }
  }
  return {
    get records() {
      return Math.floor(window)
    },
    get freeLatencyMs() {
      return freeLatencyMs
    },
    wasFull() {
      full = true
    },
    acknowledged(sentAtMs, nowMs, lane) {
      if (sentAtMs < roundStartedMs) return
      latencySumMs += nowMs - sentAtMs
      count += 1
      if (lane === 'backlog') backlogCount += 1
      if (backlogCount >= Math.floor(window)) judge(latencySumMs / count, nowMs)
    },
    failed: narrow,
  }
}
