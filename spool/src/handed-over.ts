/** Which sequences were given to a sender, whatever came of it. Bounded: of more ranges the two nearest are joined, which claims too much, never too little. */

const RANGES_MAX = 100

export interface HandedOver {
  /** @param settledThrough nobody asks about sequences up to here any more */
  add(sequence: number, settledThrough: number): void
  has(sequence: number): boolean
}

export function createHandedOver(): HandedOver {
  let ranges: { from: number; to: number }[] = []
  return {
    add(sequence, settledThrough) {
      ranges = ranges.filter(({ to }) => to > settledThrough)
      const at = ranges.findLastIndex(({ from }) => from <= sequence)
      const [before, after] = [ranges[at], ranges[at + 1]]
      if (before && sequence <= before.to) return
      if (before && before.to + 1 === sequence) before.to = sequence
      else if (after && after.from === sequence + 1) after.from = sequence
      else ranges.splice(at + 1, 0, { from: sequence, to: sequence })
      if (ranges.length > RANGES_MAX) joinNearest(ranges)
    },
    has: (sequence) => ranges.some(({ from, to }) => from <= sequence && sequence <= to),
  }
}

function joinNearest(ranges: { from: number; to: number }[]): void {
  const gapAfter = (i: number) => (ranges[i + 1]?.from ?? Number.POSITIVE_INFINITY) - (ranges[i]?.to ?? 0)
  let nearest = 0
  for (let i = 1; i < ranges.length - 1; i++) if (gapAfter(i) < gapAfter(nearest)) nearest = i
  const [low, high] = ranges.splice(nearest, 2)
  if (low && high) ranges.splice(nearest, 0, { from: low.from, to: high.to })
}
