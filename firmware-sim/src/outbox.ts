/**
 * The samples that a device keeps until they are acknowledged: a ring over consecutive sequences. Only sequences are kept,
 * because values can be computed again. When it is full, the oldest goes.
 */

const FREE = 0
const WAITING = 1
const SENT = 2
/** Sent before, and to be sent again. */
const AGAIN = 3

export interface Outbox {
  /** Samples not acknowledged yet. */
  readonly unacknowledged: number
  /** Samples to be sent, for the first time or again. */
  readonly waiting: number
  /** Keeps the next sequence; sequences come without holes. @returns the one that had to go for it */
  push(sequence: number): { sequence: number; sent: boolean } | undefined
  /** Up to `count` sequences to send, oldest first; they count as sent from `nowMs` on. */
  take(count: number, nowMs: number): number[]
  /** Lets go of a range. @returns how many there were */
  acknowledge(first: number, last: number): number
  /** To be sent again: those sent at or before the time. @returns how many */
  sendAgain(sentAtMs: number): number
  /** What is still kept, oldest first. */
  remaining(): { sequence: number; sent: boolean }[]
}

export function createOutbox(capacity: number, firstSequence: number): Outbox {
  const states = new Uint8Array(capacity)
  const sentAtMs = new Float64Array(capacity)
  let first = firstSequence
  let end = firstSequence
  /** Nothing below it waits. */
  let scan = firstSequence
  let unacknowledged = 0
  let waiting = 0

  const slot = (sequence: number) => sequence % capacity
  const free = (sequence: number) => {
    const state = states[slot(sequence)]
    if (state === FREE) return false
    if (state !== SENT) waiting--
    states[slot(sequence)] = FREE
    unacknowledged--
    return true
  }
  const advance = () => {
    while (first < end && states[slot(first)] === FREE) first++
    if (scan < first) scan = first
  }

  return {
    get unacknowledged() {
      return unacknowledged
    },
    get waiting() {
      return waiting
    },
    push(sequence) {
      if (sequence !== end) throw new RangeError(`sequence ${sequence} follows ${end - 1}`)
      let dropped: { sequence: number; sent: boolean } | undefined
      if (end - first === capacity) {
        dropped = { sequence: first, sent: states[slot(first)] !== WAITING }
        free(first)
        advance()
      }
      states[slot(end)] = WAITING
      end++
      waiting++
      unacknowledged++
      return dropped
    },
    take(count, nowMs) {
      const taken: number[] = []
      for (; scan < end && taken.length < count && waiting > 0; scan++) {
        const at = slot(scan)
        if (states[at] !== WAITING && states[at] !== AGAIN) continue
        states[at] = SENT
        sentAtMs[at] = nowMs
        waiting--
        taken.push(scan)
      }
      return taken
    },
    acknowledge(from, to) {
      let count = 0
      for (let sequence = Math.max(from, first); sequence <= Math.min(to, end - 1); sequence++)
        if (free(sequence)) count++
      advance()
      return count
    },
    sendAgain(beforeMs) {
      let count = 0
      for (let sequence = end - 1; sequence >= first; sequence--) {
        const at = slot(sequence)
        if (states[at] !== SENT || (sentAtMs[at] as number) > beforeMs) continue
        states[at] = AGAIN
        scan = Math.min(scan, sequence)
        waiting++
        count++
      }
      return count
    },
    remaining() {
      const kept: { sequence: number; sent: boolean }[] = []
      for (let sequence = first; sequence < end; sequence++) {
        const state = states[slot(sequence)]
        if (state !== FREE) kept.push({ sequence, sent: state !== WAITING })
      }
      return kept
    },
  }
}
