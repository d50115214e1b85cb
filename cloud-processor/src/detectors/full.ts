/**
 * The learned detector in full: many cheap, weak views of one series, each turned into a rarity through its own tail, heard together
 * (`alarm.ts`). What each view sees stands at the top of its file in `views/`.
 * - Warm-up: WARM_UP_READINGS readings. Nothing is said before.
 * - Episodes: an anomaly ends after CALM_READINGS calm readings, or when it has gone on for so long that it is the new normal
 *   (as in `outlier.ts`); then level and distribution are taken from the last readings.
 * - Gaps: what comes after one is not compared with the few readings before it, but with all that was learned.
 * - Quantised values: differences below GRAINS of the smallest step ever seen are none, to all views that measure differences.
 */
import { type AlarmState, judgeFindings, startAlarm, wordOf } from './alarm.ts'
import { type Cautious, confirm, dismiss } from './caution.ts'
import { type Band, type Detector, NEVER_MS, ORDINARY, type SeriesContext, type Verdict } from './detector.ts'
import { type Extremes, noteExtremes, startExtremes } from './extremes.ts'
import { NEW_NORMAL_INTERVALS, NEW_NORMAL_MS } from './outlier.ts'
import { type Held, sayHeld } from './say-held.ts'
import {
  acceptDistribution,
  type DistributionState,
  startDistribution,
  viewDistribution,
} from './views/distribution-view.ts'
import { findings, VIEWS } from './views/findings.ts'
import { acceptLevel, type LevelState, levelBand, startLevel, viewLevel } from './views/level-view.ts'
import { type PredictionState, startPrediction, viewPrediction } from './views/prediction-view.ts'
import { type ProfileState, profileBand, startProfile, viewProfile } from './views/profile-view.ts'
import { type ShapeState, startShape, viewShape } from './views/shape-view.ts'
import { sizeOfRarity } from './views/tail.ts'
import { startVariability, type VariabilityState, viewVariability } from './views/variability-view.ts'

export const WARM_UP_READINGS = 200

const GRAINS = 1.5
/** What is farther from the usual than all but one reading in so many powers of ten is not ordinary. */
const BAND_RARITY = 4
/** A series that moved less often than this is not known yet: its steps must be a share of the value as well. */
const MOVES_KNOWN = 8
const STRANGER_STEPS = 10
const STRANGER_SHARE = 0.05
const CALM_READINGS = 5
const CALM_MS = 1_000
/** Below this score a reading is calm. */
const CALM_SCORE = 0.3
const GAP_INTERVALS = 20
const GAP_MS_MIN = 30_000
const SCORE_STEP = 0.1
const PLAIN_SHARE = 0.8
const VALUE_MAX = 1e300
const DAY_MS = 86_400_000

export interface FullState extends Cautious {
  lastTimeMs: number
  lastValue: number
  /** Since learning began. */
  count: number
  sinceMs: number
  intervalMs: number
  smallestMove: number
  moves: number
  level: LevelState
  profile: ProfileState
  variability: VariabilityState
  distribution: DistributionState
  prediction: PredictionState
  shape: ShapeState
  extremes: Extremes
  alarm: AlarmState
  held: Held
  anomalous: boolean
  anomalySinceMs: number
  saidScore: number
  calmReadings: number
  lastOddMs: number
}

