/**
 * The value against its records, its slow level, and the few readings before it; its short means against their records; and the
 * mean of the last readings against that of some more (*shift*).
 */

import type { Band } from '../detector.ts'
import { type Findings, find } from './findings.ts'
import { type RecordRange, rangeAround, recordRarity, startRange } from './record-range.ts'
import { rarityOf, sizeOfRarity, startTail, type Tail } from './tail.ts'

export interface LevelState {
  level: number
  /** Mean distance from the level, robust. */
  spread: number
  /** Mean of the last few readings. */
  short: number
  means: [number, number]
  record: RecordRange
  meanRecords: [RecordRange, RecordRange]
  away: Tail
  jump: Tail
  /** Means of the last SHIFT_READINGS. */
  recent: number
  before: number
  shift: Tail
}

export const startLevel = (): LevelState => ({
  level: 0,
  spread: 0,
  short: 0,
  means: [0, 0],
  record: startRange(),
  meanRecords: [startRange(), startRange()],
  away: startTail(),
  jump: startTail(),
  recent: 0,
  before: 0,
  shift: startTail(),
})

const RECORD = 0
const LEVEL = 1
const SHORT_MEAN = 4
const JUMP = 10
const SHIFT = 11
const LEVEL_READINGS = 2_000
const SPREAD_READINGS = 1_000
const SPREAD_CLIP = 6
const CLIPPED_AFTER = 30
const SHORT_WEIGHT = 0.3
const MEAN_READINGS = [6, 40] as const
const SHIFT_READINGS = [10, 80] as const
/** So many in a row tell nearly the same, see `tail.ts`. */
const ALIKE_READINGS = 4
/** A mean differs by a share of what one reading does. */
const MEAN_GRAIN = 0.2

/**
 * @param grain the smallest difference that means anything
 * @param late usual intervals since the reading before, 1 or more
 * @param settled false: the readings before are far away
 */
export function viewLevel(
  state: LevelState,
  count: number,
  value: number,
  grain: number,
  late: number,
  settled: boolean,
  to: Findings,
): void {
  const { record, away, jump, shift } = state
  if (count === 1) state.level = state.short = state.means[0] = state.means[1] = value
  const middle = (record.high + record.low) / 2
  const half = (record.high - record.low) / 2
  find(to, RECORD, recordRarity(record, value, grain), value, middle, half)
  const distance = Math.abs(value - state.level)
  find(to, LEVEL, rarityOf(away, Math.max(0, distance - grain)), value, state.level, away.level)
  state.spread +=
    ((count > CLIPPED_AFTER ? Math.min(distance, SPREAD_CLIP * state.spread + grain) : distance) - state.spread) *
    Math.max(1 / count, 1 / SPREAD_READINGS)
  state.level += (value - state.level) * Math.max(1 / count, 1 / LEVEL_READINGS)
  if (!settled) state.short = state.recent = state.before = value
  const jumped = Math.abs(value - state.short) / late
  find(to, JUMP, settled ? rarityOf(jump, Math.max(0, jumped - grain)) : 0, value, state.short, jump.level)
  state.short += SHORT_WEIGHT * (value - state.short)
  state.recent += (value - state.recent) * Math.max(1 / count, 1 / SHIFT_READINGS[0])
  state.before += (value - state.before) * Math.max(1 / count, 1 / SHIFT_READINGS[1])
  const shifted = Math.max(0, Math.abs(state.recent - state.before) - MEAN_GRAIN * grain)
  find(to, SHIFT, rarityOf(shift, shifted, ALIKE_READINGS), state.recent, state.before, shift.level)
  for (let i = 0; i < 2; i++) {
    const readings = MEAN_READINGS[i] as number
    const mean = (state.means[i] as number) + (value - (state.means[i] as number)) * Math.max(1 / count, 1 / readings)
    state.means[i] = mean
    const range = state.meanRecords[i] as RecordRange
    const usual = (range.high + range.low) / 2
    const margin = (range.high - range.low) / 2
    const rarity = count > readings ? recordRarity(range, mean, 0.05 * state.spread + grain) : 0
    find(to, SHORT_MEAN + i, rarity, mean, usual, margin)
  }
}

/** As far from the level as is just so rare; while no distance is, within the range of all before it and a little more. */
export function levelBand({ level, away, record }: LevelState, grain: number, rarity: number): Band {
  const reach = grain + sizeOfRarity(away, rarity)
  return Number.isFinite(reach) ? { lower: level - reach, upper: level + reach } : rangeAround(record, grain)
}

/** What is usual from now on is what the last readings were. */
export function acceptLevel(state: LevelState): void {
  state.level = state.means[1]
}
