/**
 * Guarantee: a percentile that a sketch tells lies within `RELATIVE_ERROR` of the reading that has that rank, whatever its sign
 * and size. The same readings give the same bytes, in whatever order they came and however they were merged.
 * Not: for readings smaller than a 14,000th of the largest of their sign in the window; they are told as about that large.
 *
 * After DDSketch (Masson, Rim, Lee 2019, https://arxiv.org/abs/1908.10693): readings are counted in buckets whose bounds grow
 * geometrically, 37 to an octave. The bucket comes from the upper half of the double by whole-number arithmetic alone: no
 * logarithm, whose last digit depends on the machine. One sketch serves all fields of a row: a sorted list of
 * (key, count), where the key is the field's slot and the bucket.
 */

/** Of the buckets 0.94 %; being rounded to three digits at least (`scaleFor`) is another 0.05 %. */
export const RELATIVE_ERROR = 0.01
const BUCKETS_PER_OCTAVE = 37
/** From the largest magnitude of a sign downwards: those below share the lowest bucket. 2^(512 / 37) is 14,600. */
export const BUCKETS_PER_SIGN_MAX = 512
/** Keys of a slot. Zero stands in the middle; larger values have larger keys. */
const KEYS_PER_SLOT = 2 ** 18
const ZERO = KEYS_PER_SLOT / 2
export const SIGNIFICANT_MIN = 1_000

/** Sorted pairs of key and count, the first `size` of them in use. */
export interface Sketch {
  entries: Uint32Array
  size: number
}

/** Eight pairs: as much as V8 keeps beside the object itself. */
const ENTRIES_INITIAL = 16

export const createSketch = (): Sketch => ({ entries: new Uint32Array(ENTRIES_INITIAL), size: 0 })

const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)
double[0] = 1
const HIGH = words[1] === 0 ? 0 : 1

/** Lower bounds of the buckets of an octave, in 2^-20 above 1; the last is the octave's end. */
const BOUNDS = Uint32Array.from({ length: BUCKETS_PER_OCTAVE + 1 }, (_, part) =>
  Math.round(2 ** 20 * (2 ** (part / BUCKETS_PER_OCTAVE) - 1)),
)
/** Bucket at the beginning of each 256th of an octave; no bucket is so narrow that two begin in one. */
const PART_AT = Uint8Array.from({ length: 256 }, (_, cell) => BOUNDS.findLastIndex((bound) => bound <= cell << 12))
/** What stands for the readings of a bucket: as far from its lower as from its upper bound, in proportion. */
const MIDDLE = Float64Array.from({ length: BUCKETS_PER_OCTAVE }, (_, part) => {
  const low = 1 + (BOUNDS[part] as number) / 2 ** 20
  const high = 1 + (BOUNDS[part + 1] as number) / 2 ** 20
  return (2 * low * high) / (low + high)
})

function keyOf(slot: number, value: number): number {
  double[0] = value
  const high = words[HIGH] as number
  const exponent = (high >>> 20) & 0x7ff
  const zero = slot * KEYS_PER_SLOT + ZERO
  // What is no normal number any more, below 1e-307, is zero.
  if (exponent === 0) return zero
  const mantissa = high & 0xfffff
  let part = PART_AT[mantissa >>> 12] as number
  if (mantissa >= (BOUNDS[part + 1] as number)) part += 1
  const bucket = exponent * BUCKETS_PER_OCTAVE + part
  return high >>> 31 === 1 ? zero - bucket : zero + bucket
}

function middleOf(key: number): number {
  const ordinal = (key % KEYS_PER_SLOT) - ZERO
  if (ordinal === 0) return 0
  const bucket = Math.abs(ordinal)
  const exponent = Math.floor(bucket / BUCKETS_PER_OCTAVE)
  words[1 - HIGH] = 0
  words[HIGH] = exponent << 20
  const value = (double[0] as number) * (MIDDLE[bucket - exponent * BUCKETS_PER_OCTAVE] as number)
  return ordinal < 0 ? -value : value
}

/** Counts accepted readings [from, to) of a numeric column. */
export function sketchRun(
  sketch: Sketch,
  slot: number,
  values: Float64Array | Uint8Array,
  present: Uint8Array | null,
  refused: Uint8Array | null,
  from: number,
  to: number,
): void {
  let at = 0
  for (let i = from; i < to; i++) {
    if ((present !== null && present[i] === 0) || (refused !== null && refused[i] === 1)) continue
    const key = keyOf(slot, values[i] as number)
    // Most readings are like the one before.
    if (at < sketch.size && sketch.entries[2 * at] === key)
      sketch.entries[2 * at + 1] = (sketch.entries[2 * at + 1] as number) + 1
    else at = add(sketch, key, 1)
  }
}

/** Adds all that `other` has counted. */
export function mergeSketch(sketch: Sketch, other: Sketch): void {
  const { entries } = other
  for (let at = 0; at < other.size; at++) add(sketch, entries[2 * at] as number, entries[2 * at + 1] as number)
}

