/** The likelihood of the last residuals: their short mean against their long one (after Ahmad et al. 2017, "anomaly likelihood"). */
import { type Findings, find } from './findings.ts'
import { rarityOf, startTail, type Tail } from './tail.ts'

export interface ResidualState {
  short: number
  long: number
  tail: Tail
}

export const startResidual = (): ResidualState => ({ short: 0, long: 0, tail: startTail() })

const RESIDUAL = 9
const SHORT_READINGS = 10
const LONG_READINGS = 600
const RESIDUAL_MAX = 20

/** @param residual in spreads */
export function viewResidual(state: ResidualState, count: number, residual: number, to: Findings): void {
  const clipped = Math.min(residual, RESIDUAL_MAX)
  state.short += (clipped - state.short) * Math.max(1 / count, 1 / SHORT_READINGS)
  state.long += (clipped - state.long) * Math.max(1 / count, 1 / LONG_READINGS)
  const apart = Math.abs(state.short - state.long)
  find(to, RESIDUAL, rarityOf(state.tail, apart), state.short, state.long, state.tail.level)
}
