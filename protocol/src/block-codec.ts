/** One block: the samples of one device and kind. */
import type { DeviceBlock, FieldColumn } from './batch.ts'
import { type Budget, decodeColumn, encodeColumn } from './column-codec.ts'
import { malformed, tooLarge } from './decode-error.ts'
import { BLOCK_FIELDS_MAX, NAME_BYTES_MAX } from './limits.ts'
import { decodeTimeSteps, encodeTimeSteps } from './time-steps.ts'
import { EMPTY_SPAN } from './varints.ts'
import {
  FIXED64,
  LENGTH,
  type Reader,
  readBytes,
  readEnd,
  readFields,
  readSpan,
  readText,
  VARINT,
  type Writer,
  writeBytes,
  writeDouble,
  writeMessage,
  writeSpan,
  writeText,
  writeUnsigned,
} from './wire.ts'

/** @param scratch VARINT_BYTES_MAX bytes a sample, for the while of the call */
export function encodeBlock(writer: Writer, block: DeviceBlock, scratch: Uint8Array): void {
  const { timesMs } = block
  writeText(writer, 1, block.device)
  writeText(writer, 2, block.kind)
  writeUnsigned(writer, 3, timesMs.length)
  const steps = encodeTimeSteps(timesMs, scratch)
  if (steps) {
    writeDouble(writer, 4, timesMs[0] ?? 0)
    if (steps.end > steps.start) writeSpan(writer, 5, steps)
  } else writeBytes(writer, 6, new Uint8Array(timesMs.buffer, timesMs.byteOffset, timesMs.byteLength))
  for (const column of block.columns) writeMessage(writer, 7, (message) => encodeColumn(message, column, scratch))
}

/** Decodes the block that begins at the reader's position and ends at `end`. */
export function decodeBlock(reader: Reader, end: number, budget: Budget): DeviceBlock {
  let device = ''
  let kind = ''
  let sampleCount = 0
  let firstTimeMs = 0
  let steps = EMPTY_SPAN
  let doubles: Uint8Array | undefined
  const columnEnds: number[] = []
  const columnStarts: number[] = []
  readFields(reader, end, (tag) => {
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
      case (4 << 3) | FIXED64:
        firstTimeMs = reader.double()
        return true
      case (5 << 3) | LENGTH:
        steps = readSpan(reader)
        return true
      case (6 << 3) | LENGTH:
        doubles = readBytes(reader)
        return true
      case (7 << 3) | LENGTH:
        if (columnEnds.length >= BLOCK_FIELDS_MAX) throw tooLarge(`a block has more than ${BLOCK_FIELDS_MAX} columns`)
        columnEnds.push(readEnd(reader))
        columnStarts.push(reader.pos)
        reader.pos = columnEnds.at(-1) as number
        return true
      default:
        return false
    }
  })
  budget.samples -= sampleCount
  if (budget.samples < 0) throw tooLarge('the batch has more samples than are allowed')
  // Before room is taken: each sample but the first has a step of at least one byte.
  if (!doubles && sampleCount - 1 > steps.end - steps.start)
    throw malformed(`${steps.end - steps.start} bytes of time steps for ${sampleCount} samples`)
  const timesMs = doubles
    ? decodeDoubleTimes(doubles, sampleCount)
    : decodeTimeSteps(firstTimeMs, steps, budget.numbers.take(sampleCount))
  const columns: FieldColumn[] = columnEnds.map((columnEnd, i) => {
    reader.pos = columnStarts[i] as number
    return decodeColumn(reader, columnEnd, sampleCount, budget)
  })
  reader.pos = end
  return { device, kind, timesMs, columns }
}

function decodeDoubleTimes(bytes: Uint8Array, count: number): Float64Array {
  if (bytes.length !== count * 8) throw malformed(`${bytes.length} bytes where ${count} times were announced`)
  const timesMs = new Float64Array(count)
  new Uint8Array(timesMs.buffer).set(bytes)
  return timesMs
}
