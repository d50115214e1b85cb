/**
 * Numbers of a checkpoint in few bytes. A whole number takes seven bits a byte, the lowest first. Any other is told in thousandths
 * when that loses nothing (one to six bytes: most readings have few decimals), and as a double else (nine).
 */
import type { Sketch } from './sketch.ts'

const DOUBLE = 1
const THOUSANDTHS_MAX = 2 ** 38
const SKETCH_ENTRIES_MIN = 16

export class PackedWriter {
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
    const scaled = Math.round(value * 1_000)
    if (Math.abs(scaled) < THOUSANDTHS_MAX && Object.is(scaled / 1_000, value)) {
      this.whole(4 * Math.abs(scaled) + (scaled < 0 || Object.is(scaled, -0) ? 2 : 0))
      return
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

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = Buffer.allocUnsafe(2 * this.bytes.length)
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }
}

export class PackedReader {
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  whole(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new Error('the numbers of the state end too early')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }

  number(): number {
    const told = this.whole()
    if (told === DOUBLE) return this.double()
    return (told % 4 === 2 ? -1 : 1) * (Math.floor(told / 4) / 1_000)
  }

  /** Eight bytes, as all numbers had before version 3. */
  double(): number {
    this.at += 8
    return this.view.getFloat64(this.at - 8, true)
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
}
