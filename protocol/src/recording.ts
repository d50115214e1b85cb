/**
 * A recording of what a serial port said, byte for byte with times: text lines, each a JSON object, `*`, and the CRC-32 of the JSON in
 * eight hexadecimal digits. Append-only: a file that was cut off is whole up to its last line.
 *
 * ```
 * {"recording":1,"port":"/dev/ttyUSB0","baud":115200,"startedAtMs":1760000000000,"program":"0.1.0"}*1A2B3C4D
 * {"afterMs":0,"event":"opened"}*…
 * {"afterMs":12.345,"bytes":"eyJzZXF1ZW5jZSI6MX0K"}*…          base64
 * {"afterMs":60000,"event":"end","detail":"asked to stop"}*…
 * ```
 */
import { crc32 } from 'node:zlib'

export const RECORDING_VERSION = 1
/** Of one line, checksum included. */
export const RECORDING_LINE_BYTES_MAX = 128 * 1024

export interface RecordingHeader {
  readonly recording: number
  readonly port: string
  readonly baud: number
  /** Wall clock, milliseconds since 1970. */
  readonly startedAtMs: number
  readonly program: string
}

/** `closed`: the device went away, or could not be opened. */
export type RecordingEvent = 'opened' | 'closed' | 'end'

/** Milliseconds are monotonic, since the start of the recording. */
export type RecordingEntry =
  | { readonly afterMs: number; readonly bytes: Uint8Array }
  | { readonly afterMs: number; readonly event: RecordingEvent; readonly detail: string }

export const encodeRecordingHeader = (header: Omit<RecordingHeader, 'recording'>): string =>
  line({ recording: RECORDING_VERSION, ...header })

/** A line with its newline; times to the microsecond. */
export function encodeRecordingEntry(entry: RecordingEntry): string {
  const afterMs = Math.round(entry.afterMs * 1_000) / 1_000
  if ('bytes' in entry) {
    const { buffer, byteOffset, length } = entry.bytes
    return line({ afterMs, bytes: Buffer.from(buffer, byteOffset, length).toString('base64') })
  }
  return line({ afterMs, event: entry.event, ...(entry.detail === '' ? {} : { detail: entry.detail }) })
}

const line = (value: unknown): string => {
  const text = JSON.stringify(value)
  return `${text}*${crc32(text).toString(16).toUpperCase().padStart(8, '0')}\n`
}

/** @returns what is wrong with the first line, or what it says */
export function parseRecordingHeader(text: string): RecordingHeader | { readonly problem: string } {
  const value = checked(text)
  if (typeof value === 'string') return { problem: `this is no recording: ${value}` }
  const { recording, port, baud, startedAtMs, program } = value
  if (typeof recording !== 'number' || typeof startedAtMs !== 'number' || !Number.isFinite(startedAtMs))
    return { problem: 'this is no recording: the first line is no header' }
  if (recording > RECORDING_VERSION)
    return { problem: `the recording has version ${recording}; this program reads up to ${RECORDING_VERSION}` }
  return {
    recording,
    port: typeof port === 'string' ? port : '',
    baud: typeof baud === 'number' ? baud : 0,
    startedAtMs,
    program: typeof program === 'string' ? program : '',
  }
}

/** @returns what is wrong with any other line, or what it says */
export function parseRecordingEntry(text: string): RecordingEntry | { readonly problem: string } {
  const value = checked(text)
  if (typeof value === 'string') return { problem: value }
  const { afterMs, bytes, event, detail } = value
  if (typeof afterMs !== 'number' || !(afterMs >= 0)) return { problem: 'the line has no time' }
  if (typeof bytes === 'string') return { afterMs, bytes: Buffer.from(bytes, 'base64') }
  if (event === 'opened' || event === 'closed' || event === 'end')
    return { afterMs, event, detail: typeof detail === 'string' ? detail : '' }
  return { problem: 'the line has neither bytes nor an event' }
}

function checked(text: string): Record<string, unknown> | string {
  const [, json, sum] = /^(.*)\*([0-9A-Fa-f]{8})$/s.exec(text) ?? []
  if (json === undefined || sum === undefined) return 'the line is not whole: it has no checksum'
  if (crc32(json) !== Number.parseInt(sum, 16)) return 'the line is damaged: its checksum does not agree'
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : 'the line is no object'
  } catch {
    return 'the line is no JSON'
  }
}
