/**
 * Learns what a series usually does and says when it does not, with two views of it:
 * - a *jump*: the value against the mean of the few samples before it (finds spikes and edges);
 * - a *shift*: the mean of a dozen samples (at high rates: of a second) against a slow level (finds what stays away).
 * Each view knows its usual spread (slow mean of absolute residuals, clipped, hence robust) and its record (largest ordinary
 * residual, slowly forgotten). A residual is anomalous beyond the larger of SIGMAS spreads and RECORD_MARGIN records: on
 * noise with short tails the first decides, on noise with long tails the second.
 *
 * All time constants are in event time and stretch with the series' own interval, so that 1 and 500 samples a second are
 * treated alike; while a series is young they are short, and the limits wide.
 * - Warm-up: WARM_UP_SAMPLES samples and WARM_UP_MS, whichever takes longer. Nothing is said before.
 * - New normal: what has gone on for NEW_NORMAL_MS or NEW_NORMAL_INTERVALS intervals, whichever is longer, is normal: the
 *   verdict clears and the series is learned anew.
 * - Habit: an excursion that recurs some ten times within hours is taken for the machine's way of working.
 * - Quantised values: a change by less than FLOOR_STEPS of the smallest step ever seen is never an anomaly.
 */
import { type Cautious, confirm, dismiss } from './caution.ts'
import { type Band, type Detector, NEVER_MS, ORDINARY, type SeriesContext, type Verdict } from './detector.ts'
import { sayNumber, sayReading } from './sentence.ts'

export const WARM_UP_SAMPLES = 32
export const WARM_UP_MS = 20_000
export const NEW_NORMAL_MS = 5 * 60_000
export const NEW_NORMAL_INTERVALS = 300

/** Weight of a new sample in the short mean. */
const SHORT_WEIGHT = 0.25
/** Weight of a new sample in the recent mean, at most; at high rates the mean is of RECENT_MS. */
const RECENT_WEIGHT = 1 / 12
const RECENT_MS = 1_000
/** After so many odd samples in a row it was an edge: the jump is over, the shift goes on from there. */
const EDGE_SAMPLES = 3
const LEVEL_MS = 60_000
const LEVEL_INTERVALS = 64
const SPREAD_MS = 30 * 60_000
const SPREAD_INTERVALS = 1_000
const RECORD_MS = 12 * 3_600_000
const RECORD_INTERVALS = 20_000
const SIGMAS = 6
/** A normal distribution's standard deviation in mean absolute residuals. */
const SIGMA_OF_SPREAD = 1.2533
const RECORD_MARGIN = 1.6
/** Share by which a record approaches an anomaly's peak once that is over. */
const HABIT = 0.1
const FLOOR_STEPS = 4
/** A series that moved less often than this is not known yet: its steps must be a share of the value as well. */
const MOVES_KNOWN = 8
const STRANGER_STEPS = 10
const STRANGER_SHARE = 0.05
/** A value that has stood still for longer teaches nothing of the spread: a frozen sensor must not make noise look strange. */
const STILL_SAMPLES = 10
/** Below this share of the limit a reading is calm; so many of them, for so long, end an anomaly. */
const CALM_RATIO = 0.7
const CALM_SAMPLES = 5
const CALM_MS = 1_000
/** After a gap of this many intervals the level is taken anew from the next samples. */
const GAP_INTERVALS = 20
const GAP_MS_MIN = 30_000
const SETTLE_SAMPLES = 16
/** Before this many samples a residual's limit means nothing yet. */
const CLIP_SAMPLES_MIN = 8
/** An anomaly is said again when its score rose by this much. */
const SCORE_STEP = 0.1
/** Larger values would overflow in the arithmetic. */
const VALUE_MAX = 1e300

/** How far a residual usually goes. */
interface View {
  /** Slow mean of the absolute residual. */
  spread: number
  /** Largest ordinary residual, slowly forgotten. */
  record: number
  /** Largest residual of the anomaly that goes on. */
  peak: number
}

/** What was held of the last reading. */
interface Held {
  /** What was looked at: the value, or the recent mean. */
  seen: number
  usual: number
  limit: number
  lasting: boolean
  score: number
}

export interface OutlierState extends Cautious {
  lastTimeMs: number
  lastValue: number
  /** Since learning began. */
  samples: number
  /** Age is counted from here; gaps move it on. */
  sinceMs: number
  intervalMs: number
  /** Mean of the last few samples: what the next one is expected to be. */
  short: number
  recent: number
  level: number
  jump: View
  shift: View
  smallestMove: number
  /** Moves seen, up to MOVES_KNOWN. */
  moves: number
  /** Samples for which the value has not moved. */
  still: number
  /** Samples after a gap from which the level is still to be taken. */
  settling: number
  oddSamples: number
  anomalous: boolean
  anomalySinceMs: number
  saidScore: number
  calmSamples: number
  lastOddMs: number
  held: Held
}

