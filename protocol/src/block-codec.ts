/** One block: the samples of one device and kind. */
import type { DeviceBlock } from './batch.ts'
import { COLUMN, emptyHead, readColumns, readHeadField, writeHead } from './block-head.ts'
import { type Budget, decodeColumn, encodeColumn } from './column-codec.ts'
import { decodeTimes } from './times-codec.ts'
import { type Reader, readFields, VARINT, type Writer, writeMessage, writeUnsigned } from './wire.ts'

/** @param scratch VARINT_BYTES_MAX bytes a sample, for the while of the call */
export function encodeBlock(writer: Writer, block: DeviceBlock, scratch: Uint8Array): void {
  writeHead(writer, block, scratch)
  for (const column of block.columns) writeMessage(writer, COLUMN, (message) => encodeColumn(message, column, scratch))
  writeUnsigned(writer, 8, block.stampedByAgent ? 1 : 0)
}

/** Decodes the block that begins at the reader's position and ends at `end`. */
export function decodeBlock(reader: Reader, end: number, budget: Budget): DeviceBlock {
  const head = emptyHead()
  let stamped = 0
  readFields(reader, end, (tag) => {
    if (readHeadField(reader, tag, head)) return true
    if (tag !== ((8 << 3) | VARINT)) return false
    stamped = reader.uint32()
    return true
  })
  const { device, kind, rowCount } = head
  const timesMs = decodeTimes(head.times, rowCount, budget)
  const columns = readColumns(reader, head, (columnEnd) => decodeColumn(reader, columnEnd, rowCount, budget))
  reader.pos = end
  return { device, kind, timesMs, columns, ...(stamped === 0 ? {} : { stampedByAgent: true as const }) }
}
