// Guarantee: a record is named here as free to go only when it was sent and the processor said that its batch is in the
// store. It knows the records in runs, coarser the more there are, so its memory is bounded and its answer never wrong.
import { strict as assert } from 'node:assert'
import type { Range } from './range-set.ts'

export interface BatchIdentity {
  readonly agent: string
  readonly epoch: string
  readonly sequence: number
}

/** Sequences of the spool, both ends included. */
export interface SpoolRange {
  readonly from: number
  readonly to: number
}

export interface StoredIndex {
  /** Records in the order of the spool; `undefined`: its header could not be read, so being sent is all it waits for. */
  add(spoolSequence: number, identity: BatchIdentity | undefined): void
  /** Whether a record of this epoch can be taken: an agent may have so many epochs, and no more, among the records. */
  hasRoomFor(agent: string, epoch: string): boolean
  /**
   * @param beyond ranges beyond the sequence that are in the store, too, though something before them is missing
   * @returns false when no record of that epoch is here
   */
  stored(agent: string, epoch: string, sequence: number, beyond?: readonly Range[]): boolean
  isStored(batch: BatchIdentity): boolean
  /** Highest sequence of the spool that may be trimmed; 0 when none. */
  trimmableThrough(sentThrough: number): number
  forget(throughSpoolSequence: number): void
  /** Where records with these sequences may lie: a superset. */
  find(agent: string, epoch: string, fromSequence: number, toSequence: number): SpoolRange[]
  /** Entries held, for the limit. */
  readonly size: number
}

interface Epoch {
  readonly agent: string
  readonly key: string
  storedThrough: number
  beyond: readonly Range[]
  runs: number
}
interface Piece {
  lowest: number
  highest: number
}
interface Run {
  from: number
  to: number
  /** Sequences that lie together are one piece. */
  readonly epochs: Map<Epoch, Piece[]>
}

export const RUN_RECORDS = 64
export const EPOCHS_PER_AGENT_MAX = 64
/** Of an epoch in a run; what is beyond is joined to the last. */
const PIECES_MAX = 8
export const INDEX_ENTRIES_MAX = 200_000
assert(RUN_RECORDS * 1_000 < INDEX_ENTRIES_MAX, 'runs are joined long after they were begun')

export function createStoredIndex(entriesMax = INDEX_ENTRIES_MAX): StoredIndex {
  const epochs = new Map<string, Epoch>()
  const epochCounts = new Map<string, number>()
  let runs: Run[] = []
  let entries = 0
  /** Records a run may hold; doubles when the index is full. */
  let runRecords = RUN_RECORDS

  const include = (run: Run, epoch: Epoch, lowest: number, highest: number) => {
    const pieces = run.epochs.get(epoch)
    if (pieces) {
      const near = pieces.find((piece) => lowest <= piece.highest + 1 && highest >= piece.lowest - 1)
      const piece = near ?? (pieces.length < PIECES_MAX ? undefined : pieces.at(-1))
      if (!piece) pieces.push({ lowest, highest })
      else {
        piece.lowest = Math.min(piece.lowest, lowest)
        piece.highest = Math.max(piece.highest, highest)
      }
      return
    }
    run.epochs.set(epoch, [{ lowest, highest }])
    epoch.runs += 1
    entries += 1
  }
  const release = (run: Run) => {
    entries -= run.epochs.size
    for (const epoch of run.epochs.keys()) {
      epoch.runs -= 1
      if (epoch.runs > 0) continue
      epochs.delete(epoch.key)
      const left = (epochCounts.get(epoch.agent) ?? 1) - 1
      if (left > 0) epochCounts.set(epoch.agent, left)
      else epochCounts.delete(epoch.agent)
    }
  }
  const epochOf = ({ agent, epoch }: BatchIdentity): Epoch => {
    const key = `${agent}/${epoch}`
    const known = epochs.get(key)
    if (known) return known
    const made = { agent, key, storedThrough: 0, beyond: [], runs: 0 }
    epochs.set(key, made)
    epochCounts.set(agent, (epochCounts.get(agent) ?? 0) + 1)
    return made
  }
  const isPieceStored = ({ storedThrough, beyond }: Epoch, { lowest, highest }: Piece) =>
    highest <= storedThrough || beyond.some(([from, to]) => from <= lowest && highest <= to)
  const joinNeighbours = () => {
    runRecords *= 2
    const joined: Run[] = []
    for (const run of runs) {
      const before = joined.at(-1)
      if (!before || run.to - before.from >= runRecords) {
        joined.push(run)
        continue
      }
      for (const [epoch, pieces] of run.epochs)
        for (const { lowest, highest } of pieces) include(before, epoch, lowest, highest)
      before.to = run.to
      release(run)
    }
    runs = joined
  }
  return {
    get size() {
      return entries
    },
    add(spoolSequence, identity) {
      let run = runs.at(-1)
      if (!run || spoolSequence - run.from >= runRecords) {
        run = { from: spoolSequence, to: spoolSequence, epochs: new Map() }
        runs.push(run)
      }
      run.to = spoolSequence
      if (!identity) return
      include(run, epochOf(identity), identity.sequence, identity.sequence)
      if (entries > entriesMax) joinNeighbours()
    },
    hasRoomFor: (agent, epoch) =>
      epochs.has(`${agent}/${epoch}`) || (epochCounts.get(agent) ?? 0) < EPOCHS_PER_AGENT_MAX,
    stored(agent, epoch, sequence, beyond = []) {
      const known = epochs.get(`${agent}/${epoch}`)
      if (!known) return false
      known.storedThrough = Math.max(known.storedThrough, sequence)
      if (beyond.length > 0) known.beyond = beyond
      return true
    },
    isStored({ agent, epoch, sequence }) {
      const known = epochs.get(`${agent}/${epoch}`)
      return known !== undefined && isPieceStored(known, { lowest: sequence, highest: sequence })
    },
    trimmableThrough(sentThrough) {
      let through = 0
      for (const run of runs) {
        if (run.to > sentThrough) break
        if ([...run.epochs].some(([epoch, pieces]) => pieces.some((piece) => !isPieceStored(epoch, piece)))) break
        through = run.to
      }
      return through
    },
    forget(through) {
      let count = 0
      for (const run of runs) {
        if (run.to > through) break
        release(run)
        count += 1
      }
      runs.splice(0, count)
      if (runs.length === 0) runRecords = RUN_RECORDS
    },
    find(agent, epoch, fromSequence, toSequence) {
      const known = epochs.get(`${agent}/${epoch}`)
      if (!known) return []
      return runs
        .filter((run) => {
          const pieces = run.epochs.get(known) ?? []
          return pieces.some(({ lowest, highest }) => lowest <= toSequence && highest >= fromSequence)
        })
        .map(({ from, to }) => ({ from, to }))
    },
  }
}
