/** What an input that is opened again and again says of itself, and since when it may hold samples that were not read yet. */
import type { Clock } from '@tributary/runtime'
import type { InputStatus, Intake } from './input.ts'

/** Devices and brokers send what they kept within this time after an input was opened. */
export const SETTLE_MS = 3_000

export interface InputState {
  /** Since when it was not open long enough, wall clock; undefined once senders have had their time. */
  readonly unsettledSinceMs: number | undefined
  opening(): void
  opened(detail: string): void
  /** What was open is no more, for whatever reason. */
  ended(): void
  /** As `keepOpen` tells it. */
  down(why: string, couldOpen: boolean): void
  stopped(): void
  /** @param heldSinceMs since when nothing is taken for want of room; undefined while there is room */
  status(heldSinceMs: number | undefined, heldDetail: string): InputStatus
}

export function createInputState(
  { name, type }: { name: string; type: InputStatus['type'] },
  intake: Intake,
  clock: Clock,
  firstDetail: string,
): InputState {
  let state: InputStatus['state'] = 'starting'
  let detail = firstDetail
  let unsettledSinceMs: number | undefined
  let cancelSettled: (() => void) | undefined
  return {
    get unsettledSinceMs() {
      return unsettledSinceMs
    },
    opening() {
      unsettledSinceMs ??= clock.wallMs()
    },
    opened(what) {
      state = 'open'
      detail = what
      cancelSettled?.()
      cancelSettled = clock.after(SETTLE_MS, () => {
        unsettledSinceMs = undefined
      })
    },
    ended: () => cancelSettled?.(),
    down(why, couldOpen) {
      state = couldOpen ? 'starting' : 'down'
      detail = why
    },
    stopped() {
      state = 'stopped'
    },
    status: (heldSinceMs, heldDetail) => ({
      name,
      type,
      state: state === 'open' && heldSinceMs !== undefined ? 'held' : state,
      samples: intake.samples,
      readings: intake.readings,
      deadLetters: intake.deadLetters,
      lastSampleAtMs: intake.lastSampleAtMs,
      detail: heldSinceMs === undefined ? detail : heldDetail,
    }),
  }
}
