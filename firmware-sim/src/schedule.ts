/** When a scheduled thing happens: times count from the start of the run. */

export interface Window {
  readonly atMs: number
  /** 0: one sample, the first at or after `atMs`. */
  readonly forMs: number
  /** Repeats, when given. */
  readonly everyMs: number | undefined
}

export interface Occurrence {
  /** 0, 1, 2, … */
  readonly index: number
  readonly fromMs: number
  readonly untilMs: number
}

/**
 * The occurrence that covers a moment. A window of one sample covers the first one at or after its begin, so it must be told
 * when the sample before was measured; there the comparison is exact, whatever rounding made of the interval.
 */
export function occurrenceAt(window: Window, elapsedMs: number, previousMs: number): Occurrence | undefined {
  const sinceMs = elapsedMs - window.atMs
  if (sinceMs < 0) return undefined
  const index = window.everyMs === undefined ? 0 : Math.floor(sinceMs / window.everyMs)
  const fromMs = window.atMs + index * (window.everyMs ?? 0)
  if (window.forMs > 0) {
    const untilMs = fromMs + window.forMs
    return elapsedMs < untilMs ? { index, fromMs, untilMs } : undefined
  }
  return previousMs < fromMs ? { index, fromMs, untilMs: elapsedMs } : undefined
}
