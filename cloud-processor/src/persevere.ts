/** What must work before anything is acknowledged is tried until it does. */
import { backoffDelayMs, type Clock, type Logger, messageOf } from '@tributary/runtime'
import { CheckpointConflictError } from './checkpoint.ts'

/** Rejects when the signal aborts, and when another processor has taken the partition over. */
export type Persevere = (what: string, signal: AbortSignal, work: () => Promise<void>) => Promise<void>

export function createPerseverance({
  partition,
  clock,
  log,
}: {
  partition: number
  clock: Clock
  log: Logger
}): Persevere {
  return async (what, signal, work) => {
    for (let attempt = 1; ; attempt++) {
      try {
        await work()
        return
      } catch (error) {
        if (error instanceof CheckpointConflictError) throw error
        signal.throwIfAborted()
        const delayMs = backoffDelayMs({ firstMs: 200, maxMs: 10_000 }, attempt)
        log.error(
          { partition, attempt, delayMs: Math.round(delayMs), reason: messageOf(error) },
          `${what} failed; nothing is acknowledged before it works`,
        )
        await clock.sleep(delayMs, signal)
      }
    }
  }
}
