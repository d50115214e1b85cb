/** What people's feedback does to a learned detector: how much it takes until it speaks of a series again. */

/** Feedback makes a series at most so many times as sensitive as at first, or as little. */
export const CAUTION_MAX = 4
/** Four words in a row go all the way. */
const CAUTION_STEP = Math.SQRT2

export interface Cautious {
  /** Multiplies what it takes to alarm; 1 at first. */
  caution: number
}

export function confirm(state: Cautious): void {
  state.caution = Math.max(1 / CAUTION_MAX, state.caution / CAUTION_STEP)
}

export function dismiss(state: Cautious): void {
  state.caution = Math.min(CAUTION_MAX, state.caution * CAUTION_STEP)
}
