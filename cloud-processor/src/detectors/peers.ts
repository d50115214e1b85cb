/**
 * One device beside its peers: says when the mean of a window keeps further apart from the median of the others than it usually does.
 * Where a device always sits is learned as its *offset*; the median is one of values less their offsets, the *level* of the group, which
 * one device that goes wrong does not move. What all of them do together moves it.
 *
 * - A window is apart beyond SIGMAS usual deviations from the offset or RECORD_MARGIN times the record, whichever is more; further while
 *   the device is young, and while the group itself scatters UNREST_MIN times as much as usual. Three windows in a row make an anomaly.
 * - The record is what deviations have come to for a while: it rises over RISE_MS, so that what grows is not normal as it grows.
 * - Learning: WARM_UP_WINDOWS and WARM_UP_MS, whichever takes longer. Nothing is said before.
 * - New normal: what has lasted for NEW_NORMAL_MS or NEW_NORMAL_WINDOWS, whichever is longer, is the new offset.
 * - Fewer than PEERS_MIN others: nothing is judged or learned. An anomaly that could not be judged for LOST_MS is over.
 */
import { type Cautious, confirm, dismiss } from './caution.ts'
import { NEVER_MS, ORDINARY, type SeriesContext } from './detector.ts'
import type { JointDetector, JointVerdict } from './joint-detector.ts'
import { sayNumber, sayReading, sayValue } from './sentence.ts'

export const PEERS_MIN = 3
export const PEERS_WARM_UP_WINDOWS = 60
export const PEERS_WARM_UP_MS = 10 * 60_000
export const PEERS_NEW_NORMAL_MS = 60 * 60_000
const NEW_NORMAL_WINDOWS = 60
export const PEERS_LOST_MS = 10 * 60_000

const OFFSET_MS = 6 * 3_600_000
const SPREAD_MS = 12 * 3_600_000
/** A gap teaches no more than so many windows; whatever their width, forgetting takes FORGET_WINDOWS at least. */
const STEP_WINDOWS_MAX = 8
const FORGET_WINDOWS = 400
const RECENT_WEIGHT = 1 / 8
const SIGMAS = 6
/** A normal distribution's standard deviation in mean absolute residuals. */
const SIGMA_OF_SPREAD = 1.2533
const RECORD_MARGIN = 1.6
const UNREST_MIN = 3
const RISE_MS = 15 * 60_000
const RISE_WINDOWS = 64
/** Share by which a record approaches an anomaly's peak once that is over. */
const HABIT = 0.1
const YOUTH_WINDOWS = 32
const FLOOR_STEPS = 4
const ODD_WINDOWS = 3
const CALM_RATIO = 0.7
const CALM_WINDOWS = 3
const SCORE_STEP = 0.1
/** Larger values would overflow in the arithmetic. */
const VALUE_MAX = 1e290

export interface PeersState extends Cautious {
  lastTimeMs: number
  /** When it was judged last. */
  judgedMs: number
  /** Learned from, since `sinceMs`. */
  windows: number
  sinceMs: number
  /** How far from the level of the others it usually is, and lately. */
  offset: number
  recent: number
  /** Slow mean of the absolute deviation from the offset; the largest ordinary one, slowly forgotten. */
  spread: number
  record: number
  /** Windows in a row that are apart; that are not. */
  odd: number
  calm: number
  anomalous: boolean
  anomalySinceMs: number
  saidScore: number
  peak: number
  /** What the last window was found to be. */
  value: number
  level: number
  median: number
  peers: number
  expected: number
  limit: number
  ratio: number
  began: boolean
}

/** How far the device is from where it usually is beside the others: what the group's scatter is made of. NaN while nothing is learned. */
export const apartness = ({ windows, offset }: PeersState, value: number, level: number): number =>
  windows === 0 ? Number.NaN : Math.abs(value - level - offset)

