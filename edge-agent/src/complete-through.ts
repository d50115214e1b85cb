/**
 * The promise in every batch: everything measured before this time is in this or an earlier sequence.
 *
 * Kept as far as the agent can know. It is the clock as the batch is closed, less an allowance for what is on its way from a
 * sensor; it stands still while an input may still bring older samples (it is closed, held back, or has only just been
 * opened, when devices and brokers send what they kept), though not for longer than `HOLD_MS_MAX`: one input that is gone must not
 * hold the windows of all others open. It never moves back within an epoch. What comes later than promised is late,
 * and late is not lost: the processor revises its windows.
 *
 * While the clock is not trusted the promise is in the same wrong time as the readings of the batch, moves back in none, and is corrected
 * with them, so it may then lie behind an earlier one by the error of two measurements of the clock; it binds no promise of a clock that is trusted.
 */
import type { Timeline } from './event-time.ts'

export const HOLD_MS_MAX = 60_000

export interface CompleteThrough {
  /**
   * @param closedAtMs event time, and
   * @param pendingSinceMs for each input that may still bring older samples: since when
   */
  next(closedAtMs: number, pendingSinceMs: readonly number[], quality: Timeline['quality']): number
  /** Event time means another time from here on: what inputs said of before is in the old one. */
  turned(turnedAtMs: number): void
}

/** @param recoveredMs what was promised before by a clock that is trusted */
export function createCompleteThrough(latenessMs: number, recoveredMs: number): CompleteThrough {
  const promisedMs = { trusted: recoveredMs, untrusted: Number.NEGATIVE_INFINITY }
  let turnMs = Number.NEGATIVE_INFINITY
  return {
    next(closedAtMs, pendingSinceMs, quality) {
      const isTurnRecent = closedAtMs - turnMs < HOLD_MS_MAX
      const pending = pendingSinceMs.map((sinceMs) => (isTurnRecent ? Math.min(sinceMs, turnMs) : sinceMs))
      const since = Math.max(Math.min(closedAtMs, ...pending), closedAtMs - HOLD_MS_MAX)
      promisedMs[quality] = Math.max(promisedMs[quality], Math.floor(since - latenessMs))
      return promisedMs[quality]
    },
    turned(turnedAtMs) {
      turnMs = turnedAtMs
      promisedMs.untrusted = Number.NEGATIVE_INFINITY
    },
  }
}
