/**
 * By how much does a value leave the range of all before it? The range is slowly forgotten; what lies beyond it widens it by a share
 * only. Rarity: of leaving the range at all, and of the margin among the margins before it.
 */
import type { Band } from '../detector.ts'
import { SHAPE } from './tail.ts'

export interface RecordRange {
  count: number
  high: number
  low: number
  /** How often the range was left. */
  left: number
  /** Mean margin then, in widths of the range. */
  margin: number
}

export const startRange = (): RecordRange => ({ count: 0, high: 0, low: 0, left: 0, margin: 0.05 })

const FORGOTTEN_AFTER = 20_000
const LEARNED = 0.5
/** While young it takes all that comes. */
const YOUNG = 100
const COUNT_MIN = 20
/** Leaving the range by less than this part of it says little. */
const MARGIN_MIN = 0.1
const MARGIN_LEAST = 0.01

/** The range, and as far around it as leaving it says little. */
export function rangeAround({ low, high }: RecordRange, floor: number): Band {
  const margin = floor + MARGIN_MIN * (high - low + floor)
  return { lower: low - margin, upper: high + margin }
}

/** @param floor added to the width: what is no margin at all, in the value's unit */
export function recordRarity(range: RecordRange, value: number, floor: number): number {
  range.count += 1
  if (range.count === 1) {
    range.high = range.low = value
    return 0
  }
  const beyond = value > range.high ? value - range.high : value < range.low ? range.low - value : 0
  const width = range.high - range.low + floor
  let rarity = 0
  if (beyond > 0) {
    const margin = width > 0 ? beyond / width : 1
    const leaving = (1 + range.left) / (2 + Math.min(range.count, FORGOTTEN_AFTER))
    rarity =
      -Math.log10(leaving) * Math.min(1, margin / MARGIN_MIN) +
      Math.log1p((SHAPE * margin) / range.margin) / (SHAPE * Math.LN10)
    const learned = beyond * (range.count < YOUNG ? 1 : LEARNED)
    if (value > range.high) range.high += learned
    else range.low -= learned
    if (range.count > COUNT_MIN) {
      range.left += 1
      range.margin = Math.max(MARGIN_LEAST, range.margin + (Math.min(margin, 3 * range.margin) - range.margin) / 20)
    }
  }
  const forgotten = (range.high - range.low) / FORGOTTEN_AFTER
  range.high -= forgotten
  range.low += forgotten
  if (range.count > FORGOTTEN_AFTER) range.left *= 1 - 1 / FORGOTTEN_AFTER
  return rarity
}
