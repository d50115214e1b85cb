/** Those who wait for a record that is not durable yet. */
export interface Waiters {
  /** Resolves when a record with this or a higher sequence is told. */
  add(sequence: number, signal: AbortSignal): Promise<void>
  /** Everything up to this sequence is there. */
  wake(throughSequence: number): void
}

export function createWaiters(): Waiters {
  let waiters: { sequence: number; resolve: () => void }[] = []
  return {
    add: (sequence, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const onAbort = () => {
          waiters = waiters.filter((other) => other !== waiter)
          reject(signal.reason)
        }
        const waiter = {
          sequence,
          resolve: () => {
            signal.removeEventListener('abort', onAbort)
            resolve()
          },
        }
        signal.addEventListener('abort', onAbort, { once: true })
        waiters.push(waiter)
      }),
    wake(throughSequence) {
      for (const waiter of waiters) if (waiter.sequence <= throughSequence) waiter.resolve()
      waiters = waiters.filter((waiter) => waiter.sequence > throughSequence)
    },
  }
}
