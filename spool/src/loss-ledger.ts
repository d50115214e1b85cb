/**
 * What is known to be lost: found once, told until the owner says that it has reported it, then remembered as reported. Bounded by
 * the records on the disk: a loss is a hole between two of them.
 */
import type { SequenceRange } from './cursor.ts'
import type { Identity } from './identity.ts'
import type { SpoolLoss } from './spool.ts'

/** Fewer than the owner can report at once. */
export const LOSSES_SHOWN_MAX = 500

export interface LossLedger {
  /** A copy of the first `LOSSES_SHOWN_MAX`; `reported` then takes back exactly what the last copy showed. */
  snapshot(): readonly SpoolLoss[]
  /** @returns sequences in the range that were not known to be lost before */
  add(range: SequenceRange, reason: SpoolLoss['reason']): number
  addUnused(loss: SpoolLoss): void
  /** @returns whether anything was taken back */
  reported(): boolean
  /** First sequence of the lowest loss that was not reported yet. */
  readonly untoldFrom: number | undefined
  readonly reportedRanges: readonly SequenceRange[]
  readonly unusedReported: boolean
  /** The owner has told of a prefix by itself: what of it was lost is not told again. */
  settled(throughSequence: number): void
  /** Ranges that end below need not be remembered. */
  forgetBelow(sequence: number): void
}

export function createLossLedger(
  identity: () => Identity,
  restored: { reported: readonly SequenceRange[]; unusedReported: boolean },
): LossLedger {
  let open: SpoolLoss[] = []
  let shown: readonly SpoolLoss[] = []
  let reportedRanges: SequenceRange[] = [...restored.reported]
  let unusedReported = restored.unusedReported

  const byEpoch = (range: SequenceRange, reason: SpoolLoss['reason']): SpoolLoss[] => {
    const epochs = identity()
    return epochs.flatMap(({ epoch, firstSequence }, i) => {
      const from = Math.max(range.fromSequence, i === 0 ? 1 : firstSequence)
      const to = Math.min(range.toSequence, (epochs[i + 1]?.firstSequence ?? Number.POSITIVE_INFINITY) - 1)
      return from <= to ? [{ fromSequence: from, toSequence: to, reason, epoch }] : []
    })
  }
  return {
    snapshot() {
      shown = open.slice(0, LOSSES_SHOWN_MAX)
      return shown
    },
    add(range, reason) {
      const known = [...reportedRanges, ...open.filter((loss) => loss.reason !== 'unused')]
      const fresh = subtract(range, known)
      for (const each of fresh) open.push(...byEpoch(each, reason))
      open.sort((a, b) => a.fromSequence - b.fromSequence)
      return fresh.reduce((sum, each) => sum + each.toSequence - each.fromSequence + 1, 0)
    },
    addUnused(loss) {
      if (!unusedReported) open.push(loss)
    },
    reported() {
      if (shown.length === 0) return false
      open = open.filter((loss) => !shown.includes(loss))
      for (const loss of shown)
        if (loss.reason === 'unused') unusedReported = true
        else reportedRanges.push(loss)
      reportedRanges = merge(reportedRanges)
      shown = []
      return true
    },
    settled(throughSequence) {
      const rest = (losses: readonly SpoolLoss[]) =>
        losses.filter(({ reason, toSequence }) => reason === 'unused' || toSequence > throughSequence)
      const cut = open.find(
        ({ reason, fromSequence, toSequence }) =>
          reason !== 'unused' && fromSequence <= throughSequence && toSequence > throughSequence,
      )
      const piece = cut && { ...cut, fromSequence: throughSequence + 1 }
      const replaced = (loss: SpoolLoss) => (piece && loss === cut ? piece : loss)
      open = rest(open).map(replaced)
      shown = rest(shown).map(replaced)
    },
    get untoldFrom() {
      return open.find(({ reason }) => reason !== 'unused')?.fromSequence
    },
    get reportedRanges() {
      return reportedRanges
    },
    get unusedReported() {
      return unusedReported
    },
    forgetBelow(sequence) {
      reportedRanges = reportedRanges.filter((range) => range.toSequence >= sequence)
    },
  }
}

/** What of a range is in none of the others. */
export function subtract(range: SequenceRange, others: readonly SequenceRange[]): SequenceRange[] {
  let left: SequenceRange[] = [range]
  for (const { fromSequence, toSequence } of others)
    left = left.flatMap((piece) => {
      if (toSequence < piece.fromSequence || fromSequence > piece.toSequence) return [piece]
      const pieces = []
      if (piece.fromSequence < fromSequence)
        pieces.push({ fromSequence: piece.fromSequence, toSequence: fromSequence - 1 })
      if (piece.toSequence > toSequence) pieces.push({ fromSequence: toSequence + 1, toSequence: piece.toSequence })
      return pieces
    })
  return left
}

function merge(ranges: readonly SequenceRange[]): SequenceRange[] {
  const merged: { fromSequence: number; toSequence: number }[] = []
  for (const { fromSequence, toSequence } of [...ranges].sort((a, b) => a.fromSequence - b.fromSequence)) {
    const last = merged[merged.length - 1]
    if (last && fromSequence <= last.toSequence + 1) last.toSequence = Math.max(last.toSequence, toSequence)
    else merged.push({ fromSequence, toSequence })
  }
  return merged
}
