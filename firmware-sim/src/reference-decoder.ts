/** For tests: decodes what devices send, written from `docs/serial-framings.md` alone and sharing no code with the encoders. */
import { decode } from '@msgpack/msgpack'

export type Decoded = Record<string, unknown>

export interface DecodedLine {
  readonly samples: Decoded[]
  /** Lines or frames that were refused. */
  readonly refused: number
}

/** Bit by bit, from the definition. */
export function crcBitwise(bytes: Uint8Array): number {
  let register = 0xffff
  for (const byte of bytes)
    for (let bit = 7; bit >= 0; bit--) {
      const feedback = ((register >> 15) & 1) ^ ((byte >> bit) & 1)
      register = ((register << 1) & 0xffff) ^ (feedback ? 0x1021 : 0)
    }
  return register
}

/** A decoder that takes bytes in pieces of any size. `columns`: of a CSV device that does not announce them. */
export function createReferenceDecoder(
  framing: 'json' | 'csv' | 'cobs',
  checksum: boolean,
  columns?: readonly string[],
) {
  let rest = Buffer.alloc(0)
  let known = columns
  let refused = 0
  const takeLine = (line: Buffer): Decoded | undefined => {
    let text = line.toString('latin1')
    if (checksum) {
      const star = text.length - 5
      if (text[star] !== '*') return undefined
      if (crcBitwise(line.subarray(0, star)) !== Number.parseInt(text.slice(star + 1), 16)) return undefined
      text = line.subarray(0, star).toString('utf8')
    }
    if (text.startsWith('#columns: ')) {
      known = text.slice('#columns: '.length).split(',')
      return {}
    }
    if (framing === 'json') {
      try {
        return JSON.parse(text) as Decoded
      } catch {
        return undefined
      }
    }
    const values = text.split(',')
    if (!known || values.length !== known.length) return undefined
    return Object.fromEntries(
      values.map((v, i) => [
        known?.[i],
        v === 'true' ? true : v === 'false' ? false : Number.isNaN(Number(v)) ? v : Number(v),
      ]),
    )
  }
  const takeFrame = (frame: Buffer): Decoded | undefined => {
    const body: number[] = []
    for (let at = 0; at < frame.length; ) {
      const code = frame[at] as number
      if (at + code > frame.length) return undefined
      body.push(...frame.subarray(at + 1, at + code))
      at += code
      if (code !== 255 && at !== frame.length) body.push(0)
    }
    const payload = Uint8Array.from(body.slice(0, -2))
    if (body.length < 3 || crcBitwise(payload) !== (body.at(-2) as number) * 256 + (body.at(-1) as number))
      return undefined
    return decode(payload) as Decoded
  }
  return (bytes: Uint8Array): DecodedLine => {
    const samples: Decoded[] = []
    rest = Buffer.concat([rest, bytes])
    const delimiter = framing === 'cobs' ? 0 : 10
    for (let end = rest.indexOf(delimiter); end >= 0; end = rest.indexOf(delimiter)) {
      const piece = rest.subarray(0, end)
      rest = rest.subarray(end + 1)
      if (piece.length === 0) continue
      const found = framing === 'cobs' ? takeFrame(piece) : takeLine(piece)
      if (!found) refused++
      else if (Object.keys(found).length > 0) samples.push(found)
    }
    return { samples, refused }
  }
}
