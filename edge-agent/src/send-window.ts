/**
 * What is in flight on one connection, in the order of sending.
 *
 * Guarantee: `onSent` moves over a sequence only when it and every one sent before it were acknowledged.
 */
import type { Clock } from '@tributary/runtime'

export interface SendWindow {
  readonly size: number
  /** Resolves when one more may be sent. */
  room(): Promise<void>
  /** @returns to be called when the PUBACK is there */
  sent(sequence: number, bytes: number): () => void
  /** Rejects when the oldest has waited too long for its PUBACK; otherwise never settles. */
  readonly overdue: Promise<never>
  close(): void
}

export function createSendWindow(options: {
  clock: Clock
  inFlightMax: number
  answerMsMax: number
  onSent: (throughSequence: number, count: number, bytes: number) => void
}): SendWindow {
  const { clock, inFlightMax, answerMsMax, onSent } = options
  const flights: { sequence: number; bytes: number; sentAtMs: number; answered: boolean }[] = []
  let onRoom: (() => void) | undefined
  let cancelWatch: (() => void) | undefined
  let closed = false
  let onOverdue: (error: Error) => void = () => undefined
  const overdue = new Promise<never>((_, reject) => {
    onOverdue = reject
  })
  overdue.catch(() => undefined)

  const watch = () => {
    cancelWatch?.()
    cancelWatch = undefined
    const oldest = flights[0]
    if (!oldest || closed) return
    const leftMs = oldest.sentAtMs + answerMsMax - clock.monotonicMs()
    if (leftMs <= 0) onOverdue(new Error(`no answer to batch ${oldest.sequence} within ${answerMsMax} ms`))
    else cancelWatch = clock.after(leftMs, watch)
  }
  const answered = () => {
    let through = 0
    let count = 0
    let bytes = 0
    while (flights[0]?.answered) {
      const flight = flights.shift() as (typeof flights)[number]
      through = flight.sequence
      count++
      bytes += flight.bytes
    }
    if (count === 0) return
    onSent(through, count, bytes)
    watch()
    onRoom?.()
    onRoom = undefined
  }
  return {
    get size() {
      return flights.length
    },
    room: () =>
      flights.length < inFlightMax
        ? Promise.resolve()
        : new Promise((resolve) => {
            onRoom = resolve
          }),
    sent(sequence, bytes) {
      const flight = { sequence, bytes, sentAtMs: clock.monotonicMs(), answered: false }
      flights.push(flight)
      if (flights.length === 1) watch()
      return () => {
        if (closed) return
        flight.answered = true
        answered()
      }
    },
    overdue,
    close() {
      closed = true
      cancelWatch?.()
    },
  }
}
