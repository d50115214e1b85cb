/**
 * InfluxDB's line protocol, straight into bytes: no strings and no objects a reading. Lines end with "\n"; the times are
 * milliseconds. Source: https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
 */

const COMMA = 0x2c
const SPACE = 0x20
const NEWLINE = 0x0a
const QUOTE = 0x22
const BACKSLASH = 0x5c
const ZERO = 0x30
const MINUS = 0x2d
const POINT = 0x2e
const LETTER_I = 0x69
const LETTER_T = 0x74
const LETTER_F = 0x66

/** Line breaks and backslashes cannot be written in names so that every server reads them alike: they are replaced. */
export const plainName = (text: string): string => text.replace(/[\r\n\t]/g, ' ').replace(/\\/g, '/')

/** A name as tag key, tag value or field key. */
export const escapeKey = (text: string): string => plainName(text).replace(/[,= ]/g, '\\$&')
export const escapeMeasurement = (text: string): string => plainName(text).replace(/[, ]/g, '\\$&')

/** `,tag=value,…`; tags without a value are left out. They are sorted, as InfluxDB likes them. */
export const lineTags = (tags: Readonly<Record<string, string>>): string =>
  Object.entries(tags)
    .filter(([, value]) => value !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `,${escapeKey(key)}=${escapeKey(value)}`)
    .join('')

/** `measurement,tag=value,… ` with the space. @param tags or what `lineTags` made of them */
export const linePrefix = (measurement: string, tags: Readonly<Record<string, string>> | string): Uint8Array =>
  Buffer.from(`${escapeMeasurement(measurement)}${typeof tags === 'string' ? tags : lineTags(tags)} `, 'utf8')

/** `field=`, ready to be copied. */
export const fieldKey = (field: string): Uint8Array => Buffer.from(`${escapeKey(field)}=`, 'utf8')

/** What the lines of one request are made of: their bytes, where each ends, how many readings it carries and whose it is. */
export class LineBuffer {
  bytes: Buffer
  length = 0
  count = 0
  /** End offset (exclusive, with the "\n") of every line. */
  ends: Uint32Array
  readings: Uint32Array
  /** Index of the batch (in the caller's list) that the line came from; -1 for what the processor derived. */
  origins: Int32Array
  private fieldsInLine = 0

  constructor(bytesInitial = 256 * 1024) {
    this.bytes = Buffer.allocUnsafe(bytesInitial)
    this.ends = new Uint32Array(1024)
    this.readings = new Uint32Array(1024)
    this.origins = new Int32Array(1024)
  }

  /** Forgets the lines; keeps the memory, unless an unusual load made it large. */
  clear(): void {
    if (this.bytes.length > 16 * 1024 * 1024) this.bytes = Buffer.allocUnsafe(256 * 1024)
    this.length = 0
    this.count = 0
  }

  line(index: number): Buffer {
    return this.bytes.subarray(index === 0 ? 0 : (this.ends[index - 1] as number), this.ends[index] as number)
  }

  begin(prefix: Uint8Array): void {
    this.copy(prefix)
    this.fieldsInLine = 0
  }

  /** Ends the line with its time, or takes it back when it has no field. */
  end(prefix: Uint8Array, timeMs: number, readings: number, origin: number): void {
    if (this.fieldsInLine === 0) {
      this.length -= prefix.length
      return
    }
    this.reserve(24)
    this.bytes[this.length++] = SPACE
    this.writeInteger(Math.floor(timeMs))
    this.bytes[this.length++] = NEWLINE
    if (this.count === this.ends.length) this.growIndex()
    this.ends[this.count] = this.length
    this.readings[this.count] = readings
    this.origins[this.count] = origin
    this.count += 1
  }

  /** A finite number; `scale` (a power of ten) is tried first, because most readings have few decimals. */
  float(key: Uint8Array, value: number, scale: number): void {
    this.key(key)
    const scaled = Math.round(value * scale)
    if (scaled < 1e15 && scaled > -1e15 && scaled / scale === value) this.writeScaled(scaled, scale)
    else this.writeAscii(String(value))
  }

  integer(key: Uint8Array, value: number): void {
    this.key(key)
    this.writeInteger(value)
    this.bytes[this.length++] = LETTER_I
  }

  boolean(key: Uint8Array, value: boolean): void {
    this.key(key)
    this.bytes[this.length++] = value ? LETTER_T : LETTER_F
  }

  string(key: Uint8Array, value: string): void {
    this.key(key)
    this.reserve(value.length * 6 + 2)
    this.bytes[this.length++] = QUOTE
    const from = this.length
    this.length += this.bytes.write(value, from, 'utf8')
    let escapes = 0
    for (let at = from; at < this.length; at++)
      if (this.bytes[at] === QUOTE || this.bytes[at] === BACKSLASH) escapes += 1
    for (let at = this.length - 1, to = at + escapes; escapes > 0 && at >= from; at--) {
      const byte = this.bytes[at] as number
      this.bytes[to--] = byte
      if (byte === QUOTE || byte === BACKSLASH) this.bytes[to--] = BACKSLASH
    }
    this.length += escapes
    this.bytes[this.length++] = QUOTE
  }

  private key(key: Uint8Array): void {
    this.reserve(key.length + 64)
    if (this.fieldsInLine > 0) this.bytes[this.length++] = COMMA
    this.fieldsInLine += 1
    this.copy(key)
  }

  private copy(source: Uint8Array): void {
    this.reserve(source.length)
    const { bytes } = this
    let at = this.length
    for (let i = 0; i < source.length; i++) bytes[at++] = source[i] as number
    this.length = at
  }

  private writeScaled(scaled: number, scale: number): void {
    let rest = scaled
    if (rest < 0) {
      this.bytes[this.length++] = MINUS
      rest = -rest
    }
    const whole = Math.floor(rest / scale)
    this.writeDigits(whole)
    let fraction = rest - whole * scale
    if (fraction === 0) return
    this.bytes[this.length++] = POINT
    for (let place = scale / 10; fraction > 0; place /= 10) {
      const digit = Math.floor(fraction / place)
      this.bytes[this.length++] = ZERO + digit
      fraction -= digit * place
    }
  }

  private writeInteger(value: number): void {
    if (value < 0) {
      this.bytes[this.length++] = MINUS
      this.writeDigits(-value)
    } else this.writeDigits(value)
  }

  private writeDigits(value: number): void {
    if (value >= 1e15) {
      this.writeAscii(BigInt(value).toString())
      return
    }
    if (value < 10) {
      this.bytes[this.length++] = ZERO + value
      return
    }
    let digits = 2
    for (let bound = 100; value >= bound; bound *= 10) digits += 1
    let at = this.length + digits
    this.length = at
    let rest = value
    while (rest > 0x7fffffff) {
      const next = Math.floor(rest / 10)
      this.bytes[--at] = ZERO + (rest - next * 10)
      rest = next
    }
    let small = rest | 0
    do {
      const next = (small / 10) | 0
      this.bytes[--at] = ZERO + (small - next * 10)
      small = next
    } while (small > 0)
  }

  private writeAscii(text: string): void {
    this.length += this.bytes.write(text, this.length, 'latin1')
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + count))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
  }

  private growIndex(): void {
    const grow = <T extends Uint32Array | Int32Array>(old: T, larger: T): T => {
      larger.set(old)
      return larger
    }
    this.ends = grow(this.ends, new Uint32Array(this.count * 2))
    this.readings = grow(this.readings, new Uint32Array(this.count * 2))
    this.origins = grow(this.origins, new Int32Array(this.count * 2))
  }
}
