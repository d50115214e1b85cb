/**
 * How long has a value not been as high, or as low? Highs and lows of BLOCKS stretches of time, which grow twice as long when they
 * are full, up to BLOCK_MS_MAX; then the oldest is forgotten. Answers are right to one stretch, and never too long.
 */
const BLOCKS = 16
const BLOCK_MS_MIN = 60_000
/** Eleven days. */
export const BLOCK_MS_MAX = BLOCK_MS_MIN * 2 ** 14

export interface Extremes {
  /** Beginning of the first stretch. */
  startMs: number
  blockMs: number
  /** The stretches in use, of which the last is the present one; 0 before the first reading. */
  count: number
  highs: number[]
  lows: number[]
}

export const startExtremes = (): Extremes => ({
  startMs: 0,
  blockMs: BLOCK_MS_MIN,
  count: 0,
  highs: new Array<number>(BLOCKS).fill(0),
  lows: new Array<number>(BLOCKS).fill(0),
})

/** @param timeMs later than those before */
export function noteExtremes(extremes: Extremes, timeMs: number, value: number): void {
  const { highs, lows } = extremes
  if (extremes.count === 0) extremes.startMs = timeMs
  let at = Math.floor((timeMs - extremes.startMs) / extremes.blockMs)
  while (at >= BLOCKS) {
    makeRoom(extremes, at)
    at = Math.floor((timeMs - extremes.startMs) / extremes.blockMs)
  }
  if (at >= extremes.count) {
    // Stretches without a reading are as this one: whoever looks back meets this one first.
    highs.fill(value, extremes.count, at + 1)
    lows.fill(value, extremes.count, at + 1)
    extremes.count = at + 1
    return
  }
  if (value > (highs[at] as number)) highs[at] = value
  if (value < (lows[at] as number)) lows[at] = value
}

function makeRoom(extremes: Extremes, at: number): void {
  const { highs, lows } = extremes
  if (extremes.blockMs * 2 > BLOCK_MS_MAX) {
    const gone = Math.min(extremes.count, at - BLOCKS + 1)
    highs.copyWithin(0, gone)
    lows.copyWithin(0, gone)
    extremes.count -= gone
    extremes.startMs += (at - BLOCKS + 1) * extremes.blockMs
    return
  }
  for (let i = 0; 2 * i < extremes.count; i++) {
    const last = Math.min(2 * i + 1, extremes.count - 1)
    highs[i] = Math.max(highs[2 * i] as number, highs[last] as number)
    lows[i] = Math.min(lows[2 * i] as number, lows[last] as number)
  }
  extremes.count = Math.ceil(extremes.count / 2)
  extremes.blockMs *= 2
}

/** For how long before `timeMs` nothing was higher (`upward`), or lower, than the value; 0: something was in the present stretch. */
export function unmatchedMs(extremes: Extremes, timeMs: number, value: number, upward: boolean): number {
  for (let i = extremes.count - 1; i >= 0; i--)
    if (upward ? (extremes.highs[i] as number) > value : (extremes.lows[i] as number) < value)
      return Math.max(0, timeMs - extremes.startMs - (i + 1) * extremes.blockMs)
  return extremes.count === 0 ? 0 : timeMs - extremes.startMs
}
