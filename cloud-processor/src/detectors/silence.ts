/**
 * A device that has stopped sending, told from a link that is down: only an agent's promise ("everything measured before T
 * has been delivered") can make a device silent. While no promise arrives, nobody is silent. Nor is anyone when the agent
 * itself was off: a promise that leaps far ahead of the one before starts the waiting anew. One that is silent stays so, told
 * once, while all that comes of it is older than that: its clock is behind.
 */
import { NEVER_MS, type SeriesContext, type Verdict } from './detector.ts'
import { sayDuration, sayTime } from './sentence.ts'

export interface SilenceState {
  /** Newest sample of the device that was judged. */
  lastSampleMs: number
  promisedMs: number
  /** Usual distance of two promises; 0 while unknown. */
  promiseStepMs: number
  /** From here on the agent was listening. */
  listeningSinceMs: number
  silent: boolean
}

export interface SilenceVerdict extends Verdict {
  /** Event time of the change: when the wait was over, or the sample that ended the silence. */
  readonly timeMs: number
  /** Seconds without a sample. */
  readonly value: number
}

export interface SilenceInput {
  /** Event time of the newest sample of the device that has arrived. */
  readonly lastSampleMs: number
  /** The complete-through of the device's agent that is in effect. */
  readonly completeThroughMs: number
}

export interface SilenceDetector {
  readonly name: 'silence'
  readonly family: 'silence'
  start(): SilenceState
  /**
   * To be called for every known device of an agent after each batch of that agent. A gap whose end has arrived too is not
   * announced. A fresh state gives a verdict, as every detector's does.
   */
  judge(state: SilenceState, input: SilenceInput): SilenceVerdict | undefined
}

/** A leap of promises shorter than this is never taken for an agent that was off. */
const LEAP_MS_MIN = 5_000
/** A leap is longer than this many usual steps. */
const LEAP_STEPS = 5

/** @param durationMs the contract's `detectors.silence` */
export function silenceDetector(durationMs: number, series: Pick<SeriesContext, 'device' | 'kind'>): SilenceDetector {
  const verdict = (timeMs: number, value: number, anomalous: boolean, message: string): SilenceVerdict => ({
    anomalous,
    score: anomalous ? 1 : 0,
    expected: undefined,
    lower: undefined,
    upper: durationMs / 1000,
    message,
    component: '',
    timeMs,
    value,
  })
  return {
    name: 'silence',
    family: 'silence',
    start: () => ({
      lastSampleMs: NEVER_MS,
      promisedMs: NEVER_MS,
      promiseStepMs: 0,
      listeningSinceMs: NEVER_MS,
      silent: false,
    }),
    judge(state, { lastSampleMs, completeThroughMs }) {
      if (!Number.isFinite(lastSampleMs) || !Number.isFinite(completeThroughMs)) return undefined
      const first = state.promisedMs === NEVER_MS
      if (completeThroughMs > state.promisedMs) {
        const stepMs = completeThroughMs - state.promisedMs
        if (stepMs > Math.max(durationMs, LEAP_MS_MIN, LEAP_STEPS * state.promiseStepMs))
          state.listeningSinceMs = completeThroughMs
        if (state.promisedMs > NEVER_MS)
          state.promiseStepMs =
            state.promiseStepMs === 0
              ? stepMs
              : state.promiseStepMs + (Math.min(stepMs, 4 * state.promiseStepMs) - state.promiseStepMs) / 10
        state.promisedMs = completeThroughMs
      }
      if (first) {
        state.lastSampleMs = lastSampleMs
        return verdict(lastSampleMs, 0, false, '')
      }
      const newer = lastSampleMs > state.lastSampleMs
      const gapMs = lastSampleMs - state.lastSampleMs
      if (newer) state.lastSampleMs = lastSampleMs
      const dueMs = Math.max(state.lastSampleMs, state.listeningSinceMs) + durationMs
      if (state.silent) {
        if (!newer || completeThroughMs > dueMs) return undefined
        state.silent = false
        return verdict(lastSampleMs, gapMs / 1000, false, '')
      }
      if (completeThroughMs <= dueMs) return undefined
      state.silent = true
      const message = `no ${series.kind} sample of ${series.device} for ${sayDuration(dueMs - state.lastSampleMs)}, the last at ${sayTime(state.lastSampleMs)}, while its agent went on sending`
      return verdict(dueMs, (dueMs - state.lastSampleMs) / 1000, true, message)
    },
  }
}
