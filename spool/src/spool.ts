import type { Clock, FileSystem, Logger, Metrics } from '@tributary/runtime'

/** One record, as read back. */
export interface SpoolRecord {
  /** 1, 2, 3, … without holes in the epoch. */
  readonly sequence: number
  readonly payload: Uint8Array
}

/** A run of sequences that existed and cannot be read any more, found on opening or reading. */
export interface SpoolLoss {
  readonly fromSequence: number
  readonly toSequence: number
  readonly reason: 'damaged' | 'disk_budget'
}

export interface SpoolOptions {
  readonly segmentBytesMax: number
  /** Appends wait for room beyond this and are refused with `SpoolFullError`. */
  readonly bytesMax: number
  /** Appends within this time share one fsync; 0: each append is synced at once. */
  readonly durabilityMs: number
  /** Keep this much free on the disk: below it appends are refused like beyond `bytesMax`. */
  readonly freeBytesMin: number
}

export interface Spool {
  /** Drawn when the folder was new: 16 lower-case hexadecimal digits. */
  readonly epoch: string
  /** The sequence that the next append will get. Appends get theirs in call order. */
  readonly nextSequence: number
  /** Every sequence up to here has been sent: a prefix. */
  readonly sentThrough: number
  /** Every sequence up to here may be forgotten. */
  readonly trimmedThrough: number
  /** Lowest sequence that can still be read; `nextSequence` when there is none. */
  readonly firstSequence: number
  readonly bytesUsed: number
  /** What opening and reading found to be lost; the owner turns it into tombstones and calls `lossesReported`. */
  readonly losses: readonly SpoolLoss[]
  lossesReported(): void
  /**
   * Guarantee: once it resolves, the record survives a power cut. Resolves in order of the calls.
   * @returns the record's sequence
   * @throws SpoolFullError when there is no room; nothing was written
   */
  append(payload: Uint8Array): Promise<number>
  /** Durable records from a sequence on, at most `bytesMax` bytes of them (at least one); empty when there are none yet. Reading removes nothing. */
  read(fromSequence: number, bytesMax: number): Promise<SpoolRecord[]>
  /** Resolves when a record with this or a higher sequence is durable. */
  waitFor(sequence: number, signal: AbortSignal): Promise<void>
  /** Moves the send cursor; kept on disk lazily: after a crash it may lie further back, and records are sent again. */
  markSent(throughSequence: number): void
  /** Lets go of a prefix; whole segments are removed. Never beyond `sentThrough`. */
  trim(throughSequence: number): Promise<void>
  close(): Promise<void>
}

export class SpoolFullError extends Error {
  override readonly name = 'SpoolFullError'
}

export interface SpoolDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly fileSystem?: FileSystem
}

/** Opens or creates the spool in a folder. It always starts: what is damaged is cut or set aside, and counted. */
export async function openSpool(
  _folder: string,
  _options: SpoolOptions,
  _dependencies: SpoolDependencies,
): Promise<Spool> {
  throw new Error('not written yet')
}
