/**
 * What the findings of all views together are worth. Each rarity beyond ORDINARY, softly capped, counts by its square; the root of
 * the sum is the *loudness* of a reading: one loud view suffices. Rarities fade over some readings, since views see the same thing
 * one after another. An alarm takes a loudness beyond a threshold, which rises with the
 * age of the series and with recent alarms; nearly the loudness of the loudest of late, which is slowly forgotten, and more while an
 * anomaly goes on; more than what happens at this hour day by day (a backup, a defrosting); and that the last
 * alarm is some time ago, the longer the older the series is (at most REFRACTORY_MAX readings).
 *
 * The constants were chosen on the Numenta benchmark, simulated anomalies and healthy series at once, and are as round as that allows.
 *
 * The score of an alarm is 0.5 and more. What is as loud and no alarm, since one has just been or since as much is nothing new,
 * scores 0.4 to 0.5, all else less, so that readings can also be ranked by their scores, however often something recurs.
 */
import { type Findings, VIEWS, type View } from './views/findings.ts'

export interface AlarmState {
  /** Readings since the last alarm. */
  since: number
  /** Recent alarms, slowly forgotten. */
  recent: number
  loudest: number
  /** Rarities by view, fading. */
  fading: number[]
  /** Of the last reading. */
  score: number
  /** Hours since 1970 of the visit that goes on, and its loudest. */
  hour: number
  loudestOfHour: number
  /** The loudest by hour of the day (UTC), of the last days. */
  habits: number[]
}

const HOURS = 24
const HOUR_MS = 3_600_000
/** Alarms longer ago are all alike. */
const SINCE_MAX = 1e6
export const startAlarm = (): AlarmState => ({
  since: SINCE_MAX,
  recent: 0,
  loudest: 0,
  fading: new Array<number>(VIEWS.length).fill(0),
  score: 0,
  hour: 0,
  loudestOfHour: 0,
  habits: new Array<number>(HOURS).fill(0),
})

/** A rarity up to here is of every day, in decimal orders of magnitude. */
const ORDINARY = 0.8
const CAP = 6.6
/** For the ranking of readings, where all views count alike. */
const RANKED_ORDINARY = 1.2
const RANKED_CAP = 12
/** What is left of a rarity with each reading. */
const FADING = 0.9
const THRESHOLD = 2.6
/** Rise of the threshold for each power of ten of readings beyond a thousand, as a share. */
const RISE_OF_AGE = 0.25
/** And for its youth: tails of few sizes are not to be trusted. */
const YOUTH_READINGS = 200
const RISE_OF_ALARM = 0.035
const ALARMS_REMEMBERED = 10_000
const LOUDEST_REMEMBERED = 700
const LOUDEST_SHARE = 0.75
/** What happened at this hour on days before must be exceeded by so much. */
const HABIT_FACTOR = 1.3
const HABIT_LEARNED = 0.5
/** And so must what made the alarm that goes on. */
const ONGOING_FACTOR = 1.2
const REFRACTORY_MIN = 40
const REFRACTORY_SHARE = 0.03
const REFRACTORY_MAX = 600
/** What a view's word counts for alarms, when it is not 1. */
const WEIGHT_OF: Partial<Record<View, number>> = { hour_record: 0.5, variability_record: 0.5, variability: 2, shape: 3 }
const WEIGHTS = VIEWS.map((view) => WEIGHT_OF[view] ?? 1)

/** @param count readings so far @param caution multiplies the threshold @param ongoing within an anomaly @returns is it an alarm? */
export function judgeFindings(
  state: AlarmState,
  { rarity }: Findings,
  count: number,
  warm: boolean,
  caution: number,
  timeMs: number,
  ongoing: boolean,
): boolean {
  const { fading } = state
  let weighted = 0
  let ranked = 0
  for (let i = 0; i < rarity.length; i++) {
    ranked += squareOf(rarity[i] as number, RANKED_ORDINARY, RANKED_CAP)
    const faded = Math.max(rarity[i] as number, FADING * (fading[i] as number))
    fading[i] = faded > ORDINARY ? faded : 0
    weighted += wordOf(i, faded)
  }
  const { loudest } = state
  state.loudest *= 1 - 1 / LOUDEST_REMEMBERED
  state.recent *= 1 - 1 / ALARMS_REMEMBERED
  state.since = Math.min(SINCE_MAX, state.since + 1)
  state.score = 0
  enterHour(state, Math.floor(timeMs / HOUR_MS))
  if (!warm) return false
  const age = YOUTH_READINGS / count + RISE_OF_AGE * Math.max(0, Math.log10(count / 1_000))
  const threshold = caution * THRESHOLD * (1 + age)
  const loudness = Math.sqrt(weighted)
  state.loudestOfHour = Math.max(state.loudestOfHour, loudness)
  const alarms =
    loudness >= threshold * (1 + RISE_OF_ALARM * state.recent) &&
    loudness >= LOUDEST_SHARE * loudest &&
    loudness >= HABIT_FACTOR * habitOf(state) &&
    (!ongoing || loudness >= ONGOING_FACTOR * loudest) &&
    state.since > Math.max(REFRACTORY_MIN, Math.min(REFRACTORY_MAX, REFRACTORY_SHARE * count))
  if (loudness >= threshold && loudness > loudest) state.loudest = loudness
  const heard = Math.sqrt(ranked)
  const score = heard / (heard + threshold)
  if (alarms) {
    state.recent += 1
    state.since = 0
    state.score = Math.max(0.5, score)
  } else state.score = score < 0.5 ? 0.8 * score : 0.4 + 0.19 * (score - 0.5)
  return alarms
}

function enterHour(state: AlarmState, hour: number): void {
  if (hour === state.hour) return
  const at = remainder(state.hour)
  const known = state.habits[at] as number
  // Six digits are enough, and short.
  state.habits[at] = Number((known + HABIT_LEARNED * (state.loudestOfHour - known)).toPrecision(6))
  state.hour = hour
  state.loudestOfHour = 0
}

/** How loud it usually gets from an hour ago to an hour from now. */
const habitOf = ({ habits, hour }: AlarmState): number =>
  Math.max(...[-1, 0, 1].map((by) => habits[remainder(hour + by)] as number))

const remainder = (hour: number): number => ((hour % HOURS) + HOURS) % HOURS

/** What a view alone adds to the square of the loudness. */
export const wordOf = (view: number, rarity: number): number =>
  (WEIGHTS[view] as number) * squareOf(rarity, ORDINARY, CAP)

function squareOf(rarity: number, ordinary: number, cap: number): number {
  const beyond = rarity - ordinary
  if (beyond <= 0) return 0
  const capped = (cap * beyond) / (cap + beyond)
  return capped * capped
}
