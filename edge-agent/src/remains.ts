/**
 * What is left of records that are given up, collected one record at a time: windows, what is kept to the last, tombstones.
 *
 * Guarantee: each record that goes is named by exactly one tombstone, with its readings; tombstones inside it are carried on. Each step
 * makes it coarser: samples → windows of 10 s → of a minute → nothing. Kinds that are kept to the last, and dead letters, are carried on
 * as they are at their first step. What may have left is never rolled up; only a tombstone is left of it.
 */
import {
  BATCH_READINGS_MAX,
  type Batch,
  type BatchHeader,
  countReadings,
  type DeviceBlock,
  decodeBatch,
  decodeHeader,
  type EdgeDeadLetter,
  type RollupBlock,
  type Tombstone,
} from '@tributary/protocol'
import type { SpoolRecord } from '@tributary/spool'
import { carryLetter, joinLetters } from './carried-letters.ts'
import { joinBlocks } from './join-blocks.ts'
import { createRollups, type Rollups } from './rollup.ts'
import { type GivenUp, isGivenUp, joinTombstones } from './tombstones.ts'

/**
 * How much has to go. 0: one step coarser. 1: samples to windows of a minute at once. 2: all but what is kept to the last.
 * 3: everything but tombstones.
 */
export type Severity = 0 | 1 | 2 | 3
export const SEVERITY_MAX = 3

const SECONDS_MS = 10_000
const MINUTE_MS = 60_000
/** Well below the protocol's limits, so that one more record always fits. */
const SLOTS_MAX = 60_000
const READINGS_MAX = BATCH_READINGS_MAX / 2
const BYTES_MAX = 512 * 1024
const TOMBSTONES_MAX = 800

export type RecordContent = Omit<Batch, 'header'>

export interface RemainsOptions {
  readonly epoch: string
  readonly bootId: string
  readonly severity: Severity
  /** Kinds that go last. */
  readonly keepLast: ReadonlySet<string>
  readonly mayHaveLeft: (sequence: number) => boolean
  /** The receiver has it for certain. */
  readonly wasSent: (sequence: number) => boolean
  /** With the times as far as they are known today. */
  readonly corrected: (batch: Batch) => Batch
}

export interface Remains {
  /** No more should be added. */
  readonly isFull: boolean
  add(record: SpoolRecord): void
  finish(): RecordContent
}

interface Range {
  fromSequence: number
  toSequence: number
}

