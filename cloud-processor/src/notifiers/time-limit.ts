/** One attempt, whatever its protocol: it ends in time, lets go at once when it is told to, and names the host when it fails. */
import { type Clock, messageOf, PermanentError } from '@tributary/runtime'
import { AccessRefusedError, RetryLaterError } from './notifier.ts'

export interface TimeLimit {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly timeoutMs: number
  /** Host, and port when it matters: the only thing of an address that errors say. */
  readonly where: string
}

/** @param work must end when its signal aborts */
export async function withTimeLimit<T>(
  { clock, signal, timeoutMs, where }: TimeLimit,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const limit = new AbortController()
  const cancel = clock.after(timeoutMs, () => limit.abort(new Error(`${where} did not answer in ${timeoutMs} ms`)))
  try {
    return await work(AbortSignal.any([signal, limit.signal]))
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (limit.signal.aborted) throw limit.signal.reason
    if (DECIDED.some((type) => error instanceof type)) throw error
    throw new Error(`${where}: ${messageOf(error)}`, { cause: error })
  } finally {
    cancel()
  }
}

/** Errors that say by themselves what is to be done. */
const DECIDED = [PermanentError, AccessRefusedError, RetryLaterError]
