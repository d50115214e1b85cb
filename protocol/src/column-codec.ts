/** One column: a field of a block's samples, in the smallest of the forms that give back every value. */
import { strict as assert } from 'node:assert'
import { endianness } from 'node:os'
import type { FieldColumn } from './batch.ts'
import { countSet, packBits, unpackBits } from './bitmap.ts'
import { type DecimalDeltas, decodeDecimals, encodeDecimals } from './decimal-deltas.ts'
import { malformed, tooLarge } from './decode-error.ts'
import { NAME_BYTES_MAX, STRING_VALUE_BYTES_MAX } from './limits.ts'
import type { NumberRoom } from './number-room.ts'
import { EMPTY_SPAN, putVarint, readVarints, type Span } from './varints.ts'
import {
  FIXED64,
  LENGTH,
  type Reader,
  readBytes,
  readEnd,
  readFields,
  readName,
  readSpan,
  readText,
  VARINT,
  type Writer,
  wellFormed,
  writeBytes,
  writeDouble,
  writeMessage,
  writeSpan,
  writeTag,
  writeText,
  writeUnsigned,
} from './wire.ts'

assert(endianness() === 'LE', 'columns of doubles are copied as they lie in memory, which must be little-endian')

/** What decoding a batch may still take. */
export interface Budget {
  samples: number
  slots: number
  readonly numbers: NumberRoom
}

/** @param scratch VARINT_BYTES_MAX bytes a sample, for the while of the call */
export function encodeColumn(writer: Writer, column: FieldColumn, scratch: Uint8Array): void {
  const partly = column.present !== null && countSet(column.present) < column.present.length ? column.present : null
  writeText(writer, 1, column.field)
  if (partly) writeBytes(writer, 2, packBits(partly))
  if (column.type === 'number')
    encodeNumbers(writer, partly ? Float64Array.from(kept(column.values, partly)) : column.values, scratch)
  else if (column.type === 'boolean') {
    const values = partly ? Uint8Array.from(kept(column.values, partly)) : column.values
    writeMessage(writer, 6, (message) => writeBytes(message, 1, packBits(values)))
  } else encodeStrings(writer, partly ? [...kept(column.values, partly)] : column.values, scratch)
}

function* kept<T>(values: ArrayLike<T>, present: Uint8Array): Generator<T> {
  for (let i = 0; i < present.length; i++) if (present[i] !== 0) yield values[i] as T
}

