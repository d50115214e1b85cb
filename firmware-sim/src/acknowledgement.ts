/** Reads the host's acknowledgements from a line, text or COBS. What cannot be understood is counted and dropped. */
import { decode as decodeMessagePack } from '@msgpack/msgpack'
import { cobsDecode } from './cobs.ts'
import { crc16 } from './crc16.ts'
import type { Framing } from './framing.ts'

export type SequenceRange = readonly [first: number, last: number]

/** Bytes of one line or frame from the host. */
const LINE_BYTES_MAX = 4_096

export interface AcknowledgementReader {
  readonly notUnderstood: number
  /** @returns the ranges in what arrived, in its order */
  push(bytes: Uint8Array): SequenceRange[]
  /** Forgets what was begun: the port was opened anew. */
  reset(): void
}

export function createAcknowledgementReader({ delimiter }: Pick<Framing, 'delimiter'>): AcknowledgementReader {
  const parse = delimiter === 0 ? parseFrame : parseLine
  let pending = Buffer.alloc(0)
  let tooLong = false
  let notUnderstood = 0
  return {
    get notUnderstood() {
      return notUnderstood
    },
    push(bytes) {
      pending = Buffer.concat([pending, bytes])
      const ranges: SequenceRange[] = []
      for (;;) {
        const end = pending.indexOf(delimiter)
        if (end < 0) break
        const frame = pending.subarray(0, end)
        pending = pending.subarray(end + 1)
        const found = tooLong || frame.length > LINE_BYTES_MAX ? undefined : parse(frame)
        tooLong = false
        if (found) ranges.push(...found)
        else notUnderstood++
      }
      if (pending.length > LINE_BYTES_MAX) {
        pending = Buffer.alloc(0)
        tooLong = true
      }
      return ranges
    },
    reset() {
      pending = Buffer.alloc(0)
      tooLong = false
    },
  }
}

/** @returns undefined when it is none; [] for an empty line */
export function parseLine(bytes: Uint8Array): SequenceRange[] | undefined {
  const line = Buffer.from(bytes).toString('utf8').replace(/\r$/, '')
  if (line === '') return []
  const [, text, checksum] = /^(.*?)(?:\*([0-9a-fA-F]{4}))?$/s.exec(line) ?? []
  if (text === undefined) return undefined
  if (checksum !== undefined && Number.parseInt(checksum, 16) !== crc16(Buffer.from(text))) return undefined
  if (!/^ack \d{1,16}(-\d{1,16})?(,\d{1,16}(-\d{1,16})?)*$/.test(text)) return undefined
  return text
    .slice('ack '.length)
    .split(',')
    .map((range) => {
      const [first, last] = range.split('-').map(Number) as [number, number?]
      return [first, last ?? first] as const
    })
}

/** @returns undefined when it is none; [] for an empty frame */
export function parseFrame(bytes: Uint8Array): SequenceRange[] | undefined {
  if (bytes.length === 0) return []
  const body = cobsDecode(bytes)
  if (!body || body.length < 3) return undefined
  const payload = body.subarray(0, -2)
  if (crc16(payload) !== (((body.at(-2) as number) << 8) | (body.at(-1) as number))) return undefined
  let message: unknown
  try {
    message = decodeMessagePack(payload)
  } catch {
    return undefined
  }
  const ack = (message as { ack?: unknown } | null)?.ack
  if (!Array.isArray(ack)) return undefined
  const isRange = (range: unknown) =>
    Array.isArray(range) && range.length === 2 && range.every((n) => Number.isSafeInteger(n) && n >= 0)
  return ack.every(isRange) ? (ack as SequenceRange[]) : undefined
}
