/**
 * A batch: samples of one agent, encoded once at the edge, opaque until the processor, identified by
 * (agent, epoch, sequence). These are the decoded shapes; `batch-codec.ts` turns them to bytes and back.
 */

import type { RollupBlock } from './rollup.ts'

export type Lane = 'live' | 'backlog'

/**
 * How far the times in a batch can be trusted.
 * `trusted`: the clock was set when they were taken. `untrusted`: it was not, and nothing has been corrected.
 * `corrected`: shifted once the clock was set. `estimated`: bounded by neighbours, never to be known exactly.
 */
export type ClockQuality = 'trusted' | 'untrusted' | 'corrected' | 'estimated'

export interface BatchHeader {
  readonly formatVersion: number
  readonly agent: string
  /** Random id that the agent drew when it created its spool: 16 lower-case hexadecimal digits. */
  readonly epoch: string
  /** 1, 2, 3, … in each epoch, without holes. */
  readonly sequence: number
  readonly lane: Lane
  /** Wall clock of the agent, milliseconds since 1970. */
  readonly createdAtMs: number
  /** Everything measured before this time is in this or an earlier sequence of the epoch. */
  readonly completeThroughMs: number
  readonly bootId: string
  readonly clockQuality: ClockQuality
  readonly sampleCount: number
  /** Readings in this batch's blocks and dead letters: what the account counts. */
  readonly readingCount: number
  /** Readings in the epoch up to and including this batch: proves that no batch is missing before it. */
  readonly readingsTotal: number
  /** Batches and bytes that wait in the agent's spool as this batch is sent; rewritten at each send. */
  readonly backlogBatches: number
  readonly backlogBytes: number
  /** Seconds until the backlog is drained at the present pace; 0 when there is none. */
  readonly drainSeconds: number
  /** Monotonic clock at `createdAtMs`, milliseconds since boot; 0 in format version 1, which had none. */
  readonly monotonicMs: number
}

/** A column of a block. `present[i]` is 1 where sample i has the field; `null` means that every sample has it. */
export type FieldColumn = { readonly field: string; readonly present: Uint8Array | null } & (
  | { readonly type: 'number'; readonly values: Float64Array }
  /** 0 or 1. */
  | { readonly type: 'boolean'; readonly values: Uint8Array }
  | { readonly type: 'string'; readonly values: readonly string[] }
)

/**
 * Samples of one device and kind, columnar. Every column's `values` has one slot a sample, also where the field is
 * missing (there 0 or ''). A field whose values changed type has one column a type, with disjoint presence.
 */
export interface DeviceBlock {
  readonly device: string
  readonly kind: string
  /** Event times, milliseconds since 1970, in the order of measurement. */
  readonly timesMs: Float64Array
  readonly columns: readonly FieldColumn[]
  /** The times are those of arrival at the agent, as wrong as its clock may be; else the device told them. */
  readonly stampedByAgent?: true
}

/** What the agent could not read or must not send: travels inside a batch, so that it is accounted for like any reading. */
export interface EdgeDeadLetter {
  /** The input's name in the agent's config. */
  readonly input: string
  /** Device, when it could be told. */
  readonly device: string
  /** A short stable word (`bad_checksum`, `not_json`, `line_too_long`, …). */
  readonly reason: string
  /** A sentence for a person. */
  readonly detail: string
  readonly receivedAtMs: number
  readonly original: Uint8Array
  /** Length of the original before it was cut to the limit. */
  readonly originalBytes: number
  /** Readings known to be lost with it; 0 when nothing can be told (a garbled line). */
  readonly readingCount: number
}

/** Loss on purpose, said aloud: sequences that will never come, and why. */
export interface Tombstone {
  readonly epoch: string
  readonly fromSequence: number
  readonly toSequence: number
  readonly readingCount: number
  /** A short stable word (`rolled_up_10s`, `rolled_up_1m`, `shed`, `damaged`, …). */
  readonly reason: string
}

export interface Batch {
  readonly header: BatchHeader
  readonly blocks: readonly DeviceBlock[]
  readonly deadLetters: readonly EdgeDeadLetter[]
  readonly tombstones: readonly Tombstone[]
  /** What is left of readings that were shed: not counted in the header. */
  readonly rollups: readonly RollupBlock[]
}

/** Header fields that change between two sends of the same batch. */
export type SendFields = Pick<BatchHeader, 'lane' | 'backlogBatches' | 'backlogBytes' | 'drainSeconds'>
