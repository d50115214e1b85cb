/** What blocks of samples and blocks of windows have in common on the wire: device, kind, number of rows, times, and where the columns lie. */
import { tooLarge } from './decode-error.ts'
import { BLOCK_FIELDS_MAX, NAME_BYTES_MAX } from './limits.ts'
import { encodeTimes, readTimesField, type TimesFields } from './times-codec.ts'
import {
  LENGTH,
  type Reader,
  readEnd,
  readName,
  readText,
  VARINT,
  type Writer,
  writeText,
  writeUnsigned,
} from './wire.ts'

/** Number on the wire of a column, in both. */
export const COLUMN = 7

export interface BlockHead {
  device: string
  kind: string
  /** Samples, or windows. */
  rowCount: number
  readonly times: TimesFields
  readonly columns: { readonly start: number; readonly end: number }[]
}

export const emptyHead = (): BlockHead => ({ device: '', kind: '', rowCount: 0, times: {}, columns: [] })

/** @param scratch VARINT_BYTES_MAX bytes a row, for the while of the call */
export function writeHead(
  writer: Writer,
  { device, kind, timesMs }: { device: string; kind: string; timesMs: Float64Array },
  scratch: Uint8Array,
): void {
  writeText(writer, 1, device)
  writeText(writer, 2, kind)
  writeUnsigned(writer, 3, timesMs.length)
  encodeTimes(writer, timesMs, scratch)
}

/** @returns whether the field is one of the head's; columns are passed over, since they need the number of rows */
export function readHeadField(reader: Reader, tag: number, head: BlockHead): boolean {
  if (readTimesField(reader, tag, head.times)) return true
  switch (tag) {
    case (1 << 3) | LENGTH:
      head.device = readText(reader, NAME_BYTES_MAX, 'a device name')
      return true
    case (2 << 3) | LENGTH:
      head.kind = readName(reader, NAME_BYTES_MAX, 'a kind')
      return true
    case (3 << 3) | VARINT:
      head.rowCount = reader.uint32()
      return true
    case (COLUMN << 3) | LENGTH: {
      if (head.columns.length >= BLOCK_FIELDS_MAX) throw tooLarge(`a block has more than ${BLOCK_FIELDS_MAX} columns`)
      const end = readEnd(reader)
      head.columns.push({ start: reader.pos, end })
      reader.pos = end
      return true
    }
    default:
      return false
  }
}

/** Decodes the columns that were passed over. Moves the reader. */
export function readColumns<Column>(reader: Reader, head: BlockHead, decode: (end: number) => Column): Column[] {
  return head.columns.map(({ start, end }) => {
    reader.pos = start
    return decode(end)
  })
}
