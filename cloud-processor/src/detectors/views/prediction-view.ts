/** The value against what the six readings before it foretell, by recursive least squares with forgetting (Haykin 2002, chapter 10). */
import { type Findings, find } from './findings.ts'
import { rarityOf, startTail, type Tail } from './tail.ts'

const ORDER = 6
const FORGETTING = 0.999
const UNSURE = 100
/** Beyond it the inverse correlation has run away, as it does when nothing moves. */
const TRACE_MAX = 1e4 * ORDER
/** A value in spreads is at most so large. */
const SPREADS_MAX = 20
/** A strange error teaches as if it were so many usual ones. */
const ERROR_CLIP = 4
const CLIPPED_AFTER = 60
const PREDICTION = 9

export interface PredictionState {
  weights: number[]
  /** Inverse correlation, row by row. */
  inverse: number[]
  /** The last readings, newest first. */
  before: number[]
  tail: Tail
}

export const startPrediction = (): PredictionState => ({
  weights: [1, ...new Array<number>(ORDER - 1).fill(0)],
  inverse: unsure(new Array<number>(ORDER * ORDER).fill(0)),
  before: new Array<number>(ORDER).fill(0),
  tail: startTail(),
})

function unsure(inverse: number[]): number[] {
  for (let i = 0; i < inverse.length; i++) inverse[i] = i % (ORDER + 1) === 0 ? UNSURE : 0
  return inverse
}

// Room for one reading.
const inputs = new Float64Array(ORDER)
const gains = new Float64Array(ORDER)

/** @param settled false: the readings before are far away, and foretell nothing */
export function viewPrediction(
  state: PredictionState,
  count: number,
  value: number,
  level: number,
  spread: number,
  grain: number,
  late: number,
  settled: boolean,
  to: Findings,
): void {
  const { weights, before, tail } = state
  to.rarity[PREDICTION] = 0
  if (count === 1 || !settled) before.fill(value)
  const unit = Math.max(spread, grain)
  if (count > ORDER && settled && unit > 0) {
    let predicted = 0
    for (let i = 0; i < ORDER; i++) {
      const input = limited(((before[i] as number) - level) / unit)
      inputs[i] = input
      predicted += (weights[i] as number) * input
    }
    const error = (limited((value - level) / unit) - predicted) / late
    const usual = tail.level + tail.excess
    const rarity = rarityOf(tail, Math.max(0, Math.abs(error) - grain / unit))
    find(to, PREDICTION, rarity, value, level + predicted * unit, tail.level * unit)
    const most = ERROR_CLIP * usual
    learn(state, count > CLIPPED_AFTER ? Math.max(-most, Math.min(most, error)) : error)
  }
  for (let i = ORDER - 1; i > 0; i--) before[i] = before[i - 1] as number
  before[0] = value
}

const limited = (spreads: number): number => Math.max(-SPREADS_MAX, Math.min(SPREADS_MAX, spreads))

function learn({ weights, inverse }: PredictionState, error: number): void {
  let scale = FORGETTING
  for (let i = 0; i < ORDER; i++) {
    let gain = 0
    for (let j = 0; j < ORDER; j++) gain += (inverse[i * ORDER + j] as number) * (inputs[j] as number)
    gains[i] = gain
    scale += gain * (inputs[i] as number)
  }
  let trace = 0
  for (let i = 0; i < ORDER; i++) {
    const gain = (gains[i] as number) / scale
    weights[i] = (weights[i] as number) + gain * error
    for (let j = 0; j <= i; j++) {
      const next = ((inverse[i * ORDER + j] as number) - gain * (gains[j] as number)) / FORGETTING
      inverse[i * ORDER + j] = inverse[j * ORDER + i] = next
      if (i === j) trace += next
    }
  }
  if (!(trace > 0 && trace < TRACE_MAX)) unsure(inverse)
}
