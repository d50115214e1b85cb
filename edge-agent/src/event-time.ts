/**
 * From the monotonic clock to event time. What is stamped is stamped here, so that jumps of the wall clock go unnoticed.
 *
 * Guarantee: later on the monotonic clock is never earlier in event time, until the clock turns out to have been wrong (`turn`): readings
 * from before are then corrected, or were sent marked as untrusted. Between turns the offset follows the measurements; where it
 * falls, event time stands still for so long.
 */
import type { ClockQuality } from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'

/** A trusted clock that was further ahead than this is followed back; waiting for the time to come would stand still for too long. */
export const FOLLOW_BACK_MS = 60_000

/** What the readings of one batch have in common. */
export interface Timeline {
  /** Event time less monotonic time, whole milliseconds. */
  readonly offsetMs: number
  readonly quality: Extract<ClockQuality, 'trusted' | 'untrusted'>
}

export interface EventTime {
  readonly timeline: Timeline
  /** @param monotonicMs when something arrived. @returns milliseconds since 1970 */
  at(monotonicMs: number): number
  /** A trusted offset follows a new measurement. */
  follow(offsetMs: number, nowMs: number): void
  /** Another timeline begins: readings before and after must not stand in one batch. */
  turn(timeline: Timeline, nowMs: number): void
  /** Called before a turn, with what event times move by, and the event time of this moment after it. */
  onTurn(callback: (shiftMs: number, turnedAtMs: number) => void): void
}

/** The clock that inputs stamp by: its wall clock is event time. */
export const eventClock = (clock: Clock, eventTime: EventTime): Clock => ({
  ...clock,
  wallMs: () => eventTime.at(clock.monotonicMs()),
})

export function createEventTime(first: Timeline): EventTime {
  let timeline = first
  let notBeforeMs = Number.NEGATIVE_INFINITY
  const callbacks: ((shiftMs: number, turnedAtMs: number) => void)[] = []
  return {
    get timeline() {
      return timeline
    },
    at: (monotonicMs) => Math.max(notBeforeMs, monotonicMs + timeline.offsetMs),
    follow(offsetMs, nowMs) {
      const reachedMs = Math.max(notBeforeMs, nowMs + timeline.offsetMs)
      timeline = { ...timeline, offsetMs }
      notBeforeMs = reachedMs - (nowMs + offsetMs) > FOLLOW_BACK_MS ? Number.NEGATIVE_INFINITY : reachedMs
    },
    turn(next, nowMs) {
      for (const callback of callbacks) callback(next.offsetMs - timeline.offsetMs, nowMs + next.offsetMs)
      timeline = next
      notBeforeMs = Number.NEGATIVE_INFINITY
    },
    onTurn: (callback) => void callbacks.push(callback),
  }
}
