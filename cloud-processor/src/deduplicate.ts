/**
 * Guarantee: a batch (agent, epoch, sequence) is new exactly once, in whatever order and however often batches come.
 * What was received is kept as runs of sequences, with the epoch's running total of readings at both ends of each run; so
 * the readings in a hole are known to the reading before anything of the hole has come. Tombstones fill holes.
 */

import { correctLoss, type Losses, lostBetween, noteLoss, noteUnnamed } from './losses.ts'

/** The most runs an epoch may have; see `giveUpLowest`. */
export const RUNS_MAX = 4_096

/** When something was received. */
export interface Moment {
  /** By the stream's clock, milliseconds since 1970. */
  readonly atMs: number
  /** By the agent's patience, see `gaps.ts`. */
  readonly patienceMs: number
}

export interface Run {
  from: number
  to: number
  /** Readings of the epoch before `from` and through `to`; NaN while a run is only tombstones and touches no batch. */
  before: number
  through: number
  /** Readings that tombstones told of, while `before` and `through` are not known. */
  untied: number
  /** That end is a tombstone's, whose count may be an estimate: its reason. Empty when it is a batch's. */
  looseBefore: string
  looseThrough: string
  /** Of the readings between `before` and `through`: those that became dead letters, were shed, were given up. */
  deadLettered: number
  shed: number
  givenUp: number
  /** Complete-through of the highest batch in the run; -Infinity when it has none. */
  completeThroughMs: number
  /** When the stream received what made the hole before this run visible. */
  holeSeenAtMs: number
  holePatienceMs: number
}

export interface Sequences {
  /** Ascending, with a hole before each one (before the first: only when it does not begin at 1). */
  runs: Run[]
  losses: Losses
  duplicates: number
  /** In holes that were given up because there were too many. */
  givenUpBatches: number
}

export interface Gap {
  readonly fromSequence: number
  readonly toSequence: number
  /** NaN when it lies beside tombstones whose totals are not tied yet, and is counted with the hole after them. */
  readonly readings: number
  readonly seenAtMs: number
  readonly seenPatienceMs: number
}

export const createSequences = (): Sequences => ({
  runs: [],
  losses: new Map(),
  duplicates: 0,
  givenUpBatches: 0,
})

/** Highest sequence below which nothing is missing; 0 when the first batch is. */
export function contiguousThrough({ runs }: Sequences): number {
  const first = runs[0]
  return first !== undefined && first.from === 1 ? first.to : 0
}

/** Readings in holes that were given up, and by which an agent's own totals contradict each other. */
export function givenUpReadings({ runs }: Sequences): number {
  let readings = 0
  for (const run of runs) readings += run.givenUp
  return readings
}

/** Readings that the agent said it produced: its running total at the highest sequence known. */
export function producedReadings({ runs }: Sequences): number {
  let produced = 0
  for (const run of runs) produced = Number.isNaN(run.through) ? produced + run.untied : run.through
  return produced
}

export interface BatchPlace {
  readonly sequence: number
  readonly readingCount: number
  readonly readingsTotal: number
  readonly completeThroughMs: number
}

/** @returns false when the sequence was received before: the batch must be ignored. */
export function receiveBatch(sequences: Sequences, batch: BatchPlace, moment: Moment): boolean {
  const { runs } = sequences
  const at = placeOf(runs, batch.sequence)
  const covering = runs[at]
  if (covering !== undefined && covering.from <= batch.sequence) {
    sequences.duplicates += 1
    return false
  }
  insert(sequences, at, {
    ...emptyRun(batch.sequence, batch.sequence, covering, moment),
    before: batch.readingsTotal - batch.readingCount,
    through: batch.readingsTotal,
    completeThroughMs: batch.completeThroughMs,
  })
  return true
}

/** A run of nothing yet, in the hole before `next`: what is left of that hole keeps its age. */
const emptyRun = (from: number, to: number, next: Run | undefined, moment: Moment): Run => ({
  from,
  to,
  before: Number.NaN,
  through: Number.NaN,
  untied: 0,
  looseBefore: '',
  looseThrough: '',
  deadLettered: 0,
  shed: 0,
  givenUp: 0,
  completeThroughMs: Number.NEGATIVE_INFINITY,
  holeSeenAtMs: next?.holeSeenAtMs ?? moment.atMs,
  holePatienceMs: next?.holePatienceMs ?? moment.patienceMs,
})

