/**
 * What the findings of all views together are worth. Each rarity beyond ORDINARY, softly capped, counts by its square; the root of
 * the sum is the *loudness* of a reading: one loud view suffices. An alarm takes a loudness beyond a threshold, which rises with the
 * age of the series and with recent alarms; nearly the loudness of the loudest of late, which is slowly forgotten; and that the last
 * alarm is some time ago, the longer the older the series is (at most REFRACTORY_MAX readings).
 *
 * The score of an alarm is 0.5 and more. What is as loud and no alarm, since one has just been or since as much is nothing new,
 * scores 0.4 to 0.5, all else less, so that readings can also be ranked by their scores, however often something recurs.
 */
import type { Findings } from './views/findings.ts'

export interface AlarmState {
  /** Readings since the last alarm. */
  since: number
  /** Recent alarms, slowly forgotten. */
  recent: number
  loudest: number
  /** Of the last reading. */
  score: number
}

/** Alarms longer ago are all alike. */
const SINCE_MAX = 1e6
export const startAlarm = (): AlarmState => ({ since: SINCE_MAX, recent: 0, loudest: 0, score: 0 })

/** A rarity up to here is of every day, in decimal orders of magnitude. */
const ORDINARY = 1.12
const CAP = 10.5
const THRESHOLD = 2.61
/** Rise of the threshold for each power of ten of readings beyond a thousand, as a share. */
const RISE_OF_AGE = 0.0835
const RISE_OF_ALARM = 0.0969
const ALARMS_REMEMBERED = 6_600
const LOUDEST_REMEMBERED = 1_600
const LOUDEST_SHARE = 0.818
const REFRACTORY_MIN = 13
const REFRACTORY_SHARE = 0.061
const REFRACTORY_MAX = 459
/**
 * What a view's word counts for alarms, in the order of `VIEWS`: those that stay loud for long, or speak often, count less. For the
 * ranking of readings all count alike.
 */
const WEIGHTS = [0.531, 0.813, 1.14, 1.04, 0.406, 0.844, 0.311, 0.319, 2.5, 0.445, 2.5, 0.892, 0.909, 0.393, 1.16]

/** @param count readings so far @param caution multiplies the threshold @returns is it an alarm? */
export function judgeFindings(
  state: AlarmState,
  { rarity }: Findings,
  count: number,
  warm: boolean,
  caution: number,
): boolean {
  let weighted = 0
  let squares = 0
  for (let i = 0; i < rarity.length; i++) {
    const beyond = (rarity[i] as number) - ORDINARY
    if (beyond <= 0) continue
    const capped = (CAP * beyond) / (CAP + beyond)
    squares += capped * capped
    weighted += (WEIGHTS[i] as number) * capped * capped
  }
  const { loudest } = state
  state.loudest *= 1 - 1 / LOUDEST_REMEMBERED
  state.recent *= 1 - 1 / ALARMS_REMEMBERED
  state.since = Math.min(SINCE_MAX, state.since + 1)
  state.score = 0
  if (!warm) return false
  const threshold = caution * THRESHOLD * (1 + RISE_OF_AGE * Math.max(0, Math.log10(count / 1_000)))
  const loudness = Math.sqrt(weighted)
  const alarms =
    loudness >= threshold * (1 + RISE_OF_ALARM * state.recent) &&
    loudness >= LOUDEST_SHARE * loudest &&
    state.since > Math.max(REFRACTORY_MIN, Math.min(REFRACTORY_MAX, REFRACTORY_SHARE * count))
  if (loudness >= threshold && loudness > loudest) state.loudest = loudness
  const heard = Math.sqrt(squares)
  const score = heard / (heard + threshold)
  if (alarms) {
    state.recent += 1
    state.since = 0
    state.score = Math.max(0.5, score)
  } else state.score = score < 0.5 ? 0.8 * score : 0.4 + 0.19 * (score - 0.5)
  return alarms
}
