import type { Clock } from './clock.ts'

export interface SimulatedClock extends Clock {
  /** Moves both clocks on, running what falls due on the way, in order, and letting promises settle between. */
  advance(durationMs: number): Promise<void>
  /** Sets the wall clock as `date -s` would; the monotonic clock does not notice. */
  setWall(wallMs: number): void
}

/** A clock that stands still until it is told to move: the twin of `systemClock` in tests. */
export function createSimulatedClock(startWallMs = Date.UTC(2026, 0, 1)): SimulatedClock {
  let monotonic = 0
  let wallOffset = startWallMs
  let timers: { dueMs: number; order: number; callback: () => void }[] = []
  let order = 0

  const settle = async () => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  const after = (delayMs: number, callback: () => void) => {
    const timer = { dueMs: monotonic + Math.max(0, delayMs), order: order++, callback }
    timers.push(timer)
    return () => {
      timers = timers.filter((other) => other !== timer)
    }
  }
  return {
    wallMs: () => wallOffset + monotonic,
    monotonicMs: () => monotonic,
    after,
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
        const cancel = after(delayMs, () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        })
        signal?.addEventListener('abort', onAbort, { once: true })
      }),
    setWall: (wallMs) => {
      wallOffset = wallMs - monotonic
    },
    async advance(durationMs) {
      const untilMs = monotonic + durationMs
      for (;;) {
        await settle()
        const next = timers.filter((t) => t.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0]
        if (!next) break
        timers = timers.filter((other) => other !== next)
        monotonic = Math.max(monotonic, next.dueMs)
        next.callback()
      }
      monotonic = untilMs
      await settle()
    },
  }
}
