/** A detector over the files of the benchmark: the score of each row, what that costs, and whether it is causal and restartable. */
import { type Detector, type DetectorState, restoreState } from '@tributary/cloud-processor'
import { createRandom } from '@tributary/runtime'
import type { NabFile } from './corpus.ts'

const CUTS = 5
const RESTARTS = 8
const SEED = 5
const ROUNDS = 3
const WEIGHED_EVERY_ROWS = 500

export type CreateDetector = (intervalMs: number) => Detector<DetectorState>

/** As a contract would say it: the first distance of two rows. */
const createFor = (create: CreateDetector, file: NabFile): Detector<DetectorState> =>
  create(Math.max(1, (file.timesMs[1] as number) - (file.timesMs[0] as number)))

/**
 * The score of each row. A row that is not newer than one before it (clocks were set back) is not looked at, and has 0.
 * @param cut rows from here on are not there
 * @param interrupted by restarts before some rows: the state goes through JSON, as into a checkpoint and back; and by
 *   another series, of which a reading comes before each row
 */
export function scoresOf(
  create: CreateDetector,
  file: NabFile,
  cut = file.values.length,
  interrupted?: { readonly restarts: ReadonlySet<number>; readonly other: NabFile },
) {
  const detector = createFor(create, file)
  let state = detector.start()
  const otherState = detector.start()
  let lastMs = Number.NEGATIVE_INFINITY
  let bytesMax = 0
  const scores = new Float64Array(cut)
  for (let row = 0; row < cut; row++) {
    const timeMs = file.timesMs[row] as number
    if (interrupted !== undefined) {
      const { restarts, other } = interrupted
      if (restarts.has(row)) state = restoreState(detector, JSON.parse(JSON.stringify(state)))
      if (row < other.values.length)
        detector.observe(otherState, other.timesMs[row] as number, other.values[row] as number)
    }
    detector.observe(state, timeMs, file.values[row] as number)
    if (timeMs > lastMs) scores[row] = detector.last(state).score
    lastMs = Math.max(lastMs, timeMs)
    if (row % WEIGHED_EVERY_ROWS === 0) bytesMax = Math.max(bytesMax, JSON.stringify(state).length)
  }
  return { scores, bytesMax: Math.max(bytesMax, JSON.stringify(state).length) }
}

/** The detector as people's feedback makes it. @param words so many dismissed anomalies; below 0: confirmed ones */
export function withFeedback(detector: Detector<DetectorState>, words: number): Detector<DetectorState> {
  const say = words < 0 ? detector.confirm : detector.dismiss
  return {
    ...detector,
    start() {
      const state = detector.start()
      for (let n = 0; n < Math.abs(words); n++) say?.(state)
      return state
    },
  }
}

export interface Violations {
  /** Rows compared, and those with another score. */
  readonly compared: number
  readonly violations: number
}

const different = (a: Float64Array, b: Float64Array): number =>
  a.reduce((count, score, i) => count + (Object.is(score, b[i]) ? 0 : 1), 0)

/** Every file is cut at several places: no score before the cut may change. */
export function prefixViolations(create: CreateDetector, file: NabFile, whole: Float64Array): Violations {
  const random = createRandom(SEED + file.values.length)
  let compared = 0
  let violations = 0
  for (let n = 0; n < CUTS; n++) {
    const cut = 1 + random.below(file.values.length - 1)
    compared += cut
    violations += different(scoresOf(create, file, cut).scores, whole)
  }
  return { compared, violations }
}

/** Restarts here and there, and another series between any two readings, as in the processor: no score may change. */
export function restartViolations(
  create: CreateDetector,
  file: NabFile,
  whole: Float64Array,
  other: NabFile,
): Violations {
  const random = createRandom(SEED + file.values.length)
  const restarts = new Set(Array.from({ length: RESTARTS }, () => random.below(file.values.length)))
  const { scores } = scoresOf(create, file, file.values.length, { restarts, other })
  return { compared: whole.length, violations: different(scores, whole) }
}

/** CPU of `observe` alone, as the processor calls it; the best of several rounds over all files. */
export function microsecondsOf(create: CreateDetector, files: readonly NabFile[]): number {
  const rows = files.reduce((sum, { values }) => sum + values.length, 0)
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const since = process.cpuUsage()
    for (const file of files) {
      const detector = createFor(create, file)
      const state = detector.start()
      for (let row = 0; row < file.values.length; row++)
        detector.observe(state, file.timesMs[row] as number, file.values[row] as number)
    }
    const { user, system } = process.cpuUsage(since)
    best = Math.min(best, (user + system) / rows)
  }
  return best
}