/** Inputs: mean of the window, level and number of the others, the group's scatter in multiples of the usual one, and the plain median of the others. */
export function peersDetector(series: SeriesContext, widthMs: number): JointDetector<PeersState> {
  const floor = FLOOR_STEPS * 10 ** -series.decimals

  const say = (state: PeersState): JointVerdict => {
    const { value, median, peers, expected, limit, ratio, anomalous } = state
    if (ratio === 0) return { ...ORDINARY, value }
    const alarm = ratio / (1 + ratio)
    const apart = sayNumber(Math.abs(value - expected), series.decimals)
    const usual = expected - median
    const beside = `${sayValue(Math.abs(usual), series)} ${usual < 0 ? 'below' : 'above'}`
    const message = `${sayReading(value, series)}, ${apart} ${value > expected ? 'above' : 'below'} the ${sayNumber(expected, series.decimals)} that ${peers} peers let expect: their median is ${sayValue(median, series)}, and it is usually ${beside}`
    return {
      anomalous,
      score: state.began ? alarm : anomalous ? 0.25 + alarm / 4 : Math.min(alarm / 2, 0.249),
      expected,
      lower: expected - limit,
      upper: expected + limit,
      message,
      component: '',
      value,
    }
  }

  /** What it takes beyond what it usually takes, while the group is uneasy. */
  const unease = (unrest: number): number => Math.max(1, unrest / UNREST_MIN)

  const judge = (state: PeersState, apart: number, unrest: number): void => {
    const usual = SIGMAS * SIGMA_OF_SPREAD * state.spread * (1 + YOUTH_WINDOWS / Math.max(1, state.windows))
    state.expected = state.level + state.offset
    state.limit = state.caution * unease(unrest) * Math.max(floor, usual, RECORD_MARGIN * state.record)
    state.ratio = Math.abs(apart) / state.limit
  }

  const teach = (state: PeersState, timeMs: number, elapsedMs: number, difference: number, unrest: number): void => {
    if (state.windows === 0) {
      state.sinceMs = timeMs
      state.offset = state.recent = difference
    }
    const isKnown = isWarm(state, timeMs)
    const apart = difference - state.offset
    // What may be the first window of an anomaly teaches no more than the limit.
    const clipped = isKnown ? Math.max(-state.limit, Math.min(apart, state.limit)) : apart
    const stepMs = Math.min(elapsedMs, STEP_WINDOWS_MAX * widthMs)
    const weight = (slowMs: number) =>
      Math.max(1 / (state.windows + 1), stepMs / (Math.max(slowMs, FORGET_WINDOWS * widthMs) + stepMs))
    state.spread += (Math.abs(clipped) / unease(unrest) - state.spread) * weight(SPREAD_MS)
    if (isKnown) {
      const kept = state.record * (1 - weight(SPREAD_MS))
      const above = state.ratio < 1 ? Math.max(0, Math.abs(apart) / unease(unrest) - kept) : 0
      state.record = kept + above * (stepMs / (Math.max(RISE_MS, RISE_WINDOWS * widthMs) + stepMs))
    }
    state.offset += clipped * weight(OFFSET_MS)
    state.windows += 1
  }

  function observe(state: PeersState, timeMs: number, given: ArrayLike<number>): JointVerdict | undefined {
    const [value, level, peers, unrest, median] = Array.from(given) as [number, number, number, number, number]
    if (!(timeMs > state.lastTimeMs) || !(Math.abs(value) <= VALUE_MAX)) return undefined
    const isFirst = state.lastTimeMs === NEVER_MS
    const elapsedMs = isFirst ? widthMs : timeMs - state.lastTimeMs
    state.lastTimeMs = timeMs
    state.value = value
    state.began = false
    if (!(peers >= PEERS_MIN) || !(Math.abs(level) <= VALUE_MAX)) {
      state.ratio = state.odd = 0
      return isFirst ? { ...ORDINARY, value } : undefined
    }
    state.judgedMs = timeMs
    state.level = level
    state.median = median
    state.peers = peers
    const difference = value - level
    state.recent += (difference - state.recent) * RECENT_WEIGHT
    if (isWarm(state, timeMs)) judge(state, difference - state.offset, unrest)
    else state.ratio = 0
    state.odd = state.ratio >= 1 ? state.odd + 1 : 0
    if (state.anomalous) return goOn(state, timeMs, Math.abs(difference - state.offset))
    if (state.odd >= ODD_WINDOWS) {
      Object.assign(state, { anomalous: true, anomalySinceMs: timeMs, calm: 0, peak: 0, began: true })
      const verdict = say(state)
      state.saidScore = verdict.score
      return verdict
    }
    teach(state, timeMs, elapsedMs, difference, unrest)
    return isFirst ? { ...ORDINARY, value } : undefined
  }

  function goOn(state: PeersState, timeMs: number, apart: number): JointVerdict | undefined {
    state.peak = Math.max(state.peak, apart)
    state.calm = state.ratio < CALM_RATIO ? state.calm + 1 : 0
    const isNormal = timeMs - state.anomalySinceMs >= Math.max(PEERS_NEW_NORMAL_MS, NEW_NORMAL_WINDOWS * widthMs)
    if (isNormal) state.offset = state.recent
    else if (state.calm >= CALM_WINDOWS) state.record += HABIT * Math.max(0, state.peak - state.record)
    else {
      const score = state.ratio / (1 + state.ratio)
      if (state.ratio < 1 || score < state.saidScore + SCORE_STEP) return undefined
      state.saidScore = score
      return { ...say(state), score }
    }
    return end(state)
  }

  return { name: 'peers', family: 'peers', inputs: 5, start: startState, observe, last: say, confirm, dismiss }
}

/** Of a device that could not be judged for long: its anomaly, if it has one, is over. */
export function loseSight(state: PeersState, timeMs: number): JointVerdict | undefined {
  return state.anomalous && timeMs - state.judgedMs >= PEERS_LOST_MS ? end(state) : undefined
}

function end(state: PeersState): JointVerdict {
  Object.assign(state, { anomalous: false, odd: 0, ratio: 0 })
  return { ...ORDINARY, value: state.value }
}

const isWarm = ({ windows, sinceMs }: PeersState, timeMs: number): boolean =>
  windows >= PEERS_WARM_UP_WINDOWS && timeMs - sinceMs >= PEERS_WARM_UP_MS

const startState = (): PeersState => ({
  lastTimeMs: NEVER_MS,
  judgedMs: NEVER_MS,
  windows: 0,
  sinceMs: 0,
  offset: 0,
  recent: 0,
  spread: 0,
  record: 0,
  odd: 0,
  calm: 0,
  anomalous: false,
  anomalySinceMs: 0,
  saidScore: 0,
  peak: 0,
  value: 0,
  level: 0,
  median: 0,
  peers: 0,
  expected: 0,
  limit: 0,
  ratio: 0,
  began: false,
  caution: 1,
})