export function createRemains(options: RemainsOptions): Remains {
  const { epoch, bootId, severity, keepLast, mayHaveLeft, wasSent, corrected } = options
  const seconds = createRanges(SECONDS_MS)
  const minutes = createRanges(MINUTE_MS)
  const carried: DeviceBlock[] = []
  const letters: EdgeDeadLetter[] = []
  const carriedLetters: EdgeDeadLetter[] = []
  const tombstones: Tombstone[] = []
  let bytes = 0
  let slots = 0
  /** Carried on as they are. */
  let readings = 0
  const reasonOfSamples: GivenUp = (['rolled_up_10s', 'rolled_up_1m', 'shed', 'shed'] as const)[severity]

  const bury = ({ epoch: of, sequence, readingCount }: BatchHeader, reason: GivenUp) =>
    tombstones.push({ epoch: of, fromSequence: sequence, toSequence: sequence, readingCount, reason })
  const carryTombstones = (batch: Batch, isRolledUp: boolean) => {
    for (const stone of batch.tombstones) {
      const coarser = isRolledUp && severity < 2 && stone.reason === 'rolled_up_10s' ? 'rolled_up_1m' : 'shed'
      tombstones.push(isGivenUp(stone.reason) ? { ...stone, reason: coarser } : stone)
    }
  }
  const rollUp = (block: DeviceBlock, sequence: number) =>
    (severity === 0 ? seconds : minutes).for({ fromSequence: sequence, toSequence: sequence }).addSamples(block)

  const give = (batch: Batch) => {
    const { header } = batch
    const { sequence } = header
    const isOwn = batch.rollups.length > 0 || batch.tombstones.some(({ reason }) => isGivenUp(reason))
    const isUntrusted = header.clockQuality === 'untrusted'
    for (const block of batch.blocks) {
      // Where the time was never learned, no window can be told.
      const isLost = isUntrusted && block.stampedByAgent && header.bootId !== bootId
      const dated = isUntrusted ? block : withoutStamp(block)
      if (severity === 3 || isLost) continue
      if (keepLast.has(block.kind) && !isOwn) {
        carried.push(dated)
        readings += countReadings([block])
        slots += block.timesMs.length * block.columns.length
        bytes += bytesOf(block)
      } else if (severity < 2 || keepLast.has(block.kind)) rollUp(dated, sequence)
    }
    for (const block of batch.rollups) {
      const isLast = keepLast.has(block.kind) && severity < 3
      if (block.widthMs < MINUTE_MS && (severity < 2 || isLast)) minutes.for(block).addWindows(block)
    }
    carryTombstones(batch, true)
    if (severity < 3)
      for (const letter of batch.deadLetters) {
        if (letter.reason === 'spool_full') continue
        if (isOwn) carriedLetters.push(letter)
        else {
          letters.push(carryLetter(letter))
          bytes += letter.original.length + 400
        }
      }
    bury(header, reasonOfSamples)
  }

  return {
    get isFull() {
      return (
        tombstones.length + carriedLetters.length > TOMBSTONES_MAX ||
        letters.length > TOMBSTONES_MAX ||
        readings > READINGS_MAX ||
        slots + seconds.slots + minutes.slots > SLOTS_MAX ||
        bytes + seconds.bytes + minutes.bytes > BYTES_MAX
      )
    },
    add({ sequence, payload }) {
      if (wasSent(sequence)) return
      let header: BatchHeader
      try {
        header = decodeHeader(payload)
      } catch {
        // The totals of its neighbours tell the processor what was in it.
        tombstones.push({ epoch, fromSequence: sequence, toSequence: sequence, readingCount: 0, reason: 'shed' })
        return
      }
      try {
        const batch = decodeBatch(payload)
        if (header.epoch === epoch && !mayHaveLeft(sequence)) give(corrected(batch))
        else {
          carryTombstones(batch, false)
          bury(header, 'shed')
        }
      } catch {
        bury(header, 'shed')
      }
    },
    finish: () => ({
      blocks: joinBlocks(carried),
      deadLetters: [...letters, ...joinLetters(carriedLetters)],
      tombstones: joinTombstones(tombstones),
      rollups: [...seconds.finish(), ...minutes.finish()],
    }),
  }
}

/** Windows, apart for each run of sequences: between two runs there may be one that has left. */
function createRanges(widthMs: number) {
  const finished: RollupBlock[] = []
  let range: Range | undefined
  let rollups: Rollups = createRollups(widthMs)
  const flush = () => {
    if (range) finished.push(...rollups.finish(range))
    range = undefined
    rollups = createRollups(widthMs)
  }
  return {
    get slots() {
      return rollups.slots
    },
    get bytes() {
      return rollups.bytes + finished.length * 200
    },
    for({ fromSequence, toSequence }: Range): Rollups {
      if (range && (fromSequence > range.toSequence + 1 || fromSequence < range.fromSequence)) flush()
      range ??= { fromSequence, toSequence }
      range.toSequence = Math.max(range.toSequence, toSequence)
      return rollups
    },
    finish(): RollupBlock[] {
      flush()
      return finished
    },
  }
}

function withoutStamp(block: DeviceBlock): DeviceBlock {
  if (!block.stampedByAgent) return block
  const { stampedByAgent: _, ...rest } = block
  return rest
}

const bytesOf = ({ timesMs, columns }: DeviceBlock): number =>
  columns.reduce(
    (sum, { type, values }) =>
      sum + (type === 'string' ? values.reduce((bytes, text) => bytes + text.length * 3 + 2, 0) : values.length * 9),
    150 + timesMs.length * 8,
  )