export function wasReceived({ runs }: Sequences, sequence: number): boolean {
  const run = runs[placeOf(runs, sequence)]
  return run !== undefined && run.from <= sequence
}

/** Readings of a batch that was received became dead letters; below zero: they are none any more. */
export function countDeadLettered({ runs }: Sequences, sequence: number, readings: number): void {
  const run = runs[placeOf(runs, sequence)]
  if (run !== undefined && run.from <= sequence) run.deadLettered += readings
}

/** Readings of a batch that was received were shed before they could stand in it. */
export function countShed({ runs, losses }: Sequences, sequence: number, reason: string, readings: number): void {
  noteUnnamed(losses, reason, readings)
  const run = runs[placeOf(runs, sequence)]
  if (run !== undefined && run.from <= sequence) run.shed += readings
}

/** Whether nothing of the sequences was received, shed or given up. */
export function isUntouched({ runs }: Sequences, fromSequence: number, toSequence: number): boolean {
  const next = runs[placeOf(runs, fromSequence)]
  return next === undefined || next.from > toSequence
}

/** Fills what is not received of a run of sequences that will never come; what is received stays received. */
export function receiveTombstone(
  sequences: Sequences,
  {
    fromSequence,
    toSequence,
    readingCount,
    reason,
  }: { fromSequence: number; toSequence: number; readingCount: number; reason: string },
  moment: Moment,
): void {
  const length = toSequence - fromSequence + 1
  if (!(length > 0)) return
  for (let next = fromSequence; next <= toSequence; ) {
    const at = placeOf(sequences.runs, next)
    const covering = sequences.runs[at]
    if (covering !== undefined && covering.from <= next) {
      next = covering.to + 1
      continue
    }
    const to = Math.min(toSequence, covering === undefined ? toSequence : covering.from - 1)
    const readings = Math.round((readingCount * (to - next + 1)) / length)
    noteLoss(sequences.losses, reason, next, to, readings)
    insert(sequences, at, {
      ...emptyRun(next, to, covering, moment),
      untied: readings,
      shed: readings,
      looseBefore: reason,
      looseThrough: reason,
    })
    next = to + 1
  }
}

/** Holes, lowest first. */
export function gapsOf({ runs }: Sequences): Gap[] {
  const gaps: Gap[] = []
  let nextSequence = 1
  let through = 0
  let untied = 0
  for (const run of runs) {
    const tied = !Number.isNaN(run.before)
    if (run.from > nextSequence)
      gaps.push({
        fromSequence: nextSequence,
        toSequence: run.from - 1,
        readings: tied ? run.before - through - untied : Number.NaN,
        seenAtMs: run.holeSeenAtMs,
        seenPatienceMs: run.holePatienceMs,
      })
    if (tied) {
      through = run.through
      untied = 0
    } else untied += run.untied
    nextSequence = run.to + 1
  }
  return gaps
}

/** Readings of the sequences from 1 to where nothing is missing, and what became of them. */
export function prefixTotals({ runs }: Sequences): {
  readings: number
  deadLettered: number
  shed: number
  missing: number
} {
  const first = runs[0]
  if (first === undefined || first.from !== 1) return { readings: 0, deadLettered: 0, shed: 0, missing: 0 }
  return { readings: first.through, deadLettered: first.deadLettered, shed: first.shed, missing: first.givenUp }
}

/**
 * Takes every hole up to a sequence for received: somebody stored what was in it.
 * @param throughReadings readings of the epoch through that sequence; when it is not known, a hole that reaches further stays
 * @returns readings in the holes; undefined when the hole at the end stays: nothing is taken then
 */
