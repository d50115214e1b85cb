/**
 * Collects the sequences that are on disk and writes them to the port as ranges.
 * Bounded: at most `RANGES_MAX` ranges wait, and nothing is written while the port still holds the acknowledgement before. What is
 * dropped is no loss: the device sends again, and the repeat is acknowledged again.
 */
import type { Framing, SequenceRange } from '../framings/framing.ts'

const RANGES_MAX = 1_000

export interface SerialAcknowledger {
  /** Sequences of a delivery that is on disk. */
  stored(sequences: readonly number[]): void
  close(): void
}

/** @param write resolves when the port has taken the bytes */
export function createSerialAcknowledger(
  framing: Framing,
  write: (bytes: Uint8Array) => Promise<void>,
): SerialAcknowledger {
  let ranges: SequenceRange[] = []
  let scheduled = false
  let closed = false

  const flush = () => {
    if (closed || ranges.length === 0) {
      scheduled = false
      return
    }
    const bytes = framing.encodeAcknowledgement(mergeRanges(ranges))
    ranges = []
    write(bytes)
      .catch(() => undefined)
      .then(flush)
  }
  return {
    stored(sequences) {
      if (closed) return
      for (const sequence of sequences) {
        const last = ranges.at(-1)
        if (last && sequence === last[1] + 1) ranges[ranges.length - 1] = [last[0], sequence]
        else if (ranges.length < RANGES_MAX) ranges.push([sequence, sequence])
      }
      if (scheduled || ranges.length === 0) return
      scheduled = true
      // The deliveries of one batch are reported one after the other: one acknowledgement for all of them.
      queueMicrotask(flush)
    },
    close() {
      closed = true
    },
  }
}

/** Sorted, and joined where they touch. */
export function mergeRanges(ranges: readonly SequenceRange[]): SequenceRange[] {
  const merged: [number, number][] = []
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const before = merged.at(-1)
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else merged.push([first, last])
  }
  return merged
}
