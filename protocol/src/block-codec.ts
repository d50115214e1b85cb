/** One block: the samples of one device and kind. */
import type { DeviceBlock, FieldColumn } from './batch.ts'
import { type Budget, decodeColumn, encodeColumn } from './column-codec.ts'
import { tooLarge } from './decode-error.ts'
import { BLOCK_FIELDS_MAX, NAME_BYTES_MAX } from './limits.ts'
import { decodeTimes, encodeTimes, readTimesField, type TimesFields } from './times-codec.ts'
import {
  LENGTH,
  type Reader,
  readEnd,
  readFields,
  readText,
  VARINT,
  type Writer,
  writeMessage,
  writeText,
  writeUnsigned,
} from './wire.ts'

/** @param scratch VARINT_BYTES_MAX bytes a sample, for the while of the call */
export function encodeBlock(writer: Writer, block: DeviceBlock, scratch: Uint8Array): void {
  const { timesMs } = block
  writeText(writer, 1, block.device)
  writeText(writer, 2, block.kind)
  writeUnsigned(writer, 3, timesMs.length)
  encodeTimes(writer, timesMs, scratch)
  for (const column of block.columns) writeMessage(writer, 7, (message) => encodeColumn(message, column, scratch))
  writeUnsigned(writer, 8, block.stampedByAgent ? 1 : 0)
}

/** Decodes the block that begins at the reader's position and ends at `end`. */
export function decodeBlock(reader: Reader, end: number, budget: Budget): DeviceBlock {
  let device = ''
  let kind = ''
  let sampleCount = 0
  let stamped = 0
  const times: TimesFields = {}
  const columnEnds: number[] = []
  const columnStarts: number[] = []
  readFields(reader, end, (tag) => {
    if (readTimesField(reader, tag, times)) return true
    switch (tag) {
      case (1 << 3) | LENGTH:
        device = readText(reader, NAME_BYTES_MAX, 'a device name')
        return true
      case (2 << 3) | LENGTH:
        kind = readText(reader, NAME_BYTES_MAX, 'a kind')
        return true
      case (3 << 3) | VARINT:
        sampleCount = reader.uint32()
        return true
      case (7 << 3) | LENGTH:
        if (columnEnds.length >= BLOCK_FIELDS_MAX) throw tooLarge(`a block has more than ${BLOCK_FIELDS_MAX} columns`)
        columnEnds.push(readEnd(reader))
        columnStarts.push(reader.pos)
        reader.pos = columnEnds.at(-1) as number
        return true
      case (8 << 3) | VARINT:
        stamped = reader.uint32()
        return true
      default:
        return false
    }
  })
  const timesMs = decodeTimes(times, sampleCount, budget)
  const columns: FieldColumn[] = columnEnds.map((columnEnd, i) => {
    reader.pos = columnStarts[i] as number
    return decodeColumn(reader, columnEnd, sampleCount, budget)
  })
  reader.pos = end
  return { device, kind, timesMs, columns, ...(stamped === 0 ? {} : { stampedByAgent: true as const }) }
}
