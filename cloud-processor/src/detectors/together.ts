/**
 * Fields of one device that normally move together: says when one of them is not where the others let expect it.
 *
 * Learns mean and covariance of the fields with forgetting (`covariance.ts`). For each field it compares what was measured with what the
 * others let expect, in standard deviations of that: the part of the Mahalanobis distance that goes when the field is left out. So a
 * load that is switched on, with everything that belongs to it, is no anomaly; and the field that is named is the one without which the rest is ordinary.
 *
 * - A field is judged only if the others explain EXPLAINED_MIN of its variance: what never moved, or moves by itself, is left to
 *   detectors of one field.
 * - A field is off beyond SIGMAS deviations or RECORD_MARGIN times its record (what ordinary deviations came to for a while: it rises over
 *   RISE_MS, so that what grows is not normal as it grows, and is slowly forgotten), whichever is
 *   more; further while the group is young, and far from where the others were ever seen (relations are not quite straight). Three
 *   samples in a row make an anomaly: fields may follow each other by a sample or two.
 * - What is far from everything before teaches little before it has lasted (FAR_SIGMAS, ODD_SAMPLES).
 * - Learning: WARM_UP_SAMPLES and WARM_UP_MS, whichever takes longer. Nothing is said before. Forgetting: FORGET_MS, or FORGET_INTERVALS.
 * - New normal: what has lasted for NEW_NORMAL_MS or NEW_NORMAL_INTERVALS, whichever is longer, is learned anew, from nothing.
 * - A field that a sample lacks is as it was heard of last, for HELD_INTERVALS; after that the others are judged without it, and
 *   nothing is learned.
 */
import { type Cautious, confirm, dismiss } from './caution.ts'
import { approach, createMoments, learn, type Moments, relate, shareWithin } from './covariance.ts'
import { NEVER_MS, ORDINARY, type SeriesContext } from './detector.ts'
import type { JointDetector, JointVerdict } from './joint-detector.ts'
import { sayNumber, sayReading, sayValue } from './sentence.ts'

export const TOGETHER_WARM_UP_SAMPLES = 120
export const TOGETHER_WARM_UP_MS = 5 * 60_000
export const TOGETHER_NEW_NORMAL_MS = 60 * 60_000
const NEW_NORMAL_INTERVALS = 600
const FORGET_MS = 12 * 3_600_000
const FORGET_INTERVALS = 4_000
const RISE_MS = 15 * 60_000
const RISE_INTERVALS = 200
/** A gap teaches no more than so many intervals. */
const STEP_INTERVALS_MAX = 8
const HELD_INTERVALS = 10

const EXPLAINED_MIN = 0.5
const SIGMAS = 6
const RECORD_MARGIN = 1.6
/** What is further apart teaches no more than this: an anomaly must not become normal while it grows. */
const CLIP_SIGMAS = 3
/** Unless the others are further than this from where they usually are (squared distance): there the relation is still to be learned. */
const NEAR = 16
/** What is further than this teaches no more before it has lasted: one sample of nonsense would make the device blind for half a day. */
const FAR_SIGMAS = 10
/** Share by which a record approaches an anomaly's peak once that is over: what recurs some ten times is the machine's habit. */
const HABIT = 0.1
const YOUTH_SAMPLES = 64
/** Share of the others' own distance that may be due to a relation that is not straight. */
const CURVED = 0.01
const FLOOR_STEPS = 2
const ODD_SAMPLES = 3
const CALM_RATIO = 0.7
const CALM_SAMPLES = 5
const SCORE_STEP = 0.1
/** Larger values would overflow in the arithmetic. */
const VALUE_MAX = 1e60
/** Sentences name no more of the other fields. */
const NAMED_MAX = 3

export interface TogetherState extends Moments, Cautious {
  lastTimeMs: number
  /** Learned from, since `sinceMs`. */
  samples: number
  sinceMs: number
  /** Newest value of each field, and when it was measured. */
  held: number[]
  heldMs: number[]
  record: number[]
  /** Samples in a row with a field off; with none. */
  odd: number
  calm: number
  /** Samples in a row that are far from everything before. */
  far: number
  anomalous: boolean
  anomalySinceMs: number
  saidScore: number
  /** Largest deviation of the anomaly that goes on, by field. */
  peak: number[]
  /** What the last sample was found to be: the most telling field, what it was, should have been, and may have been. */
  field: number
  value: number
  expected: number
  limit: number
  ratio: number
  began: boolean
}

const PREFIX = 'together_'
export const togetherName = (fields: readonly string[]): string => `${PREFIX}${fields.join('+')}`
/** @returns none when the name is another detector's */
export const fieldsOfTogether = (name: string): string[] =>
  name.startsWith(PREFIX) ? name.slice(PREFIX.length).split('+') : []

