/**
 * JSON of flat samples, read without a tree of objects. A device writes its samples in one way: the same fields in the same order, with the
 * same blanks. How one of them was written is remembered as the bytes between its values (a layout); whatever is
 * written that way again is compared with these bytes, and only its numbers are read.
 *
 * Guarantee: what is read by a layout gives the same samples as `JSON.parse` and `readSample`, to the bit; everything else (another
 * order, text, null, a number that is refused) is left to them, the whole message with it.
 * Bounded: `LAYOUTS_MAX` layouts; beyond, the one that was of use longest ago goes.
 */
import { isName } from '@tributary/protocol'
import { type Delivery, type FieldValue, isIdentifier, isTimeMs } from '../sample.ts'

export interface LayoutReader {
  /** @returns false when the payload is written in no layout that is known: the delivery is as it was */
  read(payload: Uint8Array, device: string, kind: string, delivery: Delivery): boolean
  /** Remembers how the first sample in a text is written, if it is flat: numbers and booleans. @param text JSON that was read and had nothing to refuse */
  learn(text: string): void
}

interface Layout {
  readonly key: string
  /** The bytes before each value. */
  readonly before: readonly Uint8Array[]
  /** From the last value to the end of the sample. */
  readonly after: Uint8Array
  /** Of the values but for the time. */
  readonly names: readonly string[]
  /** The value that is `time_ms`, the one that is `sequence`; -1: none. */
  readonly timeAt: number
  readonly sequenceAt: number
}

const LAYOUTS_MAX = 8
/** So many digits are a whole number that a double holds exactly, and so is the power of ten that it is divided by: the quotient is rounded once. */
const DIGITS_MAX = 15
/** A longer number is read the slow way. */
const NUMBER_BYTES_MAX = 64
const POWERS_OF_TEN = Array.from({ length: DIGITS_MAX + 1 }, (_, i) => 10 ** i)
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const BLANK = 0x20
const LINE_FEED = 0x0a
const COMMA = 0x2c
const LIST = 0x5b
const LIST_END = 0x5d
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const [E_LARGE, E_SMALL, F_SMALL, T_SMALL] = [0x45, 0x65, 0x66, 0x74]
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')

