/** What must work before anything is acknowledged is tried until it does. */
import { backoffDelayMs, type Clock, type Logger, messageOf, UserError } from '@tributary/runtime'

/** Rejects when the signal aborts, and when only a person can help, as when another processor has taken the partition over. */
export type Persevere = <T>(what: string, signal: AbortSignal, work: () => Promise<T>) => Promise<T>

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
        return await work()
      } catch (error) {
        if (error instanceof UserError) throw error
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