export function outlierDetector(series: SeriesContext): Detector<OutlierState> {
  const resolution = 10 ** -series.decimals

  const floorOf = (state: OutlierState): number => {
    const floor = FLOOR_STEPS * Math.max(resolution, state.smallestMove)
    if (state.moves >= MOVES_KNOWN) return floor
    return Math.max(floor, STRANGER_STEPS * resolution, STRANGER_SHARE * Math.abs(state.level))
  }
  const say = (state: OutlierState, anomalous: boolean, score: number): Verdict => {
    const { seen, usual, limit, lasting } = state.held
    const apart = sayNumber(Math.abs(seen - usual), series.decimals)
    const deviation = sayNumber(2 * SIGMA_OF_SPREAD * state.jump.spread, series.decimals)
    const message = `${sayReading(seen, series)}${lasting ? ' on average' : ''}, ${apart} ${seen > usual ? 'above' : 'below'} the usual ${sayNumber(usual, series.decimals)} ± ${deviation}`
    const component = lasting ? 'shift' : 'jump'
    return { anomalous, score, expected: usual, lower: usual - limit, upper: usual + limit, message, component }
  }

  function observe(state: OutlierState, timeMs: number, value: number): Verdict | undefined {
    if (!(timeMs > state.lastTimeMs) || !(Math.abs(value) <= VALUE_MAX)) return undefined
    const { jump, shift, held } = state
    held.score = held.limit = 0
    const elapsedMs = timeMs - state.lastTimeMs
    state.lastTimeMs = timeMs
    state.samples += 1
    if (state.samples === 1) {
      begin(state, timeMs, value)
      return ORDINARY
    }
    if (state.intervalMs === 0) state.intervalMs = elapsedMs
    if (elapsedMs > GAP_MS_MIN && elapsedMs > GAP_INTERVALS * state.intervalMs) return resume(state, elapsedMs, value)
    state.intervalMs += (Math.min(elapsedMs, 8 * state.intervalMs) - state.intervalMs) / 32
    const move = Math.abs(value - state.lastValue)
    state.lastValue = value
    state.still = move > 0 ? 0 : state.still + 1
    if (move > 0) {
      if (state.moves === 0 || move < state.smallestMove) state.smallestMove = move
      if (state.moves < MOVES_KNOWN) state.moves += 1
    }

    // 1. The two residuals and their limits, from the past alone.
    const ageMs = timeMs - state.sinceMs
    const levelMs = levelMsOf(state)
    const floor = floorOf(state)
    const jumpLimit = jumpLimitOf(state, floor)
    const shiftLimit = shiftLimitOf(state, floor, levelMs, ageMs)
    const usual = state.short
    const jumped = Math.abs(value - usual)
    state.oddSamples = jumped >= jumpLimit ? state.oddSamples + 1 : 0
    if (state.oddSamples === EDGE_SAMPLES) state.short = state.recent = value
    else {
      const followed = state.samples < CLIP_SAMPLES_MIN ? jumped : Math.min(jumped, jumpLimit)
      state.short += SHORT_WEIGHT * (value > usual ? followed : -followed)
      state.recent += (state.short - state.recent) * Math.min(RECENT_WEIGHT, elapsedMs / (RECENT_MS + elapsedMs))
    }
    const shifted = Math.abs(state.recent - state.level)
    const jumpRatio = jumped / jumpLimit
    const shiftRatio = shifted / shiftLimit

    // 2. Say something.
    if (state.settling > 0) {
      state.settling -= 1
      state.level = state.recent = state.short
      return undefined
    }
    const warm = isWarm(state, ageMs)
    const ratio = Math.max(jumpRatio, shiftRatio)
    if (warm) {
      held.lasting = shiftRatio > jumpRatio
      held.seen = held.lasting ? state.recent : value
      held.usual = held.lasting ? state.level : usual
      held.limit = held.lasting ? shiftLimit : jumpLimit
      held.score = ratio / (1 + ratio) / (ratio >= 1 && !state.anomalous ? 1 : 2)
    }
    if (warm && (ratio >= 1 || state.anomalous)) {
      if (state.anomalous && hasEnded(state, timeMs, ratio, value)) return ORDINARY
      const score = ratio / (1 + ratio)
      jump.peak = Math.max(jump.peak, jumped)
      shift.peak = Math.max(shift.peak, shifted)
      if (!state.anomalous) {
        state.anomalous = true
        state.anomalySinceMs = state.lastOddMs = timeMs
        state.calmSamples = 0
        state.saidScore = 0
      }
      if (ratio < 1 || score < state.saidScore + SCORE_STEP) return undefined
      state.saidScore = score
      return say(state, true, score)
    }

    // 3. Ordinary: learn.
    const spreadMs = Math.min(Math.max(SPREAD_MS, SPREAD_INTERVALS * state.intervalMs), ageMs)
    const spreadWeight = elapsedMs / (spreadMs + elapsedMs)
    const forget = elapsedMs / (Math.max(RECORD_MS, RECORD_INTERVALS * state.intervalMs) + elapsedMs)
    if (state.still < STILL_SAMPLES) {
      learn(jump, Math.min(jumped, jumpLimit), spreadWeight)
      learn(shift, Math.min(shifted, shiftLimit), spreadWeight)
    }
    if (warm) {
      jump.record = Math.max(jump.record * (1 - forget), jumped)
      // A shift grows from sample to sample: a record that followed at once would always be ahead of it.
      const rise = shifted > shift.record ? (shifted - shift.record) * (elapsedMs / (levelMs / 4 + elapsedMs)) : 0
      shift.record = Math.max(shift.record * (1 - forget), shift.record + rise)
    }
    state.level += (state.recent - state.level) * (elapsedMs / (Math.min(levelMs, ageMs / 2) + elapsedMs))
    return undefined
  }
  const last = (state: OutlierState): Verdict =>
    state.held.limit === 0 ? ORDINARY : say(state, state.anomalous, state.held.score)
  /** As far from the level as a shift may go unsaid, and a jump from there: what lies beyond is one of the two. */
  function band(state: OutlierState): Band | undefined {
    const ageMs = state.lastTimeMs - state.sinceMs
    if (!isWarm(state, ageMs) || state.settling > 0) return undefined
    const floor = floorOf(state)
    const reach = shiftLimitOf(state, floor, levelMsOf(state), ageMs) + jumpLimitOf(state, floor)
    return { lower: state.level - reach, upper: state.level + reach }
  }
  return { name: 'outlier', family: 'outlier', start: startState, observe, last, band, confirm, dismiss }
}

