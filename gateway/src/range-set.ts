/** A set of sequences, kept as ascending, disjoint, non-adjacent ranges; sequences come almost in order, so it stays small. */
export type Range = readonly [from: number, to: number]

export interface RangeSet {
  has(sequence: number): boolean
  add(sequence: number): void
  /** Everything from 1 up to here is in the set from now on. */
  addThrough(sequence: number): void
  /** Both ends included. */
  remove(from: number, to: number): void
  /** End of the lowest range: below it nothing is known to be missing. 0 when empty. */
  readonly lowestEnd: number
  readonly ranges: readonly Range[]
}

/** @param rangesMax beyond it the lowest range is forgotten: never is a hole claimed to be filled. */
export function createRangeSet(rangesMax: number, initial: readonly Range[] = []): RangeSet {
  let ranges: [number, number][] = initial.map(([from, to]) => [from, to])

  /** Index of the last range that begins at or below the sequence; -1 when there is none. */
  const indexBelow = (sequence: number): number => {
    let low = 0
    let high = ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((ranges[middle] as [number, number])[0] <= sequence) low = middle + 1
      else high = middle
    }
    return low - 1
  }
  return {
    has(sequence) {
      const range = ranges[indexBelow(sequence)]
      return range !== undefined && sequence <= range[1]
    },
    add(sequence) {
      const at = indexBelow(sequence)
      const below = ranges[at]
      const above = ranges[at + 1]
      if (below && sequence <= below[1]) return
      const joinsBelow = below !== undefined && below[1] + 1 === sequence
      const joinsAbove = above !== undefined && above[0] - 1 === sequence
      if (joinsBelow && joinsAbove) {
        below[1] = above[1]
        ranges.splice(at + 1, 1)
      } else if (joinsBelow) below[1] = sequence
      else if (joinsAbove) above[0] = sequence
      else ranges.splice(at + 1, 0, [sequence, sequence])
      if (ranges.length > rangesMax) ranges.shift()
    },
    addThrough(sequence) {
      if (sequence < 1) return
      const above = ranges.filter(([, to]) => to > sequence)
      const first = above[0]
      if (first && first[0] <= sequence + 1) first[0] = 1
      else above.unshift([1, sequence])
      ranges = above
    },
    remove(from, to) {
      const left: [number, number][] = []
      for (const [low, high] of ranges) {
        if (low < from) left.push([low, Math.min(high, from - 1)])
        if (high > to) left.push([Math.max(low, to + 1), high])
      }
      ranges = left.slice(-rangesMax)
    },
    get lowestEnd() {
      return ranges[0]?.[1] ?? 0
    },
    get ranges() {
      return ranges
    },
  }
}
