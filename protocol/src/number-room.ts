/**
 * Room for the numbers of one decoded batch. A typed array of its own for each short column would cost more than its
 * numbers do (memory outside the heap, which the collector must track), so short ones share a block.
 */
export interface NumberRoom {
  /** Zeros, not in use by anyone else. */
  take(count: number): Float64Array
}

const SHARED_NUMBERS = 1024
/** Longer columns get memory of their own. */
const SHORT_NUMBERS = 256

export function createNumberRoom(): NumberRoom {
  let shared = new ArrayBuffer(0)
  let used = 0
  return {
    take(count) {
      if (count > SHORT_NUMBERS) return new Float64Array(count)
      if (used + count > shared.byteLength / 8) {
        shared = new ArrayBuffer(SHARED_NUMBERS * 8)
        used = 0
      }
      const numbers = new Float64Array(shared, used * 8, count)
      used += count
      return numbers
    },
  }
}
