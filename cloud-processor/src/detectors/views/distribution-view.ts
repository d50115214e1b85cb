/** Relative entropy of the distribution of the last readings against that of thousands (after Wang et al. 2011). */
import { type Findings, find } from './findings.ts'
import { rarityOf, startTail, type Tail } from './tail.ts'

export const DISTRIBUTION_READINGS = 60
const BINS = 16
const LONG_READINGS = 3_000
/** So many readings say where the bins lie. */
const COUNT_MIN = 30
const DISTRIBUTION = 8
/** So many in a row tell nearly the same, see `tail.ts`. */
const ALIKE_READINGS = 24
/** Share of an even distribution in the long one: no bin is impossible. */
const EVEN = 0.02

export interface DistributionState {
  /** Lower edge of the first bin, and width of each; until COUNT_MIN readings were seen, the smallest and largest value. */
  from: number
  width: number
  recent: number[]
  long: number[]
  tail: Tail
}

export const startDistribution = (): DistributionState => ({
  from: 0,
  width: 0,
  recent: new Array<number>(BINS).fill(0),
  long: new Array<number>(BINS).fill(0),
  tail: startTail(),
})

export function viewDistribution(
  state: DistributionState,
  count: number,
  value: number,
  grain: number,
  to: Findings,
): void {
  const { recent, long } = state
  if (count < COUNT_MIN) {
    const highest = count === 1 ? value : Math.max(value, state.from + state.width)
    state.from = count === 1 ? value : Math.min(value, state.from)
    state.width = highest - state.from
    return
  }
  if (count === COUNT_MIN) {
    state.from -= state.width / 2
    state.width = (2 * Math.max(state.width, grain, Number.MIN_VALUE * 2 ** 52)) / BINS
  }
  while (value < state.from || value >= state.from + BINS * state.width) widen(state, value < state.from)
  const bin = Math.min(BINS - 1, Math.floor((value - state.from) / state.width))
  const recentWeight = Math.max(1 / (count - COUNT_MIN + 1), 1 / DISTRIBUTION_READINGS)
  const longWeight = Math.max(1 / (count - COUNT_MIN + 1), 1 / LONG_READINGS)
  let entropy = 0
  for (let i = 0; i < BINS; i++) {
    const share = (recent[i] as number) * (1 - recentWeight) + (i === bin ? recentWeight : 0)
    const usual = (long[i] as number) * (1 - longWeight) + (i === bin ? longWeight : 0)
    // Nothing is left of a bin that was not met for long; JSON would keep all its digits.
    recent[i] = share > 1e-6 ? share : 0
    long[i] = usual > 1e-6 ? usual : 0
    if (share > 1e-4) entropy += share * Math.log(share / (usual * (1 - EVEN) + EVEN / BINS))
  }
  const size = Math.max(0, entropy)
  find(to, DISTRIBUTION, rarityOf(state.tail, size, ALIKE_READINGS), size, 0, state.tail.level)
}

/** What is usual from now on is what the last readings were. */
export function acceptDistribution({ recent, long }: DistributionState): void {
  for (let i = 0; i < BINS; i++) long[i] = recent[i] as number
}

/** Bins twice as wide, towards the side that is needed. */
function widen(state: DistributionState, downward: boolean): void {
  for (const bins of [state.recent, state.long])
    if (downward)
      for (let i = BINS - 1; i >= 0; i--)
        bins[i] = i >= BINS / 2 ? (bins[2 * i - BINS] as number) + (bins[2 * i - BINS + 1] as number) : 0
    else
      for (let i = 0; i < BINS; i++) bins[i] = i < BINS / 2 ? (bins[2 * i] as number) + (bins[2 * i + 1] as number) : 0
  if (downward) state.from -= BINS * state.width
  state.width *= 2
}
