/** How much the value moves from one reading to the next: more than ever, less than ever, otherwise than it usually does. */
import { type Findings, find } from './findings.ts'
import { type RecordRange, recordRarity, startRange } from './record-range.ts'
import { rarityOf, startTail, type Tail } from './tail.ts'

export interface VariabilityState {
  /** Mean move of the last few readings, of some more, and of a thousand. */
  moves: [number, number]
  usual: number
  records: [RecordRange, RecordRange]
  tail: Tail
}

export const startVariability = (): VariabilityState => ({
  moves: [0, 0],
  usual: 0,
  records: [startRange(), startRange()],
  tail: startTail(),
})

const RECORD = 6
const VARIABILITY = 8
const READINGS = [8, 48] as const
const USUAL_READINGS = 1_000
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
  for (let i = 0; i < 2; i++) {
    const readings = READINGS[i] as number
    const mean = (state.moves[i] as number) + (move - (state.moves[i] as number)) * Math.max(1 / count, 1 / readings)
    state.moves[i] = mean
    const range = state.records[i] as RecordRange
    const rarity = count > readings ? recordRarity(range, Math.log(mean + floor), RANGE_FLOOR) : 0
    find(to, RECORD + i, rarity, mean, state.usual, state.usual)
  }
  const ratio = Math.abs(Math.log(((state.moves[0] as number) + floor) / (state.usual + floor)))
  const size = Math.max(0, ratio - RANGE_FLOOR)
  find(to, VARIABILITY, rarityOf(state.tail, size), state.moves[0], state.usual, state.usual)
}
