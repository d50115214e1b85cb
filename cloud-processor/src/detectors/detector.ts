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
export const DETECTOR_FAMILIES = [
  ...(['threshold', 'outlier', 'flatline', 'silence', 'rate', 'out_of_range', 'counter_reset'] as const),
  ...(['peers', 'together', 'link', 'violations'] as const),
] as const
export type DetectorFamily = (typeof DETECTOR_FAMILIES)[number]

export interface Verdict {
  readonly anomalous: boolean
  /** 0 (ordinary) to 1 (certainly not). */
  readonly score: number
  readonly expected: number | undefined
  readonly lower: number | undefined
  readonly upper: number | undefined
  /** A sentence for a person woken at night: what, how far from what, since when; '' while nothing is wrong. */
  readonly message: string
  /** Which view of the series spoke; '' for detectors that have one only. */
  readonly component: string
}

/** From where to where a value is what the series usually does. */
export interface Band {
  readonly lower: number
  readonly upper: number
}

/** What a detector says that has nothing to complain of. */
export const ORDINARY: Verdict = {
  anomalous: false,
  score: 0,
  expected: undefined,
  lower: undefined,
  upper: undefined,
  message: '',
  component: '',
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
  /**
   * What it holds of the reading that `observe` judged last, also when there was nothing new to say. Explicit detectors score 1
   * beyond their limit, else 0. Learned ones: 0.5 and more is an alarm that begins with this reading, 0.25 to 0.5 belongs to
   * one that began before it, less is ordinary; their message tells of ordinary readings too, once enough is known.
   */
  last(state: State): Verdict
  /**
   * What is ordinary at that time by what was learned so far, of learned detectors of one series alone; undefined while too little is known.
   * Changes nothing.
   */
  band?(state: State, timeMs: number): Band | undefined
  /** Feedback of a person, of learned detectors alone: this series' anomalies are worth a word, say them sooner. Bounded. */
  confirm?(state: State): void
  /** They are not: say them later. Bounded. */
  dismiss?(state: State): void
}

/**
 * What a saved state becomes under the present code: itself when it has today's shape; fields that an earlier version did not
 * have take the values of a fresh start; anything else is replaced by a fresh start.
 */
export function restoreState<State extends object>(detector: Pick<Detector<State>, 'start'>, saved: unknown): State {
  const fresh = detector.start()
  if (!isPartOf(saved, fresh)) return fresh
  return Object.keys(saved).length < Object.keys(fresh).length ? { ...fresh, ...saved } : saved
}

/** Has it no keys but those of the fresh one, and is the same in all that they lead to? */
function isPartOf<Part extends object>(saved: unknown, fresh: Part): saved is Part {
  if (typeof saved !== 'object' || saved === null || Array.isArray(saved) !== Array.isArray(fresh)) return false
  const known = fresh as Record<string, unknown>
  return Object.entries(saved).every(([key, value]) => isLike(value, known[key]))
}

function isLike(value: unknown, model: unknown): boolean {
  if (typeof model !== 'object' || model === null) return typeof value === typeof model
  return isPartOf(value, model) && Object.keys(value).length === Object.keys(model).length
}
