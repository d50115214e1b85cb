/** What a batch may not be. The encoder asks before it writes, the decoder of what it read: what one accepts, the other does too. */
import { isName, NAME_RULE } from './addresses.ts'
import type { Batch, DeviceBlock, FieldColumn } from './batch.ts'
import { countSet } from './bitmap.ts'
import {
  BATCH_BLOCKS_MAX,
  BATCH_DEVICES_MAX,
  BATCH_READINGS_MAX,
  BATCH_SLOTS_MAX,
  BLOCK_FIELDS_MAX,
  BLOCK_SAMPLES_MAX,
  DEAD_LETTER_ORIGINAL_BYTES_MAX,
  DEAD_LETTERS_PER_BATCH_MAX,
  NAME_BYTES_MAX,
  STRING_VALUE_BYTES_MAX,
  TOMBSTONES_PER_BATCH_MAX,
} from './limits.ts'

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

function sizeFault({ blocks, deadLetters, tombstones }: Batch): BatchFault | undefined {
  let slots = 0
  const limits: [string, number, number][] = [
    ['blocks', blocks.length, BATCH_BLOCKS_MAX],
    ['devices', new Set(blocks.map((block) => block.device)).size, BATCH_DEVICES_MAX],
    ['dead letters', deadLetters.length, DEAD_LETTERS_PER_BATCH_MAX],
    ['tombstones', tombstones.length, TOMBSTONES_PER_BATCH_MAX],
  ]
  for (const block of blocks) {
    limits.push([`samples of ${block.device}`, block.timesMs.length, BLOCK_SAMPLES_MAX])
    limits.push([`fields of ${block.device}`, block.columns.length, BLOCK_FIELDS_MAX])
    slots += block.timesMs.length * block.columns.length
  }
  limits.push(['slots (samples × columns)', slots, BATCH_SLOTS_MAX])
  limits.push(['readings', countReadings(blocks), BATCH_READINGS_MAX])
  for (const letter of deadLetters)
    limits.push(['bytes in the original of a dead letter', letter.original.length, DEAD_LETTER_ORIGINAL_BYTES_MAX])
  const broken = limits.find(([, found, allowed]) => found > allowed)
  return broken && { tooLarge: true, detail: `${broken[1]} ${broken[0]}; ${broken[2]} are allowed` }
}

function contradiction(batch: Batch): BatchFault | undefined {
  const { header, blocks, deadLetters, tombstones } = batch
  const found = function* (): Generator<string | undefined> {
    if (!isName(header.agent)) yield `"${header.agent}" is no name for an agent: ${NAME_RULE}`
    yield epochFault(header.epoch)
    if (!isCount(header.sequence) || header.sequence === 0) yield `the sequence is ${header.sequence}`
    yield timeFault('created at', header.createdAtMs)
    yield timeFault('complete through', header.completeThroughMs)
    yield textFault('the boot id', header.bootId, NAME_BYTES_MAX)
    for (const name of ['readingsTotal', 'backlogBatches', 'backlogBytes'] as const)
      if (!isCount(header[name])) yield `${name} is ${header[name]}`
    if (!(header.drainSeconds >= 0 && header.drainSeconds < Number.POSITIVE_INFINITY))
      yield `drainSeconds is ${header.drainSeconds}`
    for (const block of blocks) yield blockFault(block)
    for (const letter of deadLetters) {
      yield textFault('the input of a dead letter', letter.input, NAME_BYTES_MAX)
      yield textFault('the device of a dead letter', letter.device, NAME_BYTES_MAX)
      yield textFault('the reason of a dead letter', letter.reason, NAME_BYTES_MAX)
      yield textFault('the detail of a dead letter', letter.detail, STRING_VALUE_BYTES_MAX)
      yield timeFault('a dead letter received at', letter.receivedAtMs)
      if (!isCount32(letter.readingCount)) yield `a dead letter of ${letter.readingCount} readings`
      if (!isCount32(letter.originalBytes) || letter.originalBytes < letter.original.length)
        yield `a dead letter keeps ${letter.original.length} bytes of ${letter.originalBytes}`
    }
    for (const stone of tombstones) {
      yield epochFault(stone.epoch)
      yield textFault('the reason of a tombstone', stone.reason, NAME_BYTES_MAX)
      if (!isCount(stone.readingCount)) yield `a tombstone of ${stone.readingCount} readings`
      if (!isCount(stone.fromSequence) || !isCount(stone.toSequence) || !(stone.fromSequence <= stone.toSequence))
        yield `a tombstone from sequence ${stone.fromSequence} to ${stone.toSequence}`
    }
    if (header.sampleCount !== countSamples(blocks))
      yield `the header says ${header.sampleCount} samples, the blocks hold ${countSamples(blocks)}`
    if (header.readingCount !== countReadings(batch))
      yield `the header says ${header.readingCount} readings, blocks and dead letters hold ${countReadings(batch)}`
  }
  for (const detail of found()) if (detail !== undefined) return { tooLarge: false, detail }
  return undefined
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
const isCount32 = (value: number): boolean => isCount(value) && value <= 0xffffffff

/** What a Date can hold: beyond it, formatting a time throws. */
const TIME_MS_MAX = 8.64e15
const timeFault = (what: string, timeMs: number): string | undefined =>
  Math.abs(timeMs) <= TIME_MS_MAX ? undefined : `${what} ${timeMs} ms, which is no time`

const epochFault = (epoch: string): string | undefined =>
  /^[0-9a-f]{16}$/.test(epoch) ? undefined : `"${epoch}" is no epoch: 16 lower-case hexadecimal digits`

function textFault(what: string, text: string, bytesMax: number): string | undefined {
  if (text.length * 3 <= bytesMax) return undefined
  const bytes = Buffer.byteLength(text)
  return bytes <= bytesMax ? undefined : `${what} has ${bytes} bytes; ${bytesMax} are allowed`
}

// Names of devices, kinds and fields come from devices; the contract judges them. Here only what would break a wire or a screen.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/

function nameFault(what: string, name: string): string | undefined {
  if (name === '') return `${what} without a name`
  if (CONTROL_CHARACTER.test(name)) return `${what} named ${JSON.stringify(name)}, with a control character`
  return textFault(`the name of ${what}`, name, NAME_BYTES_MAX)
}

function blockFault({ device, kind, timesMs, columns }: DeviceBlock): string | undefined {
  const named = nameFault('a device', device) ?? nameFault('a kind', kind)
  if (named) return named
  const noTime = timesMs.findIndex((timeMs) => !(Math.abs(timeMs) <= TIME_MS_MAX))
  if (noTime >= 0) return timeFault(`a sample of ${device} measured at`, timesMs[noTime] as number)
  const byField = new Map<string, FieldColumn[]>()
  for (const column of columns) {
    const fault = nameFault('a field', column.field)
    if (fault) return fault
    for (const [what, length] of [
      ['values', column.values.length],
      ['presence flags', column.present?.length ?? timesMs.length],
    ] as const)
      if (length !== timesMs.length) return `${device} ${column.field}: ${length} ${what} for ${timesMs.length} samples`
    const siblings = byField.get(column.field)
    if (!siblings) byField.set(column.field, [column])
    else {
      if (siblings.some((sibling) => overlap(sibling, column)))
        return `${device} ${column.field}: two columns have a value for the same sample, or the same type`
      siblings.push(column)
    }
  }
  return undefined
}

function overlap(one: FieldColumn, other: FieldColumn): boolean {
  if (one.type === other.type || one.present === null || other.present === null) return true
  const { present } = other
  return one.present.some((flag, i) => flag !== 0 && present[i] !== 0)
}