/** Index of the first entry with that key or a greater one. */
function lowerBound({ entries, size }: Sketch, key: number): number {
  let low = 0
  let high = size
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((entries[2 * middle] as number) < key) low = middle + 1
    else high = middle
  }
  return low
}

/** @returns the place of the entry that counted it */
function add(sketch: Sketch, key: number, count: number): number {
  const at = lowerBound(sketch, key)
  const { size } = sketch
  if (at < size && sketch.entries[2 * at] === key) {
    sketch.entries[2 * at + 1] = (sketch.entries[2 * at + 1] as number) + count
    return at
  }
  if (2 * size === sketch.entries.length) {
    const larger = new Uint32Array(4 * size)
    larger.set(sketch.entries)
    sketch.entries = larger
  }
  const { entries } = sketch
  entries.copyWithin(2 * at + 2, 2 * at, 2 * size)
  entries[2 * at] = key
  entries[2 * at + 1] = count
  sketch.size = size + 1
  return bound(sketch, key) ? lowerBound(sketch, key) : at
}

/**
 * Joins the buckets of the key's slot and sign that lie too far below its largest magnitude. Which they are depends on that largest
 * alone: that is why order does not matter.
 */
function bound(sketch: Sketch, key: number): boolean {
  const first = Math.floor(key / KEYS_PER_SLOT) * KEYS_PER_SLOT
  const zero = first + ZERO
  if (key === zero) return false
  const { entries } = sketch
  const from = lowerBound(sketch, key > zero ? zero + 1 : first)
  const to = lowerBound(sketch, key > zero ? first + KEYS_PER_SLOT : zero) - 1
  const lowest = entries[2 * from] as number
  const highest = entries[2 * to] as number
  if (highest - lowest < BUCKETS_PER_SIGN_MAX) return false
  if (key > zero) {
    const floor = highest - BUCKETS_PER_SIGN_MAX + 1
    join(sketch, from, lowerBound(sketch, floor), floor)
  } else {
    const ceiling = lowest + BUCKETS_PER_SIGN_MAX - 1
    join(sketch, lowerBound(sketch, ceiling + 1), to + 1, ceiling)
  }
  return true
}

/** Entries [from, to) become one with that key, or part of it when it stands at either end. */
function join(sketch: Sketch, from: number, to: number, key: number): void {
  const { entries } = sketch
  let first = from
  let end = to
  if (end < sketch.size && entries[2 * end] === key) end += 1
  else if (first > 0 && entries[2 * first - 2] === key) first -= 1
  let count = 0
  for (let at = first; at < end; at++) count += entries[2 * at + 1] as number
  entries[2 * first] = key
  entries[2 * first + 1] = count
  entries.copyWithin(2 * first + 2, 2 * end, 2 * sketch.size)
  sketch.size -= end - first - 1
}

/** How many readings of a slot were counted. */
export function sketchedCount(sketch: Sketch, slot: number): number {
  let count = 0
  const end = (slot + 1) * KEYS_PER_SLOT
  for (
    let at = lowerBound(sketch, slot * KEYS_PER_SLOT);
    at < sketch.size && (sketch.entries[2 * at] as number) < end;
    at++
  )
    count += sketch.entries[2 * at + 1] as number
  return count
}

/** Rank among `count` sorted readings, from 0, as InfluxQL's PERCENTILE has it. */
export const rankOf = (share: number, count: number): number => Math.max(0, Math.floor(share * count + 0.5) - 1)

/**
 * Values of a slot at ranks, which ascend and lie below its count.
 * @param found takes one value a rank
 */
export function quantiles(sketch: Sketch, slot: number, ranks: ArrayLike<number>, found: Float64Array): void {
  let at = lowerBound(sketch, slot * KEYS_PER_SLOT)
  let through = (sketch.entries[2 * at + 1] as number) - 1
  for (let r = 0; r < ranks.length; r++) {
    while (through < (ranks[r] as number)) through += sketch.entries[2 * ++at + 1] as number
    found[r] = middleOf(sketch.entries[2 * at] as number)
  }
}

/** The scale, a power of ten times the field's own, at which the value has three digits at least. */
export function scaleFor(value: number, scale: number): number {
  let enough = scale
  while (Math.abs(value) * enough < SIGNIFICANT_MIN && enough < 1e9) enough *= 10
  return enough
}

/** The same readings of slots that have other numbers now; those without one are left out. */
export function renumberSlots({ entries, size }: Sketch, slots: readonly (number | undefined)[]): Sketch {
  const renumbered = createSketch()
  for (let at = 0; at < size; at++) {
    const key = entries[2 * at] as number
    const slot = slots[Math.floor(key / KEYS_PER_SLOT)]
    if (slot !== undefined) add(renumbered, slot * KEYS_PER_SLOT + (key % KEYS_PER_SLOT), entries[2 * at + 1] as number)
  }
  return renumbered
}
