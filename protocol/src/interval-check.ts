/** Samples that come too soon or too late after the one before them. Only contracts that ask for it pay for it. */

/** Nearer to the sample before than this part of the interval. */
const TOO_SOON = 0.5
/** Further from it than so many intervals: at least one sample did not come. */
const TOO_LATE = 2

export const isTooSoon = (distanceMs: number, intervalMs: number): boolean => distanceMs < intervalMs * TOO_SOON

export interface IntervalViolations {
  readonly tooSoon: readonly number[]
  /** What each of them was compared with, milliseconds since 1970. */
  readonly tooSoonAfterMs: readonly number[]
  readonly tooLate: readonly number[]
}

/**
 * Pure. What is not later than the sample before it is history, and not judged.
 * @param previousMs time of the device's newest sample before these, -Infinity when there is none
 * @param intervalMs the contract's; distances are those between samples that did not come too soon
 */
export function checkInterval(timesMs: Float64Array, previousMs: number, intervalMs: number): IntervalViolations {
  const tooSoon: number[] = []
  const tooSoonAfterMs: number[] = []
  const tooLate: number[] = []
  let before = previousMs
  for (let i = 0; i < timesMs.length; i++) {
    const distance = (timesMs[i] as number) - before
    if (!(distance > 0)) continue
    if (isTooSoon(distance, intervalMs)) {
      tooSoon.push(i)
      tooSoonAfterMs.push(before)
    } else {
      if (distance > intervalMs * TOO_LATE && Number.isFinite(distance)) tooLate.push(i)
      before = timesMs[i] as number
    }
  }
  return { tooSoon, tooSoonAfterMs, tooLate }
}
