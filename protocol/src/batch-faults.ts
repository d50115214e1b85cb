/** What a batch may not be. The encoder asks before it writes, the decoder of what it read: what one accepts, the other does too. */
import { isName, NAME_RULE } from './addresses.ts'
import type { Batch, BatchHeader, DeviceBlock, EdgeDeadLetter, FieldColumn, Tombstone } from './batch.ts'
import { countSet } from './bitmap.ts'
import {
  BATCH_BLOCKS_MAX,
  BATCH_DEVICES_MAX,
  BATCH_READINGS_MAX,
  BATCH_SAMPLES_MAX,
  BATCH_SLOTS_MAX,
  BLOCK_FIELDS_MAX,
  DEAD_LETTER_ORIGINAL_BYTES_MAX,
  DEAD_LETTERS_PER_BATCH_MAX,
  NAME_BYTES_MAX,
  ROLLUPS_PER_BATCH_MAX,
  STRING_VALUE_BYTES_MAX,
  TOMBSTONES_PER_BATCH_MAX,
} from './limits.ts'
import type { RollupBlock } from './rollup.ts'
import { rollupFault, rollupSlots } from './rollup-faults.ts'
import { epochFault, isCount, isCount32, isTime, nameFault, textFault, timeFault } from './value-faults.ts'

export interface BatchFault {
  /** A limit is broken; else the batch contradicts itself. */
  readonly tooLarge: boolean
  readonly detail: string
}

/** Readings of blocks; of a whole batch those of its dead letters too: what the header's `readingCount` must say. */
export function countReadings(counted: readonly DeviceBlock[] | Pick<Batch, 'blocks' | 'deadLetters'>): number {
  if ('blocks' in counted)
    return counted.deadLetters.reduce((sum, letter) => sum + letter.readingCount, countReadings(counted.blocks))
  let count = 0
  for (const block of counted)
    for (const column of block.columns)
      count += column.present === null ? block.timesMs.length : countSet(column.present)
  return count
}

/** What the header's `sampleCount` must say. */
export const countSamples = (blocks: readonly DeviceBlock[]): number =>
  blocks.reduce((sum, block) => sum + block.timesMs.length, 0)

/** @returns undefined when there is nothing wrong with the batch */
export function faultOf(batch: Batch): BatchFault | undefined {
  return sizeFault(batch) ?? contradiction(batch)
}

function sizeFault({ blocks, deadLetters, tombstones, rollups }: Batch): BatchFault | undefined {
  const beyond = (what: string, found: number, allowed: number): BatchFault | undefined =>
    found > allowed ? { tooLarge: true, detail: `${found} ${what}; ${allowed} are allowed` } : undefined
  let slots = 0
  for (const { timesMs, columns } of blocks) slots += Math.max(1, timesMs.length) * columns.length
  for (const block of rollups) slots += rollupSlots(block)
  const windows = rollups.reduce((sum, { timesMs }) => sum + timesMs.length, 0)
  return (
    beyond('blocks', blocks.length, BATCH_BLOCKS_MAX) ??
    beyond('devices', new Set(blocks.map((block) => block.device)).size, BATCH_DEVICES_MAX) ??
    beyond('samples and windows', countSamples(blocks) + windows, BATCH_SAMPLES_MAX) ??
    beyond('roll-ups', rollups.length, ROLLUPS_PER_BATCH_MAX) ??
    beyond(
      'columns in a block',
      longest<DeviceBlock | RollupBlock>([...blocks, ...rollups], (block) => block.columns.length),
      BLOCK_FIELDS_MAX,
    ) ??
    beyond('slots (samples × columns, windows × statistics)', slots, BATCH_SLOTS_MAX) ??
    beyond('readings', countReadings(blocks), BATCH_READINGS_MAX) ??
    beyond('dead letters', deadLetters.length, DEAD_LETTERS_PER_BATCH_MAX) ??
    beyond(
      'bytes in the original of a dead letter',
      longest(deadLetters, (letter) => letter.original.length),
      DEAD_LETTER_ORIGINAL_BYTES_MAX,
    ) ??
    beyond('tombstones', tombstones.length, TOMBSTONES_PER_BATCH_MAX)
  )
}

const longest = <T>(items: readonly T[], length: (item: T) => number): number =>
  items.reduce((most, item) => Math.max(most, length(item)), 0)

function firstFault<T>(items: readonly T[], fault: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = fault(item)
    if (found !== undefined) return found
  }
  return undefined
}