const bytesOf = (array: Float64Array | Float32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

function encodeNumbers(writer: Writer, values: Float64Array, scratch: Uint8Array): void {
  const decimal = encodeDecimals(values, scratch)
  if (decimal) {
    writeMessage(writer, 3, (message) => {
      writeUnsigned(message, 1, decimal.decimals)
      writeDouble(message, 2, decimal.base)
      writeSpan(message, 3, decimal.deltas)
    })
    return
  }
  const floats = values.every((value) => Math.fround(value) === value)
  const packed = bytesOf(floats ? Float32Array.from(values) : values)
  writeMessage(writer, floats ? 4 : 5, (message) => writeBytes(message, 1, packed))
}

function encodeStrings(writer: Writer, values: readonly string[], scratch: Uint8Array): void {
  const places = new Map<string, number>()
  for (const value of values) if (!places.has(value)) places.set(value, places.size)
  for (const value of places.keys())
    if (Buffer.byteLength(value) > STRING_VALUE_BYTES_MAX)
      throw new RangeError(
        `a string value has ${Buffer.byteLength(value)} bytes; ${STRING_VALUE_BYTES_MAX} are allowed`,
      )
  const repeats = places.size * 2 <= values.length
  writeMessage(writer, 7, (message) => {
    for (const entry of repeats ? places.keys() : values) writeTag(message, 1, LENGTH).string(wellFormed(entry))
    if (!repeats) return
    let end = 0
    for (const value of values) end = putVarint(scratch, end, places.get(value) as number)
    writeSpan(message, 2, { bytes: scratch, start: 0, end })
  })
}

/** Decodes the column that begins at the reader's position and ends at `end`. */
export function decodeColumn(reader: Reader, end: number, sampleCount: number, budget: Budget): FieldColumn {
  let field = ''
  let bits: Uint8Array | undefined
  let form = 0
  let formStart = 0
  let formEnd = 0
  readFields(reader, end, (tag) => {
    switch (tag) {
      case (1 << 3) | LENGTH:
        field = readName(reader, NAME_BYTES_MAX, 'a field name')
        return true
      case (2 << 3) | LENGTH:
        bits = readBytes(reader)
        return true
      case (3 << 3) | LENGTH:
      case (4 << 3) | LENGTH:
      case (5 << 3) | LENGTH:
      case (6 << 3) | LENGTH:
      case (7 << 3) | LENGTH:
        form = tag >>> 3
        formEnd = readEnd(reader)
        formStart = reader.pos
        reader.pos = formEnd
        return true
      default:
        return false
    }
  })
  budget.slots -= Math.max(1, sampleCount)
  if (budget.slots < 0) throw tooLarge('the batch has more slots (samples × columns) than are allowed')
  const flags = bits && unpackBits(bits, sampleCount)
  const count = flags ? countSet(flags) : sampleCount
  const present = flags && count < sampleCount ? flags : null
  reader.pos = formStart
  const column = decodeForm(reader, form, formEnd, field, present, count, budget.numbers)
  reader.pos = end
  return column
}

function decodeForm(
  reader: Reader,
  form: number,
  end: number,
  field: string,
  present: Uint8Array | null,
  count: number,
  room: NumberRoom,
): FieldColumn {
  switch (form) {
    case 3:
      return numberColumn(field, present, decodeDecimals(readDecimals(reader, end), room.take(count)), room)
    case 4:
      return numberColumn(field, present, readPacked(reader, end, Float32Array, count), room)
    case 5:
      return numberColumn(field, present, readPacked(reader, end, Float64Array, count), room)
    case 6: {
      const values = unpackBits(readOnlyBytes(reader, end), count)
      return {
        field,
        present,
        type: 'boolean',
        values: present ? spread(values, present, new Uint8Array(present.length)) : values,
      }
    }
    case 7: {
      const values = readStrings(reader, end, count)
      return {
        field,
        present,
        type: 'string',
        values: present ? spread(values, present, new Array<string>(present.length).fill('')) : values,
      }
    }
    default:
      throw malformed(`the column "${field}" has no values in a form that this version knows`)
  }
}

/** Puts the values of the samples that have the field into their slots. */
function spread<T extends { [slot: number]: unknown }>(values: ArrayLike<unknown>, present: Uint8Array, slots: T): T {
  const into: { [slot: number]: unknown } = slots
  for (let i = 0, next = 0; i < present.length; i++) if (present[i] !== 0) into[i] = values[next++]
  return slots
}

function numberColumn(
  field: string,
  present: Uint8Array | null,
  values: Float64Array | Float32Array,
  room: NumberRoom,
): FieldColumn {
  if (present) return { field, present, type: 'number', values: spread(values, present, room.take(present.length)) }
  return { field, present, type: 'number', values: values instanceof Float64Array ? values : Float64Array.from(values) }
}

function readDecimals(reader: Reader, end: number): DecimalDeltas {
  let decimals = 0
  let base = 0
  let deltas = EMPTY_SPAN
  readFields(reader, end, (tag) => {
    if (tag === ((1 << 3) | VARINT)) decimals = reader.uint32()
    else if (tag === ((2 << 3) | FIXED64)) base = reader.double()
    else if (tag === ((3 << 3) | LENGTH)) deltas = readSpan(reader)
    else return false
    return true
  })
  return { decimals, base, deltas }
}

/** Field 1 of a message, as bytes. */
function readOnlyBytes(reader: Reader, end: number): Uint8Array {
  let content: Uint8Array = EMPTY_SPAN.bytes
  readFields(reader, end, (tag) => {
    if (tag !== ((1 << 3) | LENGTH)) return false
    content = readBytes(reader)
    return true
  })
  return content
}

function readPacked<T extends Float64Array | Float32Array>(
  reader: Reader,
  end: number,
  form: { new (count: number): T; readonly BYTES_PER_ELEMENT: number },
  count: number,
): T {
  const packed = readOnlyBytes(reader, end)
  if (packed.length !== count * form.BYTES_PER_ELEMENT)
    throw malformed(`${packed.length} bytes where ${count} values of ${form.BYTES_PER_ELEMENT} bytes were announced`)
  const values = new form(count)
  bytesOf(values).set(packed)
  return values
}

function readStrings(reader: Reader, end: number, count: number): string[] {
  const entries: string[] = []
  let indices: Span | undefined
  readFields(reader, end, (tag) => {
    if (tag === ((1 << 3) | LENGTH)) {
      if (entries.length >= count) throw malformed(`more than ${count} strings where ${count} were announced`)
      entries.push(readText(reader, STRING_VALUE_BYTES_MAX, 'a string value'))
    } else if (tag === ((2 << 3) | LENGTH)) indices = readSpan(reader)
    else return false
    return true
  })
  if (!indices) {
    if (entries.length !== count) throw malformed(`${entries.length} strings where ${count} were announced`)
    return entries
  }
  return Array.from(readVarints(indices, count), (index) => {
    const entry = entries[index]
    if (entry === undefined) throw malformed(`string ${index} of a dictionary of ${entries.length}`)
    return entry
  })
}