export function fullDetector(series: SeriesContext): Detector<FullState> {
  const resolution = 10 ** -series.decimals

  const grainOf = ({ moves, smallestMove, level }: FullState): number =>
    moves >= MOVES_KNOWN
      ? GRAINS * smallestMove
      : GRAINS * Math.max(STRANGER_STEPS * resolution, STRANGER_SHARE * Math.abs(level.level), smallestMove)

  function look(state: FullState, timeMs: number, elapsedMs: number, value: number, settled: boolean): boolean {
    const { level, count } = state
    const grain = grainOf(state)
    // A reading that is late may have gone further.
    const late = state.intervalMs > 0 ? Math.max(1, elapsedMs / state.intervalMs) : 1
    const move = settled ? Math.abs(value - state.lastValue) / late : 0
    const usual = level.level
    // A view that has nothing to say of this reading leaves what was found in another series.
    findings.rarity.fill(0)
    viewLevel(level, count, value, grain, late, settled, findings)
    const spread = Math.max(level.spread, grain)
    viewProfile(state.profile, timeMs, elapsedMs, value, spread, grain, findings)
    if (settled) viewVariability(state.variability, count, move, grain, findings)
    viewDistribution(state.distribution, count, value, grain, findings)
    viewPrediction(state.prediction, count, value, usual, spread, grain, late, settled, findings)
    viewShape(state.shape, count, value, usual, spread, settled, findings)
    return judgeFindings(state.alarm, findings, count, count > WARM_UP_READINGS, state.caution, timeMs, state.anomalous)
  }

  function hold({ held }: FullState, value: number, score: number): void {
    const { rarity, seen, usual, margin } = findings
    let loudest = 0
    for (let i = 0; i < rarity.length; i++) loudest = Math.max(loudest, wordOf(i, rarity[i] as number))
    // Of those nearly as loud the first: they stand in the order of how plain what they say is.
    let view = 0
    while (wordOf(view, rarity[view] as number) < PLAIN_SHARE * loudest) view += 1
    held.view = view
    held.value = value
    held.seen = seen[view] as number
    held.usual = usual[view] as number
    held.margin = margin[view] as number
    held.level = usual[LEVEL] as number
    held.reach = margin[LEVEL] as number
    held.score = score
  }

  const say = (state: FullState, anomalous: boolean): Verdict =>
    sayHeld(state.held, state.extremes, state.lastTimeMs, anomalous, series)

  function observe(state: FullState, timeMs: number, value: number): Verdict | undefined {
    if (!(timeMs > state.lastTimeMs) || !(Math.abs(value) <= VALUE_MAX)) return undefined
    const first = state.count === 0
    const elapsedMs = first ? 0 : timeMs - state.lastTimeMs
    if (first) {
      state.lastValue = value
      state.sinceMs = timeMs
    }
    const gap = state.intervalMs > 0 && elapsedMs > Math.max(GAP_MS_MIN, GAP_INTERVALS * state.intervalMs)
    if (state.intervalMs === 0) state.intervalMs = elapsedMs
    else if (!gap) state.intervalMs += (Math.min(elapsedMs, 8 * state.intervalMs) - state.intervalMs) / 32
    const move = Math.abs(value - state.lastValue)
    if (move > 0) {
      if (state.moves === 0 || move < state.smallestMove) state.smallestMove = move
      if (state.moves < MOVES_KNOWN) state.moves += 1
    }
    state.count += 1
    const alarms = look(state, timeMs, Math.min(elapsedMs, DAY_MS), value, !gap)
    state.lastTimeMs = timeMs
    state.lastValue = value
    noteExtremes(state.extremes, timeMs, value)
    const { score } = state.alarm
    hold(state, value, score)
    if (first) return ORDINARY
    if (!state.anomalous) {
      if (!alarms) return undefined
      state.anomalous = true
      state.anomalySinceMs = timeMs
      state.saidScore = score
      state.calmReadings = 0
      state.lastOddMs = timeMs
      return say(state, true)
    }
    if (gap || hasEnded(state, timeMs, score)) {
      state.anomalous = false
      return ORDINARY
    }
    if (!alarms || score < state.saidScore + SCORE_STEP) return undefined
    state.saidScore = score
    return say(state, true)
  }

  const last = (state: FullState): Verdict =>
    state.count > WARM_UP_READINGS ? say(state, state.anomalous) : { ...ORDINARY, anomalous: state.anomalous }
  /** About the slow level, and where that is known about what is usual at this hour: what is within both. Feedback does not change it. */
  function band(state: FullState, timeMs: number): Band | undefined {
    if (state.count <= WARM_UP_READINGS) return undefined
    const { level, profile } = state
    const grain = grainOf(state)
    const ofLevel = levelBand(level, grain, BAND_RARITY)
    const ofHour = profileBand(profile, timeMs, grain + sizeOfRarity(profile.away, BAND_RARITY))
    if (ofHour === undefined) return ofLevel
    const lower = Math.max(ofLevel.lower, ofHour.lower)
    const upper = Math.min(ofLevel.upper, ofHour.upper)
    return lower <= upper ? { lower, upper } : ofHour
  }
  return { name: 'outlier', family: 'outlier', start: startState, observe, last, band, confirm, dismiss }
}

const LEVEL = VIEWS.indexOf('level')

function hasEnded(state: FullState, timeMs: number, score: number): boolean {
  if (score >= CALM_SCORE) {
    state.calmReadings = 0
    state.lastOddMs = timeMs
    if (timeMs - state.anomalySinceMs < Math.max(NEW_NORMAL_MS, NEW_NORMAL_INTERVALS * state.intervalMs)) return false
    acceptLevel(state.level)
    acceptDistribution(state.distribution)
    state.alarm.fading.fill(0)
    return true
  }
  state.calmReadings += 1
  return state.calmReadings >= CALM_READINGS && timeMs - state.lastOddMs >= CALM_MS
}

function startState(): FullState {
  return {
    lastTimeMs: NEVER_MS,
    lastValue: 0,
    count: 0,
    sinceMs: 0,
    intervalMs: 0,
    smallestMove: 0,
    moves: 0,
    level: startLevel(),
    profile: startProfile(),
    variability: startVariability(),
    distribution: startDistribution(),
    prediction: startPrediction(),
    shape: startShape(),
    extremes: startExtremes(),
    alarm: startAlarm(),
    held: { view: 0, value: 0, seen: 0, usual: 0, margin: 0, level: 0, reach: 0, score: 0 },
    anomalous: false,
    anomalySinceMs: 0,
    saidScore: 0,
    calmReadings: 0,
    lastOddMs: 0,
    caution: 1,
  }
}
