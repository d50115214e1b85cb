/**
 * The seam of all detectors of one series (site, device, field): strictly causal, bounded memory, event time only.
 * A further detector needs one new file here, one line in `detectors/index.ts`, one line in the contract's schema.
 */

export interface SeriesContext {
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly field: string
  readonly label: string
  readonly unit: string
  readonly decimals: number
  /** Expected time between two samples, milliseconds. */
  readonly intervalMs: number
}

/** `link`: agents and gateways of which nothing is heard. */
export type DetectorFamily = 'threshold' | 'outlier' | 'flatline' | 'silence' | 'link'

export interface Verdict {
  readonly anomalous: boolean
  /** 0 (ordinary) to 1 (certainly not). */
  readonly score: number
  readonly expected: number | undefined
  readonly lower: number | undefined
  readonly upper: number | undefined
  /** A sentence for a person woken at night: what, how far from what, since when; '' while nothing is wrong. */
  readonly message: string
}

/** What a detector says that has nothing to complain of. */
export const ORDINARY: Verdict = {
  anomalous: false,
  score: 0,
  expected: undefined,
  lower: undefined,
  upper: undefined,
  message: '',
}

/** The `lastTimeMs` of a state that has seen nothing; JSON has no -Infinity. */
export const NEVER_MS = -1e15

/**
 * One detector's judgement of one series. `State` is plain JSON data of bounded size, changed in place by `observe`:
 * what the checkpoint keeps, and all that the detector remembers. Restored state gives the same verdicts.
 */
export interface Detector<State extends object> {
  /** One name a detector of the series, stable over restarts: key in the checkpoint, `detector` tag in the store. */
  readonly name: string
  readonly family: DetectorFamily
  start(): State
  /**
   * Judges the next reading in event-time order; a reading that is not newer than the last one, or not finite, is passed over.
   * Returns a verdict when it changed (became anomalous, or stopped being so) or when an anomaly goes on with a higher
   * score; undefined when there is nothing new to say. A fresh state gives a verdict on its first reading, so that an alert
   * which an earlier, lost state had begun can end.
   */
  observe(state: State, timeMs: number, value: number): Verdict | undefined
}

/** What a saved state becomes under the present code: itself when it has today's shape, else a fresh start. */
export function restoreState<State extends object>(detector: Detector<State>, saved: unknown): State {
  const fresh = detector.start()
  if (typeof saved !== 'object' || saved === null) return fresh
  const known = saved as Record<string, unknown>
  const sameShape =
    Object.keys(known).length === Object.keys(fresh).length &&
    Object.entries(fresh).every(([key, value]) => typeof known[key] === typeof value)
  return sameShape ? (saved as State) : fresh
}
