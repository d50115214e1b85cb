/** A sketch as bytes of a checkpoint: number of entries, then of each the distance of its key to the one before, and its count. */
import type { Sketch } from './sketch.ts'

export class SketchWriter {
  private bytes = Buffer.allocUnsafe(64 * 1024)
  private length = 0

  write({ entries, size }: Sketch): void {
    this.number(size)
    let before = 0
    for (let at = 0; at < 2 * size; at += 2) {
      this.number((entries[at] as number) - before)
      this.number(entries[at + 1] as number)
      before = entries[at] as number
    }
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  /** Seven bits a byte, the lowest first. */
  private number(value: number): void {
    if (this.length + 5 > this.bytes.length) {
      const larger = Buffer.allocUnsafe(2 * this.bytes.length)
      this.bytes.copy(larger, 0, 0, this.length)
      this.bytes = larger
    }
    let rest = value
    while (rest > 0x7f) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.bytes[this.length++] = rest
  }
}

export class SketchReader {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  read(): Sketch {
    const size = this.number()
    const entries = new Uint32Array(Math.max(16, 2 * size))
    let key = 0
    for (let at = 0; at < 2 * size; at += 2) {
      key += this.number()
      entries[at] = key
      entries[at + 1] = this.number()
    }
    return { entries, size }
  }

  private number(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new Error('the sketches of the state end too early')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
}
