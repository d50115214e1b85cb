/** Time is handed in: durations on the monotonic clock, timestamps on the wall clock, never mixed. */

export interface Clock {
  /** Milliseconds since 1970. May jump. */
  wallMs(): number
  /** Milliseconds since some fixed moment of this boot. Never runs backwards. */
  monotonicMs(): number
  /** Resolves after the delay, or rejects with the signal's reason. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
  /** Calls back once after the delay; the returned function takes that back. */
  after(delayMs: number, callback: () => void): () => void
}

const TIMER_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (delayMs, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const onAbort = () => {
        cancel()
        reject(signal?.reason)
      }
      const cancel = systemClock.after(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    }),
  after(delayMs, callback) {
    const wait = () => {
      // Beyond this a timer of Node's fires at once.
      const waitMs = Math.min(delayMs, TIMER_MS_MAX)
      delayMs -= waitMs
      timer = setTimeout(delayMs > 0 ? wait : callback, waitMs)
    }
    let timer: NodeJS.Timeout
    wait()
    return () => clearTimeout(timer)
  },
}

/** Calls `work` every interval, one call at a time, until the signal aborts; a call that throws ends it with that error. */
export async function every(
  intervalMs: number,
  work: () => void | Promise<void>,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await work()
    await clock.sleep(intervalMs, signal).catch(() => undefined)
  }
}
