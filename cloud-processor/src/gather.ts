/** Work that is asked for more often than it need be done: what is asked for while it waits or goes on is done in one go. */
import type { Clock } from '@tributary/runtime'

const GATHER_MS = 200
/** At most one part in ten of the time goes into the work, unless that takes very long: it may have waited for a disk, and be waited for. */
const SHARE = 10
const PAUSE_MS_MAX = 5_000

export interface Gatherer {
  /** Has the work done within a moment, and once more when it is going on. */
  soon(signal: AbortSignal): void
  /** Resolves when nothing is asked for any more; rejects with what the work threw. */
  ended(): Promise<void>
}

/** @param onFailure called at once when the work throws; nothing more is done then */
export function createGatherer(
  work: () => Promise<void>,
  { clock, onFailure }: { clock: Clock; onFailure: () => void },
): Gatherer {
  let running: Promise<void> | undefined
  let isDue = false
  const run = async (signal: AbortSignal) => {
    let pauseMs = GATHER_MS
    while (isDue) {
      await clock.sleep(pauseMs, signal).catch(() => undefined)
      if (signal.aborted) return
      isDue = false
      const startMs = clock.monotonicMs()
      await work()
      pauseMs = Math.min(PAUSE_MS_MAX, Math.max(GATHER_MS, (clock.monotonicMs() - startMs) * (SHARE - 1)))
    }
    running = undefined
  }
  return {
    soon(signal) {
      isDue = true
      if (running !== undefined) return
      running = run(signal)
      running.catch(onFailure)
    },
    ended: () => running ?? Promise.resolve(),
  }
}