export function fillHoles(
  sequences: Sequences,
  throughSequence: number,
  throughReadings: number | undefined,
  moment: Moment,
): number | undefined {
  const holes: { from: number; to: number; readings: number }[] = []
  /** The last one, while only tombstones come after it. */
  let open: { from: number; to: number; readings: number } | undefined
  let next = 1
  let through = 0
  let untied = 0
  for (const run of sequences.runs) {
    if (run.from > throughSequence) break
    const tied = !Number.isNaN(run.before)
    if (run.from > next) {
      open = { from: next, to: run.from - 1, readings: tied ? run.before - through - untied : 0 }
      holes.push(open)
    }
    if (tied) {
      through = run.through
      untied = 0
      open = undefined
    } else untied += run.untied - lostBetween(sequences.losses, throughSequence + 1, run.to)
    next = run.to + 1
  }
  const following = sequences.runs.find(({ from }) => from > throughSequence)
  if (following !== undefined && following.from === throughSequence + 1 && !Number.isNaN(following.before))
    throughReadings = following.before
  if (next <= throughSequence) {
    if (throughReadings === undefined) return undefined
    holes.push({ from: next, to: throughSequence, readings: throughReadings - through - untied })
  } else if (open !== undefined) {
    if (throughReadings === undefined) return undefined
    open.readings = throughReadings - through - untied
  }
  let filled = 0
  for (const { from, to, readings } of holes) {
    const at = placeOf(sequences.runs, from)
    insert(sequences, at, { ...emptyRun(from, to, sequences.runs[at], moment), untied: readings })
    filled += readings
  }
  return filled
}

/** Index of the first run that ends at or after the sequence. Most batches come at the end. */
function placeOf(runs: readonly Run[], sequence: number): number {
  const last = runs.at(-1)
  if (last === undefined || last.to < sequence) return runs.length
  let low = 0
  let high = runs.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((runs[middle] as Run).to < sequence) low = middle + 1
    else high = middle
  }
  return low
}

function insert(sequences: Sequences, at: number, run: Run): void {
  const { runs } = sequences
  runs.splice(at, 0, run)
  // The hole before the next run is what is left of the hole that the new run lies in: it keeps its age.
  if (at + 1 < runs.length) join(sequences, at + 1)
  join(sequences, at)
  while (runs.length > RUNS_MAX) giveUpLowest(sequences)
}

/** Joins run `at` to the one before it when nothing lies between, and ties totals that became known. */
function join(sequences: Sequences, at: number): void {
  const { runs } = sequences
  const right = runs[at] as Run
  const left = runs[at - 1]
  if (left === undefined) {
    if (right.from === 1) tie(sequences, right, 0, '')
    return
  }
  if (left.to + 1 !== right.from) return
  const leftTied = !Number.isNaN(left.through)
  const rightTied = !Number.isNaN(right.before)
  if (leftTied) tie(sequences, right, left.through, left.looseThrough)
  else if (rightTied) {
    left.through = right.before
    left.before = right.before - left.untied
    left.untied = 0
  }
  left.to = right.to
  left.through = right.through
  left.looseThrough = right.looseThrough
  left.untied += right.untied
  left.deadLettered += right.deadLettered
  left.shed += right.shed
  left.givenUp += right.givenUp
  left.completeThroughMs = Math.max(left.completeThroughMs, right.completeThroughMs)
  runs.splice(at, 1)
  if (left.from === 1) tie(sequences, left, 0, '')
}

/**
 * The total before the run is known now. Tombstones get their totals by it. Where a batch begins with another total than the
 * one before it ended with, a tombstone between them had only an estimate (nobody can count what was in a damaged segment),
 * and the difference was shed, too; without a tombstone the agent's totals contradict each other, and it counts as missing.
 */
function tie(sequences: Sequences, run: Run, before: number, loose: string): void {
  if (Number.isNaN(run.before)) {
    run.before = before
    run.through = before + run.untied
    run.untied = 0
  } else if (run.before !== before) {
    const difference = run.before - before
    const reason = loose || run.looseBefore
    if (reason) {
      correctLoss(sequences.losses, reason, loose ? run.from - 1 : run.from, difference)
      run.shed += difference
    } else run.givenUp += difference
    run.before = before
  }
  run.looseBefore = ''
}

/** Too many holes to remember: the lowest is closed for good. What still comes of it is taken for a duplicate. */
function giveUpLowest(sequences: Sequences): void {
  const { runs } = sequences
  const gap = gapsOf(sequences)[0]
  const at = runs.findIndex((run) => run.from > (gap?.toSequence ?? Number.POSITIVE_INFINITY))
  const right = runs[at]
  if (gap === undefined || right === undefined) return
  const readings = Number.isNaN(gap.readings) ? 0 : gap.readings
  sequences.givenUpBatches += gap.toSequence - gap.fromSequence + 1
  right.from = gap.fromSequence
  right.before -= readings
  right.givenUp += readings
  join(sequences, at)
}
