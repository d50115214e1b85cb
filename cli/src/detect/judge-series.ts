/** The detectors of one series as the processor runs them: made from a contract, fed one reading after another. */
import {
  type Detector,
  type DetectorState,
  detectorsFor,
  ORDINARY,
  seriesContext,
  type Verdict,
} from '@tributary/cloud-processor'
import { type Contract, contractSchema } from '@tributary/protocol'
import { UserError } from '@tributary/runtime'

/** Sizes of the learned detector, and none of it. */
export const LEARNED = ['full', 'lite', 'none'] as const
export type Learned = (typeof LEARNED)[number]

export interface JudgeOptions {
  readonly detector: Learned
  readonly label: string
  readonly unit: string
  /** As the field's contract would say; else nothing is too small a change, and sentences have as many as were seen. */
  readonly decimals?: number | undefined
  /** Expected time between two readings; else the first distance that is seen. */
  readonly intervalMs?: number | undefined
  readonly above?: number | undefined
  readonly below?: number | undefined
  readonly hysteresis?: number | undefined
  /** Both or none. */
  readonly min?: number | undefined
  readonly max?: number | undefined
  /** Milliseconds. */
  readonly flatline?: number | undefined
  /** As in a contract: "5/min". */
  readonly rate?: string | undefined
  /** The values only grow. */
  readonly counter?: boolean | undefined
  /** Of a counter. */
  readonly wrapsAt?: number | undefined
}

export interface Judgement {
  /** The highest of all detectors. */
  readonly score: number
  readonly anomalous: boolean
  /** Of the learned detector when there is one, else of the one that spoke. */
  readonly expected: number | undefined
  readonly lower: number | undefined
  readonly upper: number | undefined
  /** Which view spoke, or which explicit detector. */
  readonly component: string
  /** Of this reading until the next one is judged. Asked for only when it is wanted: it costs more than the rest. */
  message(): string
}

export interface SeriesJudge {
  /** @param decimals digits behind the point with which the value was written */
  judge(timeMs: number, value: number, decimals: number): Judgement
}

const FIELD = 'value'
/** Finer than anything that is measured, when no contract says how fine. */
const DECIMALS_FINEST = 18
/** Of a sentence's largest number, when no contract says how many decimals it has. */
const SAID_DIGITS = 4
const INTERVAL_MS_DEFAULT = 1_000
const INTERVAL_MS_MIN = 1e-6

interface Running {
  readonly detector: Detector<DetectorState>
  readonly state: DetectorState
}

/** @throws UserError when the options contradict each other */
export function createSeriesJudge(options: JudgeOptions): SeriesJudge {
  let intervalMs = options.intervalMs
  let saidDecimals = options.decimals ?? 0
  let largest = 0
  let finest = 0
  let first: { readonly timeMs: number; readonly value: number } | undefined
  let running = start()
  let speakers = speakersOf()

  function detectors(decimals: number): Detector<DetectorState>[] {
    const contract = contractOf(options, intervalMs ?? INTERVAL_MS_DEFAULT)
    return detectorsFor(contract, FIELD, { ...seriesContext(contract, '', '', FIELD), decimals })
  }
  function start(): Running[] {
    return detectors(options.decimals ?? DECIMALS_FINEST).map((detector) => ({ detector, state: detector.start() }))
  }
  /** A detector keeps nothing beside its state: another one with fewer decimals says the same in a shorter sentence. */
  function speakersOf(): Detector<DetectorState>[] {
    return detectors(saidDecimals)
  }
  return {
    judge(timeMs, value, decimals) {
      if (first !== undefined && intervalMs === undefined) {
        intervalMs = timeMs - first.timeMs
        running = start()
        for (const { detector, state } of running) detector.observe(state, first.timeMs, first.value)
        speakers = speakersOf()
      }
      first ??= { timeMs, value }
      if (options.decimals === undefined && (decimals > finest || Math.abs(value) > largest)) {
        finest = Math.max(finest, decimals)
        largest = Math.max(largest, Math.abs(value))
        const enough = SAID_DIGITS - 1 - Math.floor(Math.log10(largest || 1))
        const said = Math.max(0, Math.min(finest, enough, DECIMALS_FINEST))
        if (said !== saidDecimals) {
          saidDecimals = said
          speakers = speakersOf()
        }
      }
      let loudest = 0
      const verdicts = running.map(({ detector, state }): Verdict => {
        detector.observe(state, timeMs, value)
        // What is too large for its arithmetic a detector passes over: it holds the reading before.
        return state.lastTimeMs === timeMs ? detector.last(state) : ORDINARY
      })
      for (const [i, { score }] of verdicts.entries()) if (score > (verdicts[loudest] as Verdict).score) loudest = i
      const spoke = verdicts[loudest] as Verdict
      const learned = running.findIndex(({ detector }) => detector.family === 'outlier')
      const { expected, lower, upper } = verdicts[learned] ?? spoke
      const by = running[loudest] as Running
      return {
        score: spoke.score,
        anomalous: verdicts.some(({ anomalous }) => anomalous),
        expected,
        lower,
        upper,
        component: by.detector.family === 'outlier' ? spoke.component : spoke.score > 0 ? by.detector.name : '',
        message: () =>
          spoke === ORDINARY ? '' : (speakers[loudest] as Detector<DetectorState>).last(by.state).message,
      }
    },
  }
}

/** What a kind of devices with this one field would have in its contract. */
function contractOf(options: JudgeOptions, intervalMs: number): Contract {
  const { detector, label, unit, above, below, hysteresis = 0, min, max, flatline, rate, counter, wrapsAt } = options
  const { success, data, error } = contractSchema.safeParse({
    kind: 'file',
    version: 1,
    description: 'A series out of a file.',
    interval: durationText(Math.max(INTERVAL_MS_MIN, intervalMs)),
    fields: {
      [FIELD]: {
        type: 'float',
        label,
        unit,
        range: min === undefined ? undefined : [min, max],
        role: counter ? 'counter' : undefined,
        wraps_at: wrapsAt,
      },
    },
    // All that was measured is judged by all.
    policy: { range: 'pass' },
    thresholds: [
      ...(above === undefined ? [] : [{ field: FIELD, above, hysteresis }]),
      ...(below === undefined ? [] : [{ field: FIELD, below, hysteresis }]),
    ],
    detectors: {
      outlier: detector === 'none' ? {} : { [FIELD]: detector },
      flatline: flatline === undefined ? {} : { [FIELD]: durationText(flatline) },
      rate: rate === undefined ? undefined : { [FIELD]: rate },
      out_of_range: min === undefined ? undefined : [FIELD],
      counter_reset: counter ? [FIELD] : undefined,
    },
  })
  if (success) return data
  const said = error.issues.map(({ path, message }) => `${String(path.at(-1))} ${message}`).join('; ')
  throw new UserError(`the options contradict each other: ${said}`, { hint: '`tributary detect --help` lists them' })
}

const durationText = (milliseconds: number): string => `${milliseconds.toFixed(6)}ms`