export function createLayoutReader(): LayoutReader {
  let layouts: Layout[] = []
  let bytes: Uint8Array = new Uint8Array(0)
  let at = 0

  const isNext = (expected: Uint8Array): boolean => {
    for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false
    at += expected.length
    return true
  }
  const skipBlanks = () => {
    while (bytes[at] === BLANK || bytes[at] === LINE_FEED) at++
  }
  /** @returns NaN for what is no number, or one to be refused */
  const readNumber = (): number => {
    const start = at
    let byte = bytes[at] as number
    const isNegative = byte === MINUS
    if (isNegative) byte = bytes[++at] as number
    const first = at
    let digits = 0
    while (byte >= ZERO && byte <= NINE) {
      digits = digits * 10 + (byte - ZERO)
      byte = bytes[++at] as number
    }
    let count = at - first
    if (count === 0 || (count > 1 && bytes[first] === ZERO)) return Number.NaN
    let decimals = 0
    if (byte === POINT) {
      byte = bytes[++at] as number
      const firstDecimal = at
      while (byte >= ZERO && byte <= NINE) {
        digits = digits * 10 + (byte - ZERO)
        byte = bytes[++at] as number
      }
      decimals = at - firstDecimal
      if (decimals === 0) return Number.NaN
      count += decimals
    }
    if (count > DIGITS_MAX || byte === E_SMALL || byte === E_LARGE) return readLongNumber(start)
    const value = digits / (POWERS_OF_TEN[decimals] as number)
    // No minus zero: neither a codec nor a store keeps it.
    return isNegative ? 0 - value : value
  }
  const readLongNumber = (start: number): number => {
    const isPart = (byte: number) =>
      (byte >= ZERO && byte <= NINE) ||
      byte === POINT ||
      byte === E_SMALL ||
      byte === E_LARGE ||
      byte === PLUS ||
      byte === MINUS
    at = start
    while (isPart(bytes[at] as number)) at++
    if (at - start > NUMBER_BYTES_MAX) return Number.NaN
    const text = String.fromCharCode(...bytes.subarray(start, at))
    const value = NUMBER.test(text) ? Number(text) : Number.NaN
    const isRounded = /^-?\d+$/.test(text) && !Number.isSafeInteger(value)
    return Number.isFinite(value) && !isRounded ? value + 0 : Number.NaN
  }
  const readSample = (layout: Layout, device: string, kind: string, delivery: Delivery): boolean => {
    const { before, after, names, timeAt, sequenceAt } = layout
    const values: FieldValue[] = []
    let measuredAtMs: number | undefined
    let sequence: number | undefined
    for (let i = 0; i < before.length; i++) {
      if (!isNext(before[i] as Uint8Array)) return false
      const byte = bytes[at]
      if (byte === T_SMALL || byte === F_SMALL) {
        if (i === timeAt || !isNext(byte === T_SMALL ? TRUE : FALSE)) return false
        values.push(byte === T_SMALL)
        continue
      }
      const value = readNumber()
      if (Number.isNaN(value)) return false
      if (i === timeAt) {
        if (!isTimeMs(value)) return false
        measuredAtMs = Math.round(value)
        continue
      }
      if (i === sequenceAt && value >= 0 && Number.isSafeInteger(value)) sequence = value
      values.push(value)
    }
    if (!isNext(after)) return false
    if (sequence !== undefined) delivery.sequences.push(sequence)
    delivery.samples.push({ device, kind, measuredAtMs, sequence, names, values })
    return true
  }
  const readBy = (layout: Layout, device: string, kind: string, delivery: Delivery): boolean => {
    at = 0
    const isList = bytes[0] === LIST
    if (isList) at++
    skipBlanks()
    for (;;) {
      if (!readSample(layout, device, kind, delivery)) return false
      skipBlanks()
      if (!isList) return at === bytes.length
      const byte = bytes[at++]
      skipBlanks()
      if (byte === LIST_END) return at === bytes.length
      if (byte !== COMMA) return false
    }
  }
  return {
    read(payload, device, kind, delivery) {
      if (!isName(device)) return false
      bytes = payload
      const { samples, sequences } = delivery
      const [sampleCount, sequenceCount] = [samples.length, sequences.length]
      for (let i = 0; i < layouts.length; i++) {
        const layout = layouts[i] as Layout
        if (readBy(layout, device, kind, delivery)) {
          if (i > 0) layouts = [layout, ...layouts.filter((other) => other !== layout)]
          return true
        }
        samples.length = sampleCount
        sequences.length = sequenceCount
      }
      return false
    },
    learn(text) {
      const layout = layoutOf(text)
      if (layout === undefined || layouts.some(({ key }) => key === layout.key)) return
      layouts = [layout, ...layouts].slice(0, LAYOUTS_MAX)
    },
  }
}

const BEGIN = /^\s*(?:\[\s*)?(?=\{)/
const FIELD = /[{,]\s*"([a-z][a-z0-9_]*)"\s*:\s*/y
const VALUE = /(?:-?\d[\d.eE+-]*|true|false)(\s*)/y
const END = /\}/y

/** @returns undefined when the first sample is not flat, names whose it is, or has a field twice */
function layoutOf(text: string): Layout | undefined {
  const before: string[] = []
  const names: string[] = []
  let at = BEGIN.exec(text)?.[0].length ?? text.length
  let blanks = ''
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found) at = pattern.lastIndex
    return found
  }
  for (let field = match(FIELD); field; field = match(FIELD)) {
    const value = match(VALUE)
    if (!value) return undefined
    names.push(field[1] as string)
    before.push(blanks + field[0])
    blanks = value[1] as string
  }
  const isFlat = names.every((name) => name !== 'device' && name !== 'kind' && isIdentifier(name))
  const timeAt = names.indexOf('time_ms')
  const fields = names.filter((name) => name !== 'time_ms')
  if (!match(END) || !isFlat || fields.length === 0 || new Set(names).size < names.length) return undefined
  return {
    key: JSON.stringify([...before, blanks]),
    before: before.map((piece) => Buffer.from(piece)),
    after: Buffer.from(`${blanks}}`),
    names: fields,
    timeAt,
    sequenceAt: names.indexOf('sequence'),
  }
}