/** @param series one a field, two at least */
export function togetherDetector(series: readonly SeriesContext[]): JointDetector<TogetherState> {
  const fields = series.map(({ field }) => field)
  const { intervalMs } = series[0] as SeriesContext
  const floors = series.map(({ decimals }) => FLOOR_STEPS * 10 ** -decimals)
  // Of the sample that is being judged: of each field its value, and how many deviations it is from what the others let expect.
  const values = new Float64Array(fields.length)
  const aparts = new Float64Array(fields.length)
  /** Squared distance of the others, without the most telling field. */
  let rest = 0

  /** Fills `values`. @returns how many fields are known */
  const take = (state: TogetherState, timeMs: number, given: ArrayLike<number>): number => {
    let count = 0
    for (let i = 0; i < fields.length; i++) {
      const value = given[i] as number
      if (Math.abs(value) <= VALUE_MAX) {
        state.held[i] = value
        state.heldMs[i] = timeMs
      }
      const isKnown = timeMs - (state.heldMs[i] as number) <= HELD_INTERVALS * intervalMs
      values[i] = isKnown ? (state.held[i] as number) : Number.NaN
      if (isKnown) count += 1
    }
    return count
  }

  /** The most telling field goes into the state. @returns whether any can be judged */
  const judge = (state: TogetherState): boolean => {
    const { expected, deviation, explained, distance } = relate(state, values, floors)
    const youth = 1 + YOUTH_SAMPLES / state.samples
    state.field = -1
    state.ratio = 0
    for (let i = 0; i < fields.length; i++) {
      const isKnown = (deviation[i] as number) > 0
      const apart = isKnown ? Math.abs((values[i] as number) - (expected[i] as number)) / (deviation[i] as number) : 0
      aparts[i] = apart
      if ((explained[i] as number) < EXPLAINED_MIN) continue
      const curved = Math.sqrt(1 + CURVED * Math.max(0, distance - apart * apart))
      const limit = state.caution * Math.max(SIGMAS * youth * curved, RECORD_MARGIN * (state.record[i] as number))
      if (state.anomalous) state.peak[i] = Math.max(state.peak[i] as number, apart)
      if (state.field >= 0 && apart / limit <= state.ratio) continue
      state.field = i
      state.ratio = apart / limit
      state.value = values[i] as number
      state.expected = expected[i] as number
      rest = distance - apart * apart
      state.limit = limit * (deviation[i] as number)
    }
    return state.field >= 0
  }

  const teach = (state: TogetherState, timeMs: number, elapsedMs: number): void => {
    const forgetMs = Math.max(FORGET_MS, FORGET_INTERVALS * intervalMs)
    const stepMs = Math.min(elapsedMs, STEP_INTERVALS_MAX * intervalMs)
    const forget = stepMs / (forgetMs + stepMs)
    const rise = stepMs / (Math.max(RISE_MS, RISE_INTERVALS * intervalMs) + stepMs)
    if (state.samples === 0) state.sinceMs = timeMs
    if (isWarm(state, timeMs)) {
      for (let i = 0; i < fields.length; i++) {
        const kept = (state.record[i] as number) * (1 - forget)
        const isOdd = i === state.field && state.ratio >= 1
        state.record[i] = isOdd ? kept : kept + Math.max(0, (aparts[i] as number) - kept) * rise
      }
      const apart = state.field < 0 ? 0 : (aparts[state.field] as number)
      if (apart > CLIP_SIGMAS && rest < NEAR)
        values[state.field] = state.expected + ((state.value - state.expected) * CLIP_SIGMAS) / apart
      const share = shareWithin(state, values, floors, FAR_SIGMAS)
      state.far = share < 1 ? state.far + 1 : 0
      if (state.far < ODD_SAMPLES) approach(state, values, share)
    }
    state.samples += 1
    learn(state, values, Math.max(1 / state.samples, forget))
  }

  const others = (state: TogetherState): string => {
    const known = series.filter(
      (_, i) => i !== state.field && state.lastTimeMs - (state.heldMs[i] as number) <= HELD_INTERVALS * intervalMs,
    )
    const named = known
      .slice(0, NAMED_MAX)
      .map((one) => `${one.label} (${sayValue(state.held[fields.indexOf(one.field)] as number, one)})`)
    const more = known.length - named.length
    if (more > 0) named.push(more === 1 ? 'another field' : `${more} others`)
    return named.length === 1 ? `${named[0]} lets` : `${named.slice(0, -1).join(', ')} and ${named.at(-1)} let`
  }

  const say = (state: TogetherState): JointVerdict => {
    const one = series[state.field]
    if (one === undefined) return { ...ORDINARY, value: state.value }
    const { value, expected, limit, ratio, anomalous } = state
    const alarm = ratio / (1 + ratio)
    const apart = sayNumber(Math.abs(value - expected), one.decimals)
    const message = `${sayReading(value, one)}, ${apart} ${value > expected ? 'above' : 'below'} the ${sayNumber(expected, one.decimals)} that ${others(state)} expect`
    return {
      anomalous,
      score: state.began ? alarm : anomalous ? 0.25 + alarm / 4 : Math.min(alarm / 2, 0.249),
      expected,
      lower: expected - limit,
      upper: expected + limit,
      message,
      component: one.field,
      value,
    }
  }

  function observe(state: TogetherState, timeMs: number, given: ArrayLike<number>): JointVerdict | undefined {
    if (!(timeMs > state.lastTimeMs) || !hasValue(given, fields.length)) return undefined
    const isFirst = state.lastTimeMs === NEVER_MS
    const elapsedMs = isFirst ? intervalMs : timeMs - state.lastTimeMs
    state.lastTimeMs = timeMs
    state.began = false
    const count = take(state, timeMs, given)
    const isJudged = isWarm(state, timeMs) && count > 1 && judge(state)
    if (!isJudged) {
      state.field = -1
      state.ratio = 0
    }
    state.odd = state.ratio >= 1 ? state.odd + 1 : 0
    if (state.anomalous) {
      // What cannot be judged is not known to be over.
      if (isJudged) state.calm = state.ratio < CALM_RATIO ? state.calm + 1 : 0
      const isNormal =
        timeMs - state.anomalySinceMs >= Math.max(TOGETHER_NEW_NORMAL_MS, NEW_NORMAL_INTERVALS * intervalMs)
      if (state.calm < CALM_SAMPLES && !isNormal) return sayMore(state)
      const value = state.value
      leave(state)
      if (isNormal) begin(state, fields.length)
      return { ...ORDINARY, value }
    }
    if (state.odd >= ODD_SAMPLES) {
      Object.assign(state, { anomalous: true, anomalySinceMs: timeMs, calm: 0, began: true })
      const verdict = say(state)
      state.saidScore = verdict.score
      return verdict
    }
    if (count === fields.length) teach(state, timeMs, elapsedMs)
    return isFirst ? { ...ORDINARY, value: values.find((value) => !Number.isNaN(value)) as number } : undefined
  }

  const sayMore = (state: TogetherState): JointVerdict | undefined => {
    const score = state.ratio / (1 + state.ratio)
    if (state.ratio < 1 || score < state.saidScore + SCORE_STEP) return undefined
    state.saidScore = score
    return { ...say(state), score }
  }

  return {
    name: togetherName(fields),
    family: 'together',
    inputs: fields.length,
    start: () => startState(fields.length),
    observe,
    last: say,
    confirm,
    dismiss,
  }
}

