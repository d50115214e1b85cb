/**
 * Collects the sequences that are on disk and writes them to the port as ranges.
 * Bounded: at most `RANGES_MAX` ranges wait, and nothing is written while the port still holds the acknowledgement before. What is
 * dropped is no loss: the device sends again, and the repeat is acknowledged again.
 *
 * An acknowledgement names sequences, not devices. So when another device is heard on the port, what the one before is still owed
 * is dropped: it must not be read by a device that keeps other samples under the same numbers.
 */
import type { Framing, SequenceRange } from '../framings/framing.ts'

const RANGES_MAX = 1_000

export interface SerialAcknowledger {
  /** A delivery from a device (`''`: it cannot be told): what is returned is to be called when the delivery is on disk. */
  received(device: string, sequences: readonly number[]): () => void
  close(): void
}

/** @param write resolves when the port has taken the bytes */
export function createSerialAcknowledger(
  framing: Framing,
  write: (bytes: Uint8Array) => Promise<void>,
  onOtherDevice: (before: string, now: string) => void = () => undefined,
): SerialAcknowledger {
  let speaker: string | undefined
  /** Counts the changes of speaker. */
  let turn = 0
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
  const stored = (sequences: readonly number[]) => {
    for (const sequence of sequences) {
      const last = ranges.at(-1)
      if (last && sequence === last[1] + 1) ranges[ranges.length - 1] = [last[0], sequence]
      else if (ranges.length < RANGES_MAX) ranges.push([sequence, sequence])
    }
    if (scheduled || ranges.length === 0) return
    scheduled = true
    // The deliveries of one batch are reported one after the other: one acknowledgement for all of them.
    queueMicrotask(flush)
  }
  return {
    received(device, sequences) {
      if (device !== '' && device !== speaker) {
        if (speaker !== undefined) {
          turn++
          ranges = []
          onOtherDevice(speaker, device)
        }
        speaker = device
      }
      const heardIn = turn
      return () => {
        if (!closed && heardIn === turn) stored(sequences)
      }
    },
    close() {
      closed = true
    },
  }
}

/** Sorted, and joined where they touch. */
function mergeRanges(ranges: readonly SequenceRange[]): SequenceRange[] {
  const merged: [number, number][] = []
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const before = merged.at(-1)
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else merged.push([first, last])
  }
  return merged
}
