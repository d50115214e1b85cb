/** Opens something again and again (a port, a connection), for as long as the agent runs. */
import { type Backoff, backoffDelayMs, type Clock, type Logger, messageOf, UserError } from '@tributary/runtime'
import { RefusedError } from './mqtt-connection.ts'

/** A refused password is not tried again at once: it may lock the account. */
const REFUSED_BACKOFF: Backoff = { firstMs: 10_000, maxMs: 60_000 }
/** What held this long was good: the next failure begins with a short delay. */
const STABLE_MS = 5_000
/** What held this long is worth a line again when it ends in the same way as before. */
const NEWS_AGAIN_MS = 60_000

/**
 * @param openOnce rejects when it cannot open; else resolves, with the reason, when what it opened has come to its end
 */
export async function keepOpen(
  openOnce: () => Promise<string>,
  options: {
    clock: Clock
    signal: AbortSignal
    log: Logger
    backoff: Backoff
    onDown: (detail: string, couldOpen: boolean) => void
  },
): Promise<void> {
  const { clock, signal, log, backoff, onDown } = options
  let failures = 0
  let saidLast: string | undefined
  while (!signal.aborted) {
    const startedAtMs = clock.monotonicMs()
    let detail: string
    let hint: string | undefined
    let refused = false
    let couldOpen = false
    try {
      detail = await openOnce()
      const heldMs = clock.monotonicMs() - startedAtMs
      failures = heldMs >= STABLE_MS ? 1 : failures + 1
      if (heldMs >= NEWS_AGAIN_MS) saidLast = undefined
      couldOpen = true
    } catch (error) {
      failures++
      detail = messageOf(error)
      refused = error instanceof RefusedError
      hint = error instanceof RefusedError || error instanceof UserError ? error.hint : undefined
    }
    if (signal.aborted) return
    const delayMs = Math.round(backoffDelayMs(refused ? REFUSED_BACKOFF : backoff, failures))
    // The first time is news; the rest is repetition.
    log[detail === saidLast ? 'debug' : 'warn']({ delayMs, hint }, `${detail}; trying again`)
    saidLast = detail
    onDown(detail, couldOpen)
    await clock.sleep(delayMs, signal).catch(() => undefined)
  }
}
