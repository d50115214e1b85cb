/**
 * What was sent: a prefix, and ranges beyond it where the live lane overtook a backlog. A range that the prefix reaches becomes
 * part of it. Bounded: beyond `SENT_RANGES_MAX` the lowest range is forgotten, and its records are sent again.
 */

export const SENT_RANGES_MAX = 100

/** Both ends belong to it. */
export interface SentRange {
  readonly from: number
  readonly to: number
}

export interface Sent {
  /** Every sequence up to here. */
  readonly through: number
  /** Beyond `through`: ascending, with a gap before each. */
  readonly ranges: readonly SentRange[]
  /** @returns whether anything in it was new */
  mark(from: number, to: number): boolean
}

export function createSent(throughAtStart: number, rangesAtStart: readonly SentRange[] = []): Sent {
  let through = throughAtStart
  let ranges: readonly SentRange[] = []

  function mark(from: number, to: number): boolean {
    if (to < from || to <= through || ranges.some((range) => range.from <= from && to <= range.to)) return false
    const lower = ranges.filter((range) => range.to < from - 1)
    const higher = ranges.filter((range) => range.from > to + 1)
    const touched = ranges.slice(lower.length, ranges.length - higher.length)
    const joined = { from: Math.min(from, touched[0]?.from ?? from), to: Math.max(to, touched.at(-1)?.to ?? to) }
    if (joined.from <= through + 1) {
      through = joined.to
      ranges = higher
    } else ranges = [...lower, joined, ...higher].slice(-SENT_RANGES_MAX)
    return true
  }
  for (const { from, to } of rangesAtStart) mark(from, to)
  return {
    get through() {
      return through
    },
    get ranges() {
      return ranges
    },
    mark,
  }
}
