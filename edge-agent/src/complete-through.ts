/**
 * The promise in every batch: everything measured before this time is in this or an earlier sequence.
 *
 * Kept as far as the agent can know. It is the clock as the batch is closed, less an allowance for what is on its way from a
 * sensor; it stands still while an input may still bring older samples (it is closed, held back, or has only just been
 * opened, when devices and brokers send what they kept), though not for longer than `HOLD_MS_MAX`: one input that is gone must not
 * hold the windows of all others open. It never moves back within an epoch. What comes later than promised is late,
 * and late is not lost: the processor revises its windows.
 */
export const HOLD_MS_MAX = 60_000

export interface CompleteThrough {
  /** @param pendingSinceMs for each input that may still bring older samples: since when */
  next(closedAtMs: number, pendingSinceMs: readonly number[]): number
}

export function createCompleteThrough(latenessMs: number, recoveredMs: number): CompleteThrough {
  let promisedMs = recoveredMs
  return {
    next(closedAtMs, pendingSinceMs) {
      const since = Math.max(Math.min(closedAtMs, ...pendingSinceMs), closedAtMs - HOLD_MS_MAX)
      promisedMs = Math.max(promisedMs, Math.floor(since - latenessMs))
      return promisedMs
    },
  }
}
