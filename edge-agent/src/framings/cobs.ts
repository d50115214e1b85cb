/** COBS frames around a MessagePack map and its CRC-16, each ended by a zero byte. */
import { decode, encode } from '@msgpack/msgpack'
import { STRING_VALUE_BYTES_MAX } from '@tributary/protocol'
import { messageOf } from '@tributary/runtime'
import { isPlainObject } from '../sample.ts'
import { crc16 } from './crc16.ts'
import { createDelimitedReader, type Piece } from './delimited.ts'
import { FRAME_BYTES_MAX, type Frame, type Framing } from './framing.ts'

const RANGES_PER_FRAME = 100
const STARTS_MAX = 64
const LIMITS = {
  useBigInt64: true,
  maxStrLength: Math.max(FRAME_BYTES_MAX, STRING_VALUE_BYTES_MAX),
  maxBinLength: FRAME_BYTES_MAX,
  maxArrayLength: FRAME_BYTES_MAX,
  maxMapLength: FRAME_BYTES_MAX,
  maxExtLength: FRAME_BYTES_MAX,
}

export function createCobs(): Framing {
  const reader = createDelimitedReader(0, 0)
  const framesOf = ({ bytes, length }: Piece): Frame[] => {
    if (length === 0) return []
    const refused = (reason: string, detail: string): Frame[] => [{ reason, detail, original: bytes }]
    if (length > FRAME_BYTES_MAX)
      return refused('frame_too_long', `${length} bytes, at most ${FRAME_BYTES_MAX} are read`)
    const frame = readFrame(bytes)
    if ('value' in frame) return [frame]
    for (const start of startsBehindNoise(bytes)) {
      const behind = readFrame(bytes.subarray(start))
      if (!('value' in behind) || !isPlainObject(behind.value)) continue
      const [noise] = refused('noise', `${start} bytes of noise before a good frame`)
      return [{ ...noise, original: bytes.subarray(0, start) } as Frame, behind]
    }
    return [frame]
  }
  return {
    push: (bytes) => reader.push(bytes).flatMap(framesOf),
    reset() {
      const unfinished = reader.reset()
      if (!unfinished) return []
      const detail = `the frame broke off after ${unfinished.length} bytes`
      return [{ reason: 'cut_short', detail, original: unfinished.bytes }]
    },
    encodeAcknowledgement(ranges) {
      const frames: Uint8Array[] = []
      for (let at = 0; at < ranges.length; at += RANGES_PER_FRAME)
        frames.push(cobsFrame(encode({ ack: ranges.slice(at, at + RANGES_PER_FRAME) })))
      return Buffer.concat(frames)
    },
  }
}

function readFrame(bytes: Uint8Array): Frame {
  const refused = (reason: string, detail: string): Frame => ({ reason, detail, original: bytes })
  const decoded = decodeCobs(bytes)
  if (!decoded) return refused('bad_cobs', 'the frame is not COBS: a block reaches beyond its end')
  if (decoded.length < 3) return refused('cut_short', 'the frame is too short for a map and its checksum')
  const payload = decoded.subarray(0, -2)
  const said = ((decoded.at(-2) as number) << 8) | (decoded.at(-1) as number)
  if (crc16(payload) !== said)
    return refused('bad_checksum', `the frame says ${said.toString(16)}, its bytes give ${crc16(payload).toString(16)}`)
  try {
    return { value: decode(payload, LIMITS), original: bytes }
  } catch (error) {
    return refused('not_msgpack', messageOf(error))
  }
}

/**
 * Where a good frame may begin in a bad one: noise, or a frame that was cut, has no delimiter of its own. A block's length comes first
 * and then the first byte of a map; the latest such places are tried, and checksum and MessagePack must agree.
 */
function startsBehindNoise(bytes: Uint8Array): number[] {
  const starts: number[] = []
  for (let at = bytes.length - 4; at > 0 && starts.length < STARTS_MAX; at--) {
    const first = bytes[at + 1] as number
    if ((first >= 0x81 && first <= 0x8f) || first === 0xde) starts.push(at)
  }
  return starts
}

/** Payload, checksum and delimiter, ready for the line. */
export function cobsFrame(payload: Uint8Array): Uint8Array {
  const crc = crc16(payload)
  const content = Buffer.concat([payload, Uint8Array.of(crc >> 8, crc & 0xff)])
  const out = Buffer.alloc(content.length + Math.ceil(content.length / 254) + 2)
  let codeAt = 0
  let at = 1
  let code = 1
  for (let i = 0; i < content.length; i++) {
    const byte = content[i] as number
    if (byte !== 0) {
      out[at++] = byte
      code++
    }
    if (byte === 0 || (code === 0xff && i + 1 < content.length)) {
      out[codeAt] = code
      codeAt = at++
      code = 1
    }
  }
  out[codeAt] = code
  return out.subarray(0, at + 1)
}

/** @returns undefined when the bytes are not COBS */
function decodeCobs(encoded: Uint8Array): Uint8Array | undefined {
  const out = new Uint8Array(encoded.length)
  let length = 0
  for (let at = 0; at < encoded.length; ) {
    const code = encoded[at] as number
    if (at + code > encoded.length) return undefined
    out.set(encoded.subarray(at + 1, at + code), length)
    length += code - 1
    at += code
    if (code !== 0xff && at < encoded.length) out[length++] = 0
  }
  return out.subarray(0, length)
}