function contradiction(batch: Batch): BatchFault | undefined {
  const { header, blocks, deadLetters, tombstones, rollups } = batch
  const detail =
    headerFault(header) ??
    firstFault(blocks, blockFault) ??
    firstFault(deadLetters, deadLetterFault) ??
    firstFault(tombstones, tombstoneFault) ??
    firstFault(rollups, (block) => rollupFault(block, header.sequence)) ??
    (header.sampleCount === countSamples(blocks)
      ? undefined
      : `the header says ${header.sampleCount} samples, the blocks hold ${countSamples(blocks)}`) ??
    (header.readingCount === countReadings(batch)
      ? undefined
      : `the header says ${header.readingCount} readings, blocks and dead letters hold ${countReadings(batch)}`)
  return detail === undefined ? undefined : { tooLarge: false, detail }
}

/** What is wrong with a header by itself, its counts apart. */
export function headerFault(header: BatchHeader): string | undefined {
  if (!isName(header.agent)) return `"${header.agent}" is no name for an agent: ${NAME_RULE}`
  if (!isCount(header.sequence) || header.sequence === 0) return `the sequence is ${header.sequence}`
  for (const name of ['readingsTotal', 'backlogBatches', 'backlogBytes'] as const)
    if (!isCount(header[name])) return `${name} is ${header[name]}`
  if (!(header.drainSeconds >= 0 && header.drainSeconds < Number.POSITIVE_INFINITY))
    return `drainSeconds is ${header.drainSeconds}`
  if (!(header.monotonicMs >= 0 && header.monotonicMs < Number.POSITIVE_INFINITY))
    return `monotonicMs is ${header.monotonicMs}`
  return (
    epochFault(header.epoch) ??
    timeFault('created at', header.createdAtMs) ??
    timeFault('complete through', header.completeThroughMs) ??
    textFault('the boot id', header.bootId, NAME_BYTES_MAX)
  )
}

function deadLetterFault(letter: EdgeDeadLetter): string | undefined {
  if (!isCount32(letter.readingCount)) return `a dead letter of ${letter.readingCount} readings`
  if (!isCount32(letter.originalBytes) || letter.originalBytes < letter.original.length)
    return `a dead letter keeps ${letter.original.length} bytes of ${letter.originalBytes}`
  return (
    textFault('the input of a dead letter', letter.input, NAME_BYTES_MAX) ??
    textFault('the device of a dead letter', letter.device, NAME_BYTES_MAX) ??
    textFault('the reason of a dead letter', letter.reason, NAME_BYTES_MAX) ??
    textFault('the detail of a dead letter', letter.detail, STRING_VALUE_BYTES_MAX) ??
    timeFault('a dead letter received at', letter.receivedAtMs)
  )
}

function tombstoneFault(stone: Tombstone): string | undefined {
  if (!isCount(stone.readingCount)) return `a tombstone of ${stone.readingCount} readings`
  if (!isCount(stone.fromSequence) || !isCount(stone.toSequence) || stone.fromSequence > stone.toSequence)
    return `a tombstone from sequence ${stone.fromSequence} to ${stone.toSequence}`
  return epochFault(stone.epoch) ?? textFault('the reason of a tombstone', stone.reason, NAME_BYTES_MAX)
}

function blockFault({ device, kind, timesMs, columns }: DeviceBlock): string | undefined {
  const named = nameFault('a device', device) ?? nameFault('a kind', kind)
  if (named) return named
  for (let i = 0; i < timesMs.length; i++)
    if (!isTime(timesMs[i] as number)) return timeFault(`a sample of ${device} measured at`, timesMs[i] as number)
  const fields = new Set<string>()
  for (const column of columns) {
    const { field, present, values } = column
    const fault = nameFault('a field', field)
    if (fault) return fault
    if (values.length !== timesMs.length)
      return `${device} ${field}: ${values.length} values for ${timesMs.length} samples`
    if (present && present.length !== timesMs.length)
      return `${device} ${field}: ${present.length} presence flags for ${timesMs.length} samples`
    if (
      fields.has(field) &&
      columns.some((other) => other !== column && other.field === field && overlap(other, column))
    )
      return `${device} ${field}: two columns have a value for the same sample, or the same type`
    fields.add(field)
  }
  return undefined
}

function overlap(one: FieldColumn, other: FieldColumn): boolean {
  if (one.type === other.type || one.present === null || other.present === null) return true
  const { present } = other
  return one.present.some((flag, i) => flag !== 0 && present[i] !== 0)
}
