/**
 * What the findings of all views together are worth. Each rarity beyond ORDINARY, softly capped, counts by its square; the root of
 * the sum is the *loudness* of a reading: one loud view suffices. Rarities fade over some readings, since views see the same thing
 * one after another. An alarm takes a loudness beyond a threshold, which rises with the
 * age of the series and with recent alarms; nearly the loudness of the loudest of late, which is slowly forgotten; and that the last
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
}

/** Alarms longer ago are all alike. */
const SINCE_MAX = 1e6
export const startAlarm = (): AlarmState => ({
  since: SINCE_MAX,
  recent: 0,
  loudest: 0,
  fading: new Array<number>(VIEWS.length).fill(0),
  score: 0,
})

/** A rarity up to here is of every day, in decimal orders of magnitude. */
const ORDINARY = 0.8
const CAP = 6
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
const REFRACTORY_MIN = 40
const REFRACTORY_SHARE = 0.03
const REFRACTORY_MAX = 600
/** What a view's word counts for alarms, when it is not 1. */
const WEIGHT_OF: Partial<Record<View, number>> = { hour_record: 0.5, variability_record: 0.5, variability: 2, shape: 3 }
const WEIGHTS = VIEWS.map((view) => WEIGHT_OF[view] ?? 1)

/** @param count readings so far @param caution multiplies the threshold @returns is it an alarm? */
export function judgeFindings(
  state: AlarmState,
  { rarity }: Findings,
  count: number,
  warm: boolean,
  caution: number,
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
  if (!warm) return false
  const age = YOUTH_READINGS / count + RISE_OF_AGE * Math.max(0, Math.log10(count / 1_000))
  const threshold = caution * THRESHOLD * (1 + age)
  const loudness = Math.sqrt(weighted)
  const alarms =
    loudness >= threshold * (1 + RISE_OF_ALARM * state.recent) &&
    loudness >= LOUDEST_SHARE * loudest &&
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

/** What a view alone adds to the square of the loudness. */
export const wordOf = (view: number, rarity: number): number =>
  (WEIGHTS[view] as number) * squareOf(rarity, ORDINARY, CAP)

function squareOf(rarity: number, ordinary: number, cap: number): number {
  const beyond = rarity - ordinary
  if (beyond <= 0) return 0
  const capped = (cap * beyond) / (cap + beyond)
  return capped * capped
}
