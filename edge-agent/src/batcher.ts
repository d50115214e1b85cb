/**
 * Collects what goes into one batch, columnar by device and kind, and says when no more fits: a batch never breaks a limit of
 * the protocol, and its memory is bounded however the samples are shaped.
 */
import { strict as assert } from 'node:assert'
import {
  BATCH_BLOCKS_MAX,
  BATCH_BYTES_MAX,
  BATCH_DEVICES_MAX,
  BATCH_READINGS_MAX,
  BATCH_SLOTS_MAX,
  BLOCK_FIELDS_MAX,
  BLOCK_SAMPLES_MAX,
  DEAD_LETTER_ORIGINAL_BYTES_MAX,
  DEAD_LETTERS_PER_BATCH_MAX,
  type DeviceBlock,
  type EdgeDeadLetter,
} from '@tributary/protocol'
import { type BlockBuilder, createBlockBuilder } from './block-builder.ts'
import type { Sample } from './sample.ts'

/** Estimated bytes before compression; below the limit of the encoded batch, so that what does not compress fits too. */
const CONTENT_BYTES_MAX = (BATCH_BYTES_MAX * 3) / 4
const BLOCKS_MAX = Math.min(BATCH_BLOCKS_MAX, BATCH_DEVICES_MAX)
assert(DEAD_LETTER_ORIGINAL_BYTES_MAX * 2 <= CONTENT_BYTES_MAX, 'an empty batch takes the largest dead letter')

export interface BatchContent {
  readonly blocks: readonly DeviceBlock[]
  readonly deadLetters: readonly EdgeDeadLetter[]
  readonly sampleCount: number
  /** In blocks and dead letters. */
  readonly readingCount: number
}

export interface Batcher {
  readonly readingCount: number
  readonly isEmpty: boolean
  /** @returns false when the sample does not fit; an empty batcher takes any sample */
  add(sample: Sample, timeMs: number): boolean
  addDeadLetter(letter: EdgeDeadLetter): boolean
  finish(): BatchContent
}

export function createBatcher(): Batcher {
  const builders = new Map<string, BlockBuilder>()
  /** Of the newest sample: the next one mostly has the same. */
  let newest: { readonly device: string; readonly kind: string; readonly isStamped: boolean; key: string } | undefined
  const deadLetters: EdgeDeadLetter[] = []
  let sampleCount = 0
  let readingCount = 0
  let bytes = 0
  let slots = 0

  return {
    get readingCount() {
      return readingCount
    },
    get isEmpty() {
      return sampleCount === 0 && deadLetters.length === 0
    },
    add(sample, timeMs) {
      const isStamped = sample.measuredAtMs === undefined
      if (newest?.device !== sample.device || newest.kind !== sample.kind || newest.isStamped !== isStamped)
        newest = {
          device: sample.device,
          kind: sample.kind,
          isStamped,
          key: `${sample.device} ${sample.kind} ${isStamped}`,
        }
      const { key } = newest
      const known = builders.get(key)
      const newColumns = known ? known.newColumns(sample) : sample.names.length
      const rows = (known?.sampleCount ?? 0) + 1
      const columns = (known?.columnCount ?? 0) + newColumns
      const sampleBytes = bytesOf(sample, newColumns)
      // The samples before have a slot in each new column; this one has a slot in each of all columns.
      const sampleSlots = newColumns * (rows - 1) + columns
      const isFirst = sampleCount === 0 && deadLetters.length === 0
      if (
        !isFirst &&
        (readingCount + sample.names.length > BATCH_READINGS_MAX ||
          bytes + sampleBytes > CONTENT_BYTES_MAX ||
          slots + sampleSlots > BATCH_SLOTS_MAX ||
          rows > BLOCK_SAMPLES_MAX ||
          columns > BLOCK_FIELDS_MAX ||
          (!known && builders.size >= BLOCKS_MAX))
      )
        return false
      const builder = known ?? createBlockBuilder(sample.device, sample.kind, isStamped)
      if (!known) builders.set(key, builder)
      builder.add(sample, timeMs)
      sampleCount++
      readingCount += sample.names.length
      bytes += sampleBytes
      slots += sampleSlots
      return true
    },
    addDeadLetter(letter) {
      const letterBytes = letter.original.length + letter.detail.length * 3 + 200
      if (deadLetters.length >= DEAD_LETTERS_PER_BATCH_MAX || bytes + letterBytes > CONTENT_BYTES_MAX) return false
      deadLetters.push(letter)
      readingCount += letter.readingCount
      bytes += letterBytes
      return true
    },
    finish: () => ({
      blocks: [...builders.values()].map((builder) => builder.finish()),
      deadLetters: [...deadLetters],
      sampleCount,
      readingCount,
    }),
  }
}

/** An upper estimate: 9 bytes a number, 8 a time, what strings take, a bit of presence for each column. */
function bytesOf(sample: Sample, newColumns: number): number {
  let total = 8 + sample.names.length + newColumns * 80
  for (const value of sample.values) total += typeof value === 'string' ? Buffer.byteLength(value) + 3 : 9
  return total
}
