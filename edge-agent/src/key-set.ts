/** A set of whole numbers from 0 to 2^53 - 1 that only grows, without an object for each: open addressing in one typed array. */
export interface KeySet {
  readonly size: number
  has(key: number): boolean
  /** @param key not in the set yet */
  add(key: number): void
}

const SLOTS_FIRST = 16
const EMPTY = -1

export function createKeySet(): KeySet {
  let slots = new Float64Array(SLOTS_FIRST).fill(EMPTY)
  let size = 0
  /** Where the key is, or would be. The lower half of a key is as good as a hash. */
  const slotOf = (key: number): number => {
    const mask = slots.length - 1
    let at = key & mask
    while (slots[at] !== EMPTY && slots[at] !== key) at = (at + 1) & mask
    return at
  }
  return {
    get size() {
      return size
    },
    has: (key) => slots[slotOf(key)] === key,
    add(key) {
      size++
      slots[slotOf(key)] = key
      if (size * 2 <= slots.length) return
      const old = slots
      slots = new Float64Array(old.length * 2).fill(EMPTY)
      for (const kept of old) if (kept !== EMPTY) slots[slotOf(kept)] = kept
    },
  }
}
