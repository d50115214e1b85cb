/**
 * What is in flight on one connection.
 *
 * Guarantee: a link on which nothing comes back is noticed: `overdue` rejects when something waits and there was no PUBACK at all
 * for `answerMsMax`, or when one batch waits six times as long although others were answered.
 */
import type { Clock } from '@tributary/runtime'

export interface Flights {
  readonly size: number
  /** Starts it. @returns resolves with the PUBACK; rejects when the connection ends before it */
  send(sequence: number, start: (onAcknowledged: () => void) => void): Promise<void>
  /** Rejects when the link is silent; otherwise never settles. */
  readonly overdue: Promise<never>
  /** What is in flight rejects with the reason; a PUBACK that comes later counts for nothing. */
  close(reason: Error): void
}

const PATIENCE = 6

export function createFlights(options: { clock: Clock; answerMsMax: number }): Flights {
  const { clock, answerMsMax } = options
  /** In the order of sending. */
  const flights = new Set<{
    readonly sequence: number
    readonly sentAtMs: number
    readonly fail: (why: Error) => void
  }>()
  let heardAtMs = Number.NEGATIVE_INFINITY
  let cancelWatch: (() => void) | undefined
  let closed: Error | undefined
  let onOverdue: (error: Error) => void = () => undefined
  const overdue = new Promise<never>((_, reject) => {
    onOverdue = reject
  })
  overdue.catch(() => undefined)

  const watch = () => {
    cancelWatch?.()
    cancelWatch = undefined
    const oldest = flights.values().next().value
    if (!oldest || closed) return
    const silent = { atMs: Math.max(oldest.sentAtMs, heardAtMs) + answerMsMax, limitMs: answerMsMax }
    const forgotten = { atMs: oldest.sentAtMs + answerMsMax * PATIENCE, limitMs: answerMsMax * PATIENCE }
    const due = silent.atMs <= forgotten.atMs ? silent : forgotten
    const leftMs = due.atMs - clock.monotonicMs()
    if (leftMs <= 0) onOverdue(new Error(`no answer to batch ${oldest.sequence} within ${due.limitMs} ms`))
    else cancelWatch = clock.after(leftMs, watch)
  }
  return {
    get size() {
      return flights.size
    },
    send: (sequence, start) =>
      new Promise((resolve, reject) => {
        if (closed) {
          reject(closed)
          return
        }
        const flight = { sequence, sentAtMs: clock.monotonicMs(), fail: reject }
        flights.add(flight)
        if (flights.size === 1) watch()
        start(() => {
          if (closed || !flights.delete(flight)) return
          heardAtMs = clock.monotonicMs()
          watch()
          resolve()
        })
      }),
    overdue,
    close(reason) {
      closed ??= reason
      cancelWatch?.()
      for (const { fail } of flights) fail(reason)
      flights.clear()
    },
  }
}
