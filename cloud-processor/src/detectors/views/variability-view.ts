/** How much the value moves from one reading to the next: more than ever, less than ever, otherwise than it usually does. */
import { type Findings, find } from './findings.ts'
import { type RecordRange, recordRarity, startRange } from './record-range.ts'
import { rarityOf, startTail, type Tail } from './tail.ts'

export interface VariabilityState {
  /** Mean move of the last few readings, of some more, and of a thousand. */
  short: number
  long: number
  usual: number
  record: RecordRange
  tail: Tail
}

export const startVariability = (): VariabilityState => ({
  short: 0,
  long: 0,
  usual: 0,
  record: startRange(),
  tail: startTail(),
})

const RECORD = 6
const VARIABILITY = 7
const SHORT_READINGS = 8
const LONG_READINGS = 48
const USUAL_READINGS = 1_000
/** So many in a row tell nearly the same, see `tail.ts`. */
const ALIKE_READINGS = 3
const CLIP = 6
const CLIPPED_AFTER = 30
/** Less than this share of the usual is as good as none. */
const FLOOR = 0.05
/** In logarithms. */
const RANGE_FLOOR = 0.2

export function viewVariability(
  state: VariabilityState,
  count: number,
  move: number,
  grain: number,
  to: Findings,
): void {
  const clipped = count > CLIPPED_AFTER ? Math.min(move, CLIP * state.usual + grain) : move
  state.usual += (clipped - state.usual) * Math.max(1 / count, 1 / USUAL_READINGS)
  const floor = FLOOR * (state.usual + grain)
  if (!(floor > 0)) return
  state.short += (move - state.short) * Math.max(1 / count, 1 / SHORT_READINGS)
  state.long += (move - state.long) * Math.max(1 / count, 1 / LONG_READINGS)
  const leaving = count > LONG_READINGS ? recordRarity(state.record, Math.log(state.long + floor), RANGE_FLOOR) : 0
  find(to, RECORD, leaving, state.long, state.usual, state.usual)
  const ratio = Math.abs(Math.log((state.short + floor) / (state.usual + floor)))
  const rarity = rarityOf(state.tail, Math.max(0, ratio - RANGE_FLOOR), ALIKE_READINGS)
  find(to, VARIABILITY, rarity, state.short, state.usual, state.usual)
}
