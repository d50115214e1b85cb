/** Saves the state of a partition until it works, and seldom enough that a tenth of the time goes into that, and another quarter when people wait. */
import type { Clock } from '@tributary/runtime'
import type { CheckpointStore } from './checkpoint.ts'
import type { Persevere } from './persevere.ts'
import type { PartitionState } from './state.ts'
import { encodeState } from './state-codec.ts'

/** At most one part in ten of the time, one in four for those that are early because people wait … */
const SHARE = 10
const SHARE_HURRIED = 4
/** … unless that would take longer: acknowledgements and alerts wait for the next one, and one that took long may only have stood still. */
const PAUSE_MS_MAX = 5_000

export interface CheckpointWriter {
  /** @param claimed the revision that the claim gave */
  begin(claimed: number): void
  /** Rejects when the partition was taken over, or the signal aborts. */
  save(state: PartitionState, signal: AbortSignal): Promise<void>
  /** From when on the next one may be saved, monotonic. */
  readonly dueAtMs: number
  /**
   * The same when people wait for it: it waits for the last that was early alone, and by the quicker of the last two saves, since one may only
   * have stood still.
   */
  readonly hurriedAtMs: number
  /** What the last one took, encoding and the attempt that worked: how long an outage was says nothing of what a checkpoint costs. */
  readonly lastMs: number
  readonly lastBytes: number
}

export function createCheckpointWriter(
  intervalMs: number,
  { checkpoints, persevere, clock }: { checkpoints: CheckpointStore; persevere: Persevere; clock: Clock },
): CheckpointWriter {
  let revision = 0
  let savedAtMs = 0
  let earlyAtMs = 0
  let lastMs = 0
  let beforeLastMs = Number.POSITIVE_INFINITY
  let lastBytes = 0
  const pauseMs = (costMs: number, share: number) => Math.min(costMs * (share - 1), PAUSE_MS_MAX)
  const dueAtMs = () => savedAtMs + Math.max(intervalMs, pauseMs(lastMs, SHARE))
  return {
    begin(claimed) {
      revision = claimed
    },
    async save(state, signal) {
      const startMs = clock.monotonicMs()
      const isEarly = startMs < dueAtMs()
      const bytes = encodeState(state)
      const encodedMs = clock.monotonicMs() - startMs
      let attemptAtMs = 0
      revision = await persevere('saving the checkpoint', signal, () => {
        attemptAtMs = clock.monotonicMs()
        return checkpoints.save(bytes, revision)
      })
      savedAtMs = clock.monotonicMs()
      if (isEarly) earlyAtMs = savedAtMs
      if (lastMs > 0) beforeLastMs = lastMs
      lastMs = encodedMs + savedAtMs - attemptAtMs
      lastBytes = bytes.length
    },
    get dueAtMs() {
      return dueAtMs()
    },
    get hurriedAtMs() {
      return earlyAtMs + pauseMs(Math.min(lastMs, beforeLastMs), SHARE_HURRIED)
    },
    get lastMs() {
      return lastMs
    },
    get lastBytes() {
      return lastBytes
    },
  }
}
