/** What JSON and CSV lines have in common: endings, comments, the limit, the checksum suffix, acknowledgements as text. */
import { crc16 } from './crc16.ts'
import { createDelimitedReader, type Piece } from './delimited.ts'
import { FRAME_BYTES_MAX, type Frame, type Framing, type SequenceRange } from './framing.ts'

export interface LineFormat {
  /** Whether a line that begins with `#` is for the format to read; else it is a comment. */
  readonly isDirective: (line: string) => boolean
  /** A value, or why not; undefined for a directive that was obeyed. */
  readonly parse: (line: string) => { value: unknown } | { reason: string; detail: string } | undefined
  /** Offsets at which a good line may begin behind noise; only believed when a checksum or the whole rest agrees. */
  readonly startsWithin: (line: Uint8Array, withChecksum: boolean) => number[]
  readonly forget: () => void
}

const NEWLINE = 0x0a
const RETURN = 0x0d
const HASH = 0x23
const SUFFIX = /\*([0-9A-Fa-f]{4})$/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function createLineFraming(format: LineFormat, checksumRequired: boolean): Framing {
  const reader = createDelimitedReader(NEWLINE, 1)

  const refused = (reason: string, detail: string, original: Uint8Array): Frame => ({ reason, detail, original })
  const readLine = (bytes: Uint8Array): { frame: Frame | undefined; hasChecksum: boolean } => {
    const { content, checksum } = splitChecksum(bytes)
    const hasChecksum = checksum !== undefined
    const wrong = (reason: string, detail: string) => ({ frame: refused(reason, detail, bytes), hasChecksum })
    if (hasChecksum && checksum !== crc16(content))
      return wrong('bad_checksum', `the line says ${hex(checksum)}, its bytes give ${hex(crc16(content))}`)
    if (!hasChecksum && checksumRequired) return wrong('no_checksum', 'the line has no checksum suffix "*1A2B"')
    let line: string
    try {
      line = utf8.decode(content)
    } catch {
      return wrong('not_utf8', 'the line is not valid UTF-8')
    }
    const parsed = format.parse(line)
    if (parsed === undefined) return { frame: undefined, hasChecksum }
    if ('reason' in parsed) return wrong(parsed.reason, parsed.detail)
    return { frame: { value: parsed.value, original: bytes }, hasChecksum }
  }
  const framesOf = (piece: Piece): Frame[] => {
    const end = piece.bytes.at(-1) === RETURN && piece.length === piece.bytes.length ? -1 : piece.bytes.length
    const line = piece.bytes.subarray(0, end)
    if (line.length === 0) return []
    if (line.length > FRAME_BYTES_MAX || piece.length > piece.bytes.length)
      return [refused('line_too_long', `${piece.length} bytes, at most ${FRAME_BYTES_MAX} are read`, line)]
    if (line[0] === HASH && !format.isDirective(Buffer.from(line).toString('latin1'))) return []
    const { frame, hasChecksum } = readLine(line)
    if (frame === undefined) return []
    if ('value' in frame) return [frame]
    const found = format.startsWithin(line, hasChecksum).flatMap((start) => {
      const behind = readLine(line.subarray(start)).frame
      return behind && 'value' in behind ? [{ start, behind }] : []
    })
    // Two that agree with the checksum: one of them by chance, and nobody can tell which.
    if (found.length === 1 && found[0]) {
      const { start, behind } = found[0]
      return [refused('noise', `${start} bytes of noise before a good line`, line.subarray(0, start)), behind]
    }
    return [frame]
  }
  return {
    push: (bytes) => reader.push(bytes).flatMap(framesOf),
    reset() {
      format.forget()
      const unfinished = reader.reset()
      return unfinished
        ? [refused('cut_short', `the line broke off after ${unfinished.length} bytes`, unfinished.bytes)]
        : []
    },
    encodeAcknowledgement: (ranges) => encodeTextAcknowledgement(ranges, checksumRequired),
  }
}

function splitChecksum(line: Uint8Array): { content: Uint8Array; checksum: number | undefined } {
  const match = SUFFIX.exec(Buffer.from(line.subarray(-5)).toString('latin1'))
  return match
    ? { content: line.subarray(0, -5), checksum: Number.parseInt(match[1] as string, 16) }
    : { content: line, checksum: undefined }
}

const hex = (crc: number): string => crc.toString(16).toUpperCase().padStart(4, '0')

/** Ranges a line: two numbers of 16 digits and their separators stay far below the limit. */
const RANGES_PER_LINE = 100

function encodeTextAcknowledgement(ranges: readonly SequenceRange[], withChecksum: boolean): Uint8Array {
  const lines: string[] = []
  for (let at = 0; at < ranges.length; at += RANGES_PER_LINE) {
    const listed = ranges
      .slice(at, at + RANGES_PER_LINE)
      .map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
    const line = `ack ${listed.join(',')}`
    lines.push(withChecksum ? `${line}*${hex(crc16(Buffer.from(line)))}\n` : `${line}\n`)
  }
  return Buffer.from(lines.join(''))
}
