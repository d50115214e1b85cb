/**
 * The value against what is usual at this hour: of the day, or of the week when that fits better. A visit of an hour counts as a
 * whole once it is over, so that an anomaly in it teaches one visit's share, and no more than CLIP spreads. Hours are those of UTC;
 * a value is compared with the band of what is usual from an hour before to an hour after, interpolated: what shifts by an hour when
 * the clocks change is within it.
 */
import type { Band } from '../detector.ts'
import { type Findings, find } from './findings.ts'
import { type RecordRange, recordRarity, startRange } from './record-range.ts'
import { rarityOf, startTail, type Tail } from './tail.ts'

const HOURS_A_DAY = 24
const HOURS_A_WEEK = 168

export interface ProfileState {
  /** Hours since 1970 of the visit that goes on, its readings, and their mean. */
  hour: number
  readings: number
  mean: number
  day: number[]
  dayVisits: number[]
  week: number[]
  weekVisits: number[]
  /** Mean distances from the two profiles, of the last days. */
  dayError: number
  weekError: number
  record: RecordRange
  away: Tail
}

export const startProfile = (): ProfileState => ({
  hour: 0,
  readings: 0,
  mean: 0,
  day: new Array<number>(HOURS_A_DAY).fill(0),
  dayVisits: new Array<number>(HOURS_A_DAY).fill(0),
  week: new Array<number>(HOURS_A_WEEK).fill(0),
  weekVisits: new Array<number>(HOURS_A_WEEK).fill(0),
  dayError: 0,
  weekError: 0,
  record: startRange(),
  away: startTail(),
})

const HOUR_MS = 3_600_000
const ERROR_HOURS = 48
const DAYS_REMEMBERED = 6
const WEEKS_REMEMBERED = 3
const DAYS_MIN = 2
const CLIP = 5
const RECORD = 2
const HOUR = 3

/** The band of a profile, from an hour ago to an hour from now; `known` is false when this hour was not visited often enough. */
const band = { known: false, low: 0, high: 0 }

/** @param hours since 1970, with the part of the present one */
function bandAt(profile: number[], visits: number[], hours: number, visitsMin: number): void {
  const now = remainder(Math.floor(hours), profile.length)
  band.known = (visits[now] as number) >= visitsMin
  if (!band.known) return
  // What an hour is told by is its middle; in between is interpolated.
  const middle = Math.floor(hours - 0.5)
  const part = hours - 0.5 - middle
  let earlier = visitedAt(profile, visits, middle - 1, now)
  for (let i = 0; i < 3; i++) {
    const later = visitedAt(profile, visits, middle + i, now)
    const usual = earlier + part * (later - earlier)
    band.low = i === 0 ? usual : Math.min(band.low, usual)
    band.high = i === 0 ? usual : Math.max(band.high, usual)
    earlier = later
  }
}

function visitedAt(profile: number[], visits: number[], hour: number, instead: number): number {
  const at = remainder(hour, profile.length)
  return profile[(visits[at] as number) > 0 ? at : instead] as number
}

const beyondBand = (value: number): number =>
  value > band.high ? value - band.high : value < band.low ? value - band.low : 0

/** @param spread of the series, @param elapsedMs since the reading before */
export function viewProfile(
  state: ProfileState,
  timeMs: number,
  elapsedMs: number,
  value: number,
  spread: number,
  grain: number,
  to: Findings,
): void {
  const hour = Math.floor(timeMs / HOUR_MS)
  if (hour !== state.hour) {
    if (state.readings > 0) endVisit(state, CLIP * spread + grain)
    state.hour = hour
    state.readings = 0
  }
  state.readings += 1
  state.mean += (value - state.mean) / state.readings

  const weight = Math.min(0.2, elapsedMs / (ERROR_HOURS * HOUR_MS))
  bandAt(state.week, state.weekVisits, timeMs / HOUR_MS, 1)
  const ofWeek = band.known
  const { low, high } = band
  const weekly = beyondBand(value)
  bandAt(state.day, state.dayVisits, timeMs / HOUR_MS, DAYS_MIN)
  if (!band.known) {
    to.rarity[RECORD] = to.rarity[HOUR] = 0
    return
  }
  const daily = beyondBand(value)
  const strangest = 10 * spread
  state.dayError += (Math.min(Math.abs(daily), strangest) - state.dayError) * weight
  if (ofWeek) state.weekError += (Math.min(Math.abs(weekly), strangest) - state.weekError) * weight
  else state.weekError = 1.2 * state.dayError
  const byWeek = ofWeek && state.weekError < state.dayError
  const residual = byWeek ? weekly : daily
  const usual = byWeek ? (low + high) / 2 : (band.low + band.high) / 2
  const half = byWeek ? (high - low) / 2 : (band.high - band.low) / 2
  const widest = Math.max(state.record.high, -state.record.low)
  find(to, RECORD, recordRarity(state.record, residual, spread + grain), value, usual, half + widest)
  const margin = half + state.away.level
  find(to, HOUR, rarityOf(state.away, Math.max(0, Math.abs(residual) - grain) + 0.02 * spread), value, usual, margin)
}

/** What is usual at that hour, and so far around it; undefined when the hour was not visited often enough. */
export function profileBand(state: ProfileState, timeMs: number, reach: number): Band | undefined {
  const hours = timeMs / HOUR_MS
  bandAt(state.week, state.weekVisits, hours, 1)
  if (!(band.known && state.weekError < state.dayError)) bandAt(state.day, state.dayVisits, hours, DAYS_MIN)
  return band.known ? { lower: band.low - reach, upper: band.high + reach } : undefined
}

/** Not negative, also before 1970. */
const remainder = (hour: number, hours: number): number => ((hour % hours) + hours) % hours

function endVisit(state: ProfileState, clip: number): void {
  learn(state.day, state.dayVisits, remainder(state.hour, HOURS_A_DAY), state.mean, clip, DAYS_REMEMBERED)
  learn(state.week, state.weekVisits, remainder(state.hour, HOURS_A_WEEK), state.mean, clip, WEEKS_REMEMBERED)
}

function learn(
  profile: number[],
  visits: number[],
  hour: number,
  mean: number,
  clip: number,
  remembered: number,
): void {
  const known = profile[hour] as number
  const count = Math.min(remembered, (visits[hour] as number) + 1)
  const apart = mean - known
  visits[hour] = count
  const learned = count === 1 ? mean : known + Math.max(-clip, Math.min(clip, apart)) / count
  // Six digits are enough, and short.
  profile[hour] = Number(learned.toPrecision(6))
}