function startState(): OutlierState {
  return {
    lastTimeMs: NEVER_MS,
    lastValue: 0,
    samples: 0,
    sinceMs: 0,
    intervalMs: 0,
    short: 0,
    recent: 0,
    level: 0,
    jump: { spread: 0, record: 0, peak: 0 },
    shift: { spread: 0, record: 0, peak: 0 },
    smallestMove: 0,
    moves: 0,
    still: 0,
    settling: 0,
    oddSamples: 0,
    anomalous: false,
    anomalySinceMs: 0,
    saidScore: 0,
    calmSamples: 0,
    lastOddMs: 0,
    held: { seen: 0, usual: 0, limit: 0, lasting: false, score: 0 },
    caution: 1,
  }
}

const levelMsOf = ({ intervalMs }: OutlierState): number => Math.max(LEVEL_MS, LEVEL_INTERVALS * intervalMs)
const isWarm = ({ samples }: OutlierState, ageMs: number): boolean => samples > WARM_UP_SAMPLES && ageMs >= WARM_UP_MS

const jumpLimitOf = ({ jump, samples, caution }: OutlierState, floor: number): number =>
  limitOf(jump, floor, 32 / samples, caution)
/** A shift within the noise is nothing to wake anyone for, however significant. */
const shiftLimitOf = ({ jump, shift, caution }: OutlierState, floor: number, levelMs: number, ageMs: number): number =>
  limitOf(shift, Math.max(floor, SIGMA_OF_SPREAD * jump.spread), (2 * levelMs) / ageMs, caution)

const limitOf = (view: View, floor: number, youth: number, caution: number): number =>
  Math.max(floor, caution * Math.max(SIGMAS * SIGMA_OF_SPREAD * view.spread * (1 + youth), RECORD_MARGIN * view.record))

function learn(view: View, size: number, weight: number): void {
  view.spread += (size - view.spread) * weight
}

/** Learning begins, or begins anew; interval and smallest move stay known. */
function begin(state: OutlierState, timeMs: number, value: number): void {
  state.lastValue = state.short = state.recent = state.level = value
  state.samples = 1
  state.sinceMs = timeMs
  state.settling = state.oddSamples = 0
  for (const view of [state.jump, state.shift]) view.spread = view.record = view.peak = 0
}

/** Nobody watched for a while: what was learned of spreads holds, the level is taken anew. */
function resume(state: OutlierState, elapsedMs: number, value: number): Verdict | undefined {
  state.sinceMs += elapsedMs
  state.lastValue = state.short = state.recent = state.level = value
  state.settling = SETTLE_SAMPLES
  state.oddSamples = 0
  if (!state.anomalous) return undefined
  leave(state)
  return ORDINARY
}

/** Is the anomaly over, or has it gone on for so long that it is the new normal? */
function hasEnded(state: OutlierState, timeMs: number, ratio: number, value: number): boolean {
  if (ratio >= CALM_RATIO) {
    state.calmSamples = 0
    state.lastOddMs = timeMs
    if (timeMs - state.anomalySinceMs < Math.max(NEW_NORMAL_MS, NEW_NORMAL_INTERVALS * state.intervalMs)) return false
    leave(state)
    begin(state, timeMs, value)
    return true
  }
  state.calmSamples += 1
  if (state.calmSamples < CALM_SAMPLES || timeMs - state.lastOddMs < CALM_MS) return false
  leave(state)
  return true
}

function leave(state: OutlierState): void {
  state.anomalous = false
  for (const view of [state.jump, state.shift]) {
    if (view.peak > view.record) view.record += HABIT * (view.peak - view.record)
    view.peak = 0
  }
}
