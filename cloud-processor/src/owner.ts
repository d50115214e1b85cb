/**
 * Who works on a partition: its name, where it runs, and since when.
 *
 * Whoever claims a partition last has it. Of two that start at the same moment each may be the last one in some partition, and
 * both would end; so one that was overtaken by its elder takes the partition back.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Clock } from '@tributary/runtime'
import { TakenOverError } from './checkpoint.ts'

/** Two that start within this time start at the same moment. */
const YOUNG_MS_MAX = 60_000

/** Differs between any two runs. */
export const createOwner = (processor: string, clock: Clock): string =>
  `${processor} (${hostname()}, since ${new Date(clock.wallMs()).toISOString()}, ${randomBytes(4).toString('hex')})`

/** Times of ISO 8601 are ordered as texts; at the same millisecond chance decides, for both alike. */
const beginOf = (owner: string): string | undefined => /since (\S+, [0-9a-f]+)\)$/.exec(owner)?.[1]

/** @param ageMs for how long the owner has been at work */
export function mayTakeBack(error: unknown, owner: string, ageMs: number): error is TakenOverError {
  if (!(error instanceof TakenOverError) || ageMs > YOUNG_MS_MAX) return false
  const [theirs, ours] = [beginOf(error.by), beginOf(owner)]
  return theirs !== undefined && ours !== undefined && theirs < ours
}
