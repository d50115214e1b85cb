/** A sample as bytes on a line, as `docs/serial-framings.md` says. One encoder a framing. */
import { encode as encodeMessagePack } from '@msgpack/msgpack'
import { cobsEncode } from './cobs.ts'
import { crc16, crc16Text } from './crc16.ts'
import type { FieldValue } from './device-class.ts'
import type { Sample } from './device-model.ts'
import { csvColumns, type DeviceConfig } from './scenario.ts'

export interface Framing {
  /** Ends a frame: 0x0A or 0x00. */
  readonly delimiter: number
  /** With the delimiter at its end. `checksumError` is XORed into the checksum. */
  encode(sample: Sample, checksumError?: number): Uint8Array
  /** What the device says when the port opens, and now and then; may be empty. */
  greeting(): Uint8Array
}

type SerialConfig = NonNullable<DeviceConfig['serial']>

/** One flat object: reserved keys, then fields. */
export function sampleObject(
  sample: Sample,
  { announce, time }: { announce: 'none' | 'kind' | 'all'; time: boolean },
): Record<string, FieldValue> {
  const object: Record<string, FieldValue> = {}
  if (announce === 'all') object['device'] = sample.device
  if (announce !== 'none') object['kind'] = sample.kind
  if (time) object['time_ms'] = sample.timeMs
  for (let i = 0; i < sample.fields.length; i++) object[sample.fields[i] as string] = sample.values[i] as FieldValue
  return object
}

const LOOKS_LIKE_A_VALUE = /^(-?\d+(\.\d+)?([eE][-+]?\d+)?|true|false|)$/

function csvValue(value: FieldValue): string {
  if (typeof value !== 'string') return String(value)
  return /[",\r\n]|^#/.test(value) || LOOKS_LIKE_A_VALUE.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}

export function createFraming(config: DeviceConfig, serial: SerialConfig): Framing {
  const shape = { announce: serial.announce ? 'all' : 'none', time: config.clock === 'own' } as const
  const line = (text: string, checksumError = 0) => {
    const bytes = Buffer.from(text, 'utf8')
    const suffix = serial.checksum ? `*${crc16Text(crc16(bytes) ^ checksumError)}` : ''
    return Buffer.concat([bytes, Buffer.from(`${suffix}\n`)])
  }
  switch (serial.framing) {
    case 'json':
      return {
        delimiter: 0x0a,
        encode: (sample, checksumError) => line(JSON.stringify(sampleObject(sample, shape)), checksumError),
        greeting: () => new Uint8Array(0),
      }
    case 'csv': {
      const columns = csvColumns(config)
      return {
        delimiter: 0x0a,
        encode(sample, checksumError) {
          const object: Record<string, FieldValue> = { time_ms: sample.timeMs, ...sampleObject(sample, shape) }
          return line(columns.map((name) => csvValue(object[name] as FieldValue)).join(','), checksumError)
        },
        greeting: () => (serial.announce_columns ? line(`#columns: ${columns.join(',')}`) : new Uint8Array(0)),
      }
    }
    case 'cobs':
      return {
        delimiter: 0x00,
        encode: (sample, checksumError) => cobsFrame(sampleObject(sample, shape), checksumError),
        greeting: () => Uint8Array.of(0),
      }
  }
}

function cobsFrame(object: unknown, checksumError = 0): Uint8Array {
  const payload = encodeMessagePack(object)
  const crc = crc16(payload) ^ checksumError
  const body = cobsEncode(Buffer.concat([payload, Uint8Array.of(crc >> 8, crc & 0xff)]))
  return Buffer.concat([body, Uint8Array.of(0)])
}
