/** Saves the state of a partition until it works, and seldom enough that a tenth of the time goes into that. */
import type { Clock } from '@tributary/runtime'
import type { CheckpointStore } from './checkpoint.ts'
import type { Persevere } from './persevere.ts'
import type { PartitionState } from './state.ts'
import { encodeState } from './state-codec.ts'

/** At most one part in ten of the time … */
const SHARE = 10
/** … unless that would take longer: acknowledgements and alerts wait for the next one, and one that took long may only have stood still. */
const PAUSE_MS_MAX = 5_000

export interface CheckpointWriter {
  /** @param claimed the revision that the claim gave */
  begin(claimed: number): void
  /** Rejects when the partition was taken over, or the signal aborts. */
  save(state: PartitionState, signal: AbortSignal): Promise<void>
  /** From when on the next one may be saved, monotonic. */
  readonly dueAtMs: number
  /** The same when people wait for it: without the interval, and seldom enough all the same. */
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
  let lastMs = 0
  let lastBytes = 0
  const pauseMs = () => Math.min(lastMs * (SHARE - 1), PAUSE_MS_MAX)
  return {
    begin(claimed) {
      revision = claimed
    },
    async save(state, signal) {
      const startMs = clock.monotonicMs()
      const bytes = encodeState(state)
      const encodedMs = clock.monotonicMs() - startMs
      let attemptAtMs = 0
      revision = await persevere('saving the checkpoint', signal, () => {
        attemptAtMs = clock.monotonicMs()
        return checkpoints.save(bytes, revision)
      })
      savedAtMs = clock.monotonicMs()
      lastMs = encodedMs + savedAtMs - attemptAtMs
      lastBytes = bytes.length
    },
    get dueAtMs() {
      return savedAtMs + Math.max(intervalMs, pauseMs())
    },
    get hurriedAtMs() {
      return savedAtMs + pauseMs()
    },
    get lastMs() {
      return lastMs
    },
    get lastBytes() {
      return lastBytes
    },
  }
}
