/**
 * Guarantee: a batch (agent, epoch, sequence) is new exactly once, in whatever order and however often batches come.
 * What was received is kept as runs of sequences, with the epoch's running total of readings at both ends of each run; so
 * the readings in a hole are known to the reading before anything of the hole has come. Tombstones fill holes.
 */

/** The most runs an epoch may have; see `giveUpLowest`. */
export const RUNS_MAX = 4_096

export interface Run {
  from: number
  to: number
  /** Readings of the epoch before `from` and through `to`; NaN while a run is only tombstones and touches no batch. */
  before: number
  through: number
  /** Readings that tombstones told of, while `before` and `through` are not known. */
  untied: number
  /** That end is a tombstone's, whose count may be an estimate. */
  looseBefore: boolean
  looseThrough: boolean
  /** Complete-through of the highest batch in the run; -Infinity when it has none. */
  completeThroughMs: number
  /** When the stream received what made the hole before this run visible. */
  holeSeenAtMs: number
}

export interface Sequences {
  /** Ascending, with a hole before each one (before the first: only when it does not begin at 1). */
  runs: Run[]
  shed: number
  duplicates: number
  /** Readings and batches in holes that were given up because there were too many. */
  givenUpReadings: number
  givenUpBatches: number
}

export interface Gap {
  readonly fromSequence: number
  readonly toSequence: number
  /** NaN when it lies beside tombstones whose totals are not tied yet, and is counted with the hole after them. */
  readonly readings: number
  readonly seenAtMs: number
}

export const createSequences = (): Sequences => ({
  runs: [],
  shed: 0,
  duplicates: 0,
  givenUpReadings: 0,
  givenUpBatches: 0,
})

/** Highest sequence below which nothing is missing; 0 when the first batch is. */
export function contiguousThrough({ runs }: Sequences): number {
  const first = runs[0]
  return first !== undefined && first.from === 1 ? first.to : 0
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
export function receiveBatch(sequences: Sequences, batch: BatchPlace, receivedAtMs: number): boolean {
  const { runs } = sequences
  const at = placeOf(runs, batch.sequence)
  const covering = runs[at]
  if (covering !== undefined && covering.from <= batch.sequence) {
    sequences.duplicates += 1
    return false
  }
  insert(sequences, at, {
    from: batch.sequence,
    to: batch.sequence,
    before: batch.readingsTotal - batch.readingCount,
    through: batch.readingsTotal,
    untied: 0,
    looseBefore: false,
    looseThrough: false,
    completeThroughMs: batch.completeThroughMs,
    holeSeenAtMs: covering?.holeSeenAtMs ?? receivedAtMs,
  })
  return true
}

/** Fills what is not received of a run of sequences that will never come; what is received stays received. */
export function receiveTombstone(
  sequences: Sequences,
  { fromSequence, toSequence, readingCount }: { fromSequence: number; toSequence: number; readingCount: number },
  receivedAtMs: number,
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
    sequences.shed += readings
    insert(sequences, at, {
      from: next,
      to,
      before: Number.NaN,
      through: Number.NaN,
      untied: readings,
      looseBefore: true,
      looseThrough: true,
      completeThroughMs: Number.NEGATIVE_INFINITY,
      holeSeenAtMs: covering?.holeSeenAtMs ?? receivedAtMs,
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
      })
    if (tied) {
      through = run.through
      untied = 0
    } else untied += run.untied
    nextSequence = run.to + 1
  }
  return gaps
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
    if (right.from === 1) tie(sequences, right, 0, false)
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
  left.completeThroughMs = Math.max(left.completeThroughMs, right.completeThroughMs)
  runs.splice(at, 1)
  if (left.from === 1) tie(sequences, left, 0, false)
}

/**
 * The total before the run is known now. Tombstones get their totals by it. Where a batch begins with another total than the
 * one before it ended with, a tombstone between them had only an estimate (nobody can count what was in a damaged segment),
 * and the difference was shed, too; without a tombstone the agent's totals contradict each other, and it counts as missing.
 */
function tie(sequences: Sequences, run: Run, before: number, loose: boolean): void {
  if (Number.isNaN(run.before)) {
    run.before = before
    run.through = before + run.untied
    run.untied = 0
  } else if (run.before !== before) {
    if (loose || run.looseBefore) sequences.shed += run.before - before
    else sequences.givenUpReadings += run.before - before
    run.before = before
  }
  run.looseBefore = false
}

/** Too many holes to remember: the lowest is closed for good. What still comes of it is taken for a duplicate. */
function giveUpLowest(sequences: Sequences): void {
  const { runs } = sequences
  const gap = gapsOf(sequences)[0]
  const at = runs.findIndex((run) => run.from > (gap?.toSequence ?? Number.POSITIVE_INFINITY))
  const right = runs[at]
  if (gap === undefined || right === undefined) return
  const readings = Number.isNaN(gap.readings) ? 0 : gap.readings
  sequences.givenUpReadings += readings
  sequences.givenUpBatches += gap.toSequence - gap.fromSequence + 1
  right.from = gap.fromSequence
  right.before -= readings
  join(sequences, at)
}
