import type { Clock } from './clock.ts'

export interface Backoff {
  readonly firstMs: number
  readonly maxMs: number
}

/** Doubles from `firstMs` to `maxMs`, each delay drawn from its upper half, so that many clients do not return at once. */
export function backoffDelayMs(
  { firstMs, maxMs }: Backoff,
  attempt: number,
  random: () => number = Math.random,
): number {
  const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30))
  return ceiling / 2 + (random() * ceiling) / 2
}

/** Tries until it works or the signal aborts; `isPermanent` errors are thrown at once. */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  options: {
    clock: Clock
    signal: AbortSignal
    backoff: Backoff
    isPermanent?: (error: unknown) => boolean
    onFailure?: (error: unknown, attempt: number, delayMs: number) => void
  },
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason
      if (options.isPermanent?.(error)) throw error
      const delayMs = backoffDelayMs(options.backoff, attempt)
      options.onFailure?.(error, attempt, delayMs)
      await options.clock.sleep(delayMs, options.signal)
    }
  }
}
