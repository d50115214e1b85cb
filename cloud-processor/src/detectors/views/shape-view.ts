/**
 * Does the course of the last readings resemble any before it? Conformal nearest neighbour: the window of the last WINDOW readings
 * is compared, each less its mean, with every window that a ring of readings holds (left discords: Yeh et al. 2016, Lu et al. 2022);
 * the distance to the nearest is judged by the tail of such distances. Two rings: of readings, and of means of LONG_BLOCK of them.
 * Every so many readings a comparison is made; its finding stands until the next.
 */
import { type Findings, find } from './findings.ts'
import { rarityOf, startTail, type Tail } from './tail.ts'

export const WINDOW = 32
export const LONG_BLOCK = 8
const READINGS = 1_024
const EVERY = 16
const LONG_BLOCKS = 512
const LONG_EVERY = 4
/** Every other reading of a window is compared. */
const STRIDE = 2
const WINDOWS_MIN = 4
/** Whole numbers are kept, in units of a sixteenth of the spread. */
const UNITS_A_SPREAD = 16
const UNITS_MAX = 999
const RESCALED_BEYOND = 4
/** The spread means something then. */
const COUNT_MIN = 64
const SHAPE = 12
const LONG_SHAPE = 13

interface Ring {
  values: number[]
  count: number
  /** Since the last gap. */
  unbroken: number
  rarity: number
  distance: number
  tail: Tail
}

export interface ShapeState {
  center: number
  unit: number
  short: Ring
  long: Ring
  blockMean: number
  blockCount: number
}

const startRing = (room: number): Ring => ({
  values: new Array<number>(room).fill(0),
  count: 0,
  unbroken: 0,
  rarity: 0,
  distance: 0,
  tail: startTail(),
})

export const startShape = (): ShapeState => ({
  center: 0,
  unit: 0,
  short: startRing(READINGS),
  long: startRing(LONG_BLOCKS),
  blockMean: 0,
  blockCount: 0,
})

const query = new Float64Array(WINDOW)

export function viewShape(
  state: ShapeState,
  count: number,
  value: number,
  level: number,
  spread: number,
  settled: boolean,
  to: Findings,
): void {
  if (count < COUNT_MIN || !(spread > 0)) return
  if (state.unit === 0) {
    state.center = level
    state.unit = spread / UNITS_A_SPREAD
  }
  const { short, long } = state
  if (!settled) short.unbroken = long.unbroken = 0
  if (push(short, (value - state.center) / state.unit, EVERY, 0, state.unit)) rescale(state, spread)
  state.blockCount += 1
  state.blockMean += (value - state.blockMean) / state.blockCount
  if (state.blockCount === LONG_BLOCK) {
    push(long, (state.blockMean - state.center) / state.unit, LONG_EVERY, 2, state.unit)
    state.blockCount = 0
    state.blockMean = 0
  }
  find(to, SHAPE, short.rarity, short.distance, 0, short.tail.level)
  find(to, LONG_SHAPE, long.rarity, long.distance, 0, long.tail.level)
}

/** Was a comparison made? */
function push(ring: Ring, units: number, every: number, turn: number, unit: number): boolean {
  const { values } = ring
  const room = values.length
  // No -0: JSON has none.
  values[ring.count % room] = Math.max(-UNITS_MAX, Math.min(UNITS_MAX, Math.round(units))) + 0
  ring.count += 1
  ring.unbroken += 1
  if (ring.unbroken < WINDOW) ring.rarity = 0
  if (ring.unbroken < WINDOW || ring.count < WINDOWS_MIN * WINDOW || ring.count % every !== turn) return false
  ring.distance = unit * Math.sqrt(nearest(ring) / (WINDOW / STRIDE))
  ring.rarity = rarityOf(ring.tail, ring.distance)
  return true
}

/** Squared distance, less the means, of the last window to the nearest that does not overlap it. */
function nearest({ values, count }: Ring): number {
  const room = values.length
  for (let i = 0; i < WINDOW; i++) query[i] = values[(count - WINDOW + i) % room] as number
  let least = Number.POSITIVE_INFINITY
  let from = count > room ? count % room : 0
  for (let left = Math.min(count, room) - 2 * WINDOW; left >= 0; left--) {
    let squares = 0
    let sum = 0
    let at = from
    for (let i = 0; i < WINDOW; i += STRIDE) {
      const apart = (query[i] as number) - (values[at] as number)
      sum += apart
      squares += apart * apart
      at += STRIDE
      if (at >= room) at -= room
    }
    const distance = squares - (sum * sum) / (WINDOW / STRIDE)
    if (distance < least) least = distance
    from += 1
    if (from === room) from = 0
  }
  return Math.max(0, least)
}

/** The spread has become quite another: what the rings hold is told in units that fit it. */
function rescale(state: ShapeState, spread: number): void {
  const unit = spread / UNITS_A_SPREAD
  if (unit < RESCALED_BEYOND * state.unit && RESCALED_BEYOND * unit > state.unit) return
  const factor = state.unit / unit
  for (const { values } of [state.short, state.long])
    for (let i = 0; i < values.length; i++)
      values[i] = Math.max(-UNITS_MAX, Math.min(UNITS_MAX, Math.round((values[i] as number) * factor))) + 0
  state.unit = unit
}
