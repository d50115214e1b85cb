/** Time is handed in: durations on the monotonic clock, timestamps on the wall clock, never mixed. */

export interface Clock {
  /** Milliseconds since 1970. May jump. */
  wallMs(): number
  /** Milliseconds since about the machine's start: the same scale in every process of this boot. Never runs backwards, and stands still in sleep. */
  monotonicMs(): number
  /** Resolves after the delay, or rejects with the signal's reason. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
  /** Calls back once after the delay; the returned function takes that back. */
  after(delayMs: number, callback: () => void): () => void
}

const TIMER_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1_000 + nanoseconds / 1_000_000
  },
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
