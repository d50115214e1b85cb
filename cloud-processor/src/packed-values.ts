/**
 * Values of a checkpoint in few bytes, one after another. Each begins with a whole number, which takes seven bits a byte, the lowest
 * first. Even: a number, in units (a multiple of 4) or in thousandths, when that loses nothing: most readings have few decimals. Odd:
 * what `PackedWriter.value` says. Objects name their keys once: those of the same keys share a *shape*.
 */
import type { Sketch } from './sketch.ts'

const DOUBLE = 1
const TRUE = 3
const FALSE = 5
const NULL = 7
const UNDEFINED = 9
const TEXT = 11
const LIST = 13
/** And every odd code above: of the first, the second, … shape. */
const OBJECT = 15
const UNITS_MAX = 2 ** 49
const THOUSANDTHS_MAX = 2 ** 38
const SKETCH_ENTRIES_MIN = 16

/** Keys, one after another, lead to a shape. */
interface ShapeNode {
  readonly next: Map<string, ShapeNode>
  shape: number
}
const shapeNode = (): ShapeNode => ({ next: new Map(), shape: -1 })

export class PackedWriter {
  /** Keys of each shape; the reader needs them. */
  readonly shapes: string[][] = []
  private readonly root = shapeNode()
  private bytes = Buffer.allocUnsafe(64 * 1024)
  private length = 0

  whole(value: number): void {
    this.reserve(10)
    let rest = value
    while (rest > 0x7f) {
      this.bytes[this.length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.bytes[this.length++] = rest
  }

  number(value: number): void {
    if (!Object.is(value, -0)) {
      if (Number.isInteger(value) && Math.abs(value) < UNITS_MAX) {
        this.whole(4 * unsigned(value))
        return
      }
      const scaled = Math.round(value * 1_000)
      if (Math.abs(scaled) < THOUSANDTHS_MAX && scaled / 1_000 === value) {
        this.whole(4 * unsigned(scaled) + 2)
        return
      }
    }
    this.whole(DOUBLE)
    this.reserve(8)
    this.length = this.bytes.writeDoubleLE(value, this.length)
  }

  /** Number of entries, then of each the distance of its key to the one before, and its count. */
  sketch({ entries, size }: Sketch): void {
    this.whole(size)
    let before = 0
    for (let at = 0; at < 2 * size; at += 2) {
      this.whole((entries[at] as number) - before)
      this.whole(entries[at + 1] as number)
      before = entries[at] as number
    }
  }

  /** Numbers, truths, texts, null, undefined, and lists and plain objects of such. */
  value(value: unknown): void {
    if (typeof value === 'number') this.number(value)
    else if (typeof value === 'boolean') this.whole(value ? TRUE : FALSE)
    else if (value === null) this.whole(NULL)
    else if (value === undefined) this.whole(UNDEFINED)
    else if (typeof value === 'string') this.text(value)
    else if (Array.isArray(value)) {
      this.whole(LIST)
      this.whole(value.length)
      for (const item of value) this.value(item)
    } else this.object(value as Readonly<Record<string, unknown>>)
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  private text(text: string): void {
    const length = Buffer.byteLength(text)
    this.whole(TEXT)
    this.whole(length)
    this.reserve(length)
    this.length += this.bytes.write(text, this.length, 'utf8')
  }

  private object(object: Readonly<Record<string, unknown>>): void {
    const keys = Object.keys(object)
    let node = this.root
    for (const key of keys) {
      let next = node.next.get(key)
      if (next === undefined) {
        next = shapeNode()
        node.next.set(key, next)
      }
      node = next
    }
    if (node.shape < 0) node.shape = this.shapes.push(keys) - 1
    this.whole(OBJECT + 2 * node.shape)
    for (const key of keys) this.value(object[key])
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.bytes.length, this.length + count))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }
}

/** 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 … */
const unsigned = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value)
const signed = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)

export class PackedReader {
  private readonly bytes: Buffer
  private readonly shapes: readonly (readonly string[])[]
  private at = 0

  /** @param shapes as the writer had them */
  constructor(bytes: Uint8Array, shapes: readonly (readonly string[])[] = []) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.shapes = shapes
  }

  whole(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new Error('the values of the state end too early')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }

  number(): number {
    return this.numberOf(this.whole())
  }

  /** Eight bytes, as all numbers had before version 3. */
  double(): number {
    this.at += 8
    return this.bytes.readDoubleLE(this.at - 8)
  }

  sketch(): Sketch {
    const size = this.whole()
    const entries = new Uint32Array(Math.max(SKETCH_ENTRIES_MIN, 2 * size))
    let key = 0
    for (let at = 0; at < 2 * size; at += 2) {
      key += this.whole()
      entries[at] = key
      entries[at + 1] = this.whole()
    }
    return { entries, size }
  }

  value(): unknown {
    const code = this.whole()
    if (code % 2 === 0 || code === DOUBLE) return this.numberOf(code)
    if (code === TRUE || code === FALSE) return code === TRUE
    if (code === NULL) return null
    if (code === UNDEFINED) return undefined
    if (code === TEXT) {
      const length = this.whole()
      this.at += length
      return this.bytes.toString('utf8', this.at - length, this.at)
    }
    if (code === LIST) return Array.from({ length: this.whole() }, () => this.value())
    const keys = this.shapes[(code - OBJECT) / 2]
    if (keys === undefined) throw new Error(`the values of the state name a shape ${code} that is not there`)
    const object: Record<string, unknown> = {}
    for (const key of keys) object[key] = this.value()
    return object
  }

  private numberOf(code: number): number {
    if (code === DOUBLE) return this.double()
    const whole = signed(Math.floor(code / 4))
    return code % 4 === 0 ? whole : whole / 1_000
  }
}
