/** One block of windows. Each statistic is a column like those of samples, so it takes the smallest form that gives it back. */
import type { FieldColumn } from './batch.ts'
import { COLUMN, emptyHead, readColumns, readHeadField, writeHead } from './block-head.ts'
import { type Budget, decodeColumn, encodeColumn } from './column-codec.ts'
import { malformed } from './decode-error.ts'
import { NAME_BYTES_MAX } from './limits.ts'
import type { RollupBlock, RollupColumn } from './rollup.ts'
import { decodeTimes } from './times-codec.ts'
import {
  LENGTH,
  type Reader,
  readEnd,
  readFields,
  readName,
  readSafeInteger,
  VARINT,
  type Writer,
  writeMessage,
  writeText,
  writeUnsigned,
} from './wire.ts'

/** Numbers on the wire of a column's statistics. */
const COUNTS = 2
const LAST_OFFSETS = 3
const LASTS = 4
const SUMS = 5
const SPREADS = 6
const MINIMUMS = 7
const MAXIMUMS = 8
const TRUE_COUNTS = 9

/** @param scratch VARINT_BYTES_MAX bytes a window, for the while of the call */
export function encodeRollup(writer: Writer, block: RollupBlock, scratch: Uint8Array): void {
  writeHead(writer, block, scratch)
  for (const column of block.columns)
    writeMessage(writer, COLUMN, (message) => encodeRollupColumn(message, column, scratch))
  writeUnsigned(writer, 8, block.widthMs)
  writeUnsigned(writer, 9, block.fromSequence)
  writeUnsigned(writer, 10, block.toSequence)
  writeUnsigned(writer, 11, block.stampedByAgent ? 1 : 0)
}

function encodeRollupColumn(writer: Writer, column: RollupColumn, scratch: Uint8Array): void {
  const put = (number: number, statistic: FieldColumn) =>
    writeMessage(writer, number, (message) => encodeColumn(message, statistic, scratch))
  const putNumbers = (number: number, values: Float64Array) =>
    put(number, { field: '', present: null, type: 'number', values })
  writeText(writer, 1, column.field)
  putNumbers(COUNTS, column.counts)
  putNumbers(LAST_OFFSETS, column.lastOffsetsMs)
  if (column.type === 'number') {
    putNumbers(LASTS, column.lasts)
    putNumbers(SUMS, column.sums)
    putNumbers(SPREADS, column.spreads)
    putNumbers(MINIMUMS, column.minimums)
    putNumbers(MAXIMUMS, column.maximums)
  } else if (column.type === 'boolean') {
    put(LASTS, { field: '', present: null, type: 'boolean', values: column.lasts })
    putNumbers(TRUE_COUNTS, column.trueCounts)
  } else put(LASTS, { field: '', present: null, type: 'string', values: column.lasts })
}

/** Decodes the block that begins at the reader's position and ends at `end`. */
export function decodeRollup(reader: Reader, end: number, budget: Budget): RollupBlock {
  const head = emptyHead()
  const block = { widthMs: 0, fromSequence: 0, toSequence: 0 }
  let stamped = 0
  readFields(reader, end, (tag) => {
    if (readHeadField(reader, tag, head)) return true
    switch (tag) {
      case (8 << 3) | VARINT:
        block.widthMs = readSafeInteger(reader, 'the width of a window')
        return true
      case (9 << 3) | VARINT:
        block.fromSequence = readSafeInteger(reader, 'the first sequence of a roll-up')
        return true
      case (10 << 3) | VARINT:
        block.toSequence = readSafeInteger(reader, 'the last sequence of a roll-up')
        return true
      case (11 << 3) | VARINT:
        stamped = reader.uint32()
        return true
      default:
        return false
    }
  })
  const { device, kind, rowCount } = head
  const timesMs = decodeTimes(head.times, rowCount, budget)
  const columns = readColumns(reader, head, (columnEnd) => decodeRollupColumn(reader, columnEnd, rowCount, budget))
  reader.pos = end
  return { device, kind, ...block, ...(stamped === 0 ? {} : { stampedByAgent: true as const }), timesMs, columns }
}

function decodeRollupColumn(reader: Reader, end: number, windowCount: number, budget: Budget): RollupColumn {
  let field = ''
  const statistics: (FieldColumn | undefined)[] = []
  readFields(reader, end, (tag) => {
    const number = tag >>> 3
    if (tag === ((1 << 3) | LENGTH)) field = readName(reader, NAME_BYTES_MAX, 'a field name')
    else if ((tag & 7) === LENGTH && number >= COUNTS && number <= TRUE_COUNTS)
      statistics[number] = decodeColumn(reader, readEnd(reader), windowCount, budget)
    else return false
    return true
  })
  const numbers = (number: number): Float64Array => {
    const statistic = statistics[number]
    if (statistic?.type !== 'number' || statistic.present !== null)
      throw malformed(`a roll-up of "${field}" lacks numbers for its statistic ${number}`)
    return statistic.values
  }
  const lasts = statistics[LASTS]
  if (lasts === undefined || lasts.present !== null) throw malformed(`a roll-up of "${field}" lacks its last values`)
  const common = { field, counts: numbers(COUNTS), lastOffsetsMs: numbers(LAST_OFFSETS) }
  if (lasts.type === 'string') return { ...common, type: 'string', lasts: lasts.values }
  if (lasts.type === 'boolean')
    return { ...common, type: 'boolean', lasts: lasts.values, trueCounts: numbers(TRUE_COUNTS) }
  return {
    ...common,
    type: 'number',
    lasts: lasts.values,
    sums: numbers(SUMS),
    spreads: numbers(SPREADS),
    minimums: numbers(MINIMUMS),
    maximums: numbers(MAXIMUMS),
  }
}
