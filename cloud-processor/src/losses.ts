/**
 * What tombstones told of one epoch, by reason: how many readings will never come, and which sequences they were in. Bounded:
 * further ranges and reasons are counted without being named.
 */

export const LOSS_REASONS_MAX = 16
export const LOSS_RANGES_MAX = 64
/** Counts what comes after `LOSS_REASONS_MAX` others. */
export const OTHER_REASON = 'other'

export interface LostRange {
  readonly fromSequence: number
  toSequence: number
  readings: number
}

export interface Loss {
  readings: number
  batches: number
  /** Ascending as they were told; neighbours are joined. */
  readonly ranges: LostRange[]
  /** Batches that no range names. */
  unnamedBatches: number
}

export type Losses = Map<string, Loss>

export function noteLoss(losses: Losses, reason: string, from: number, to: number, readings: number): void {
  const loss = lossOf(losses, reason)
  const batches = to - from + 1
  loss.readings += readings
  loss.batches += batches
  const last = loss.ranges.at(-1)
  if (last !== undefined && last.toSequence + 1 === from) {
    last.toSequence = to
    last.readings += readings
  } else if (loss.ranges.length < LOSS_RANGES_MAX) loss.ranges.push({ fromSequence: from, toSequence: to, readings })
  else loss.unnamedBatches += batches
}

/** Readings of which no more is known than their number. */
export function noteUnnamed(losses: Losses, reason: string, readings: number): void {
  lossOf(losses, reason).readings += readings
}

/** The count of a tombstone was an estimate; the batches beside it say by how much it was wrong. */
export function correctLoss(losses: Losses, reason: string, sequence: number, readings: number): void {
  const loss = lossOf(losses, reason)
  loss.readings += readings
  const range = loss.ranges.find(({ fromSequence, toSequence }) => fromSequence <= sequence && sequence <= toSequence)
  if (range) range.readings += readings
}

/** Readings of those sequences, as far as ranges name them; of a range that begins before or ends after, its share. */
export function lostBetween(losses: Losses, fromSequence: number, toSequence: number): number {
  let lost = 0
  for (const { ranges } of losses.values())
    for (const range of ranges) {
      const inside = Math.min(toSequence, range.toSequence) - Math.max(fromSequence, range.fromSequence) + 1
      const all = range.toSequence - range.fromSequence + 1
      if (inside > 0) lost += Math.round((range.readings * inside) / all)
    }
  return lost
}

export function shedReadings(losses: Losses): number {
  let readings = 0
  for (const loss of losses.values()) readings += loss.readings
  return readings
}

function lossOf(losses: Losses, reason: string): Loss {
  const name = losses.has(reason) || losses.size < LOSS_REASONS_MAX ? reason : OTHER_REASON
  const loss = losses.get(name) ?? { readings: 0, batches: 0, ranges: [], unnamedBatches: 0 }
  losses.set(name, loss)
  return loss
}