const isWarm = (state: TogetherState, timeMs: number): boolean =>
  state.samples >= TOGETHER_WARM_UP_SAMPLES && timeMs - state.sinceMs >= TOGETHER_WARM_UP_MS

function hasValue(given: ArrayLike<number>, count: number): boolean {
  for (let i = 0; i < count; i++) if (Math.abs(given[i] as number) <= VALUE_MAX) return true
  return false
}

const startState = (fields: number): TogetherState => ({
  lastTimeMs: NEVER_MS,
  samples: 0,
  sinceMs: 0,
  held: new Array<number>(fields).fill(0),
  heldMs: new Array<number>(fields).fill(NEVER_MS),
  ...createMoments(fields),
  record: new Array<number>(fields).fill(0),
  odd: 0,
  calm: 0,
  far: 0,
  anomalous: false,
  anomalySinceMs: 0,
  saidScore: 0,
  peak: new Array<number>(fields).fill(0),
  field: -1,
  value: 0,
  expected: 0,
  limit: 0,
  ratio: 0,
  began: false,
  caution: 1,
})

/** Everything is to be learned anew. */
function begin(state: TogetherState, fields: number): void {
  Object.assign(state, { samples: 0, ...createMoments(fields) })
  state.record.fill(0)
}

function leave(state: TogetherState): void {
  Object.assign(state, { anomalous: false, odd: 0, field: -1, ratio: 0 })
  for (const [i, peak] of state.peak.entries()) {
    const record = state.record[i] as number
    if (peak > record) state.record[i] = record + HABIT * (peak - record)
    state.peak[i] = 0
  }
}
