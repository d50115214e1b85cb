/**
 * What is measured, in turn by each of many devices, and what the store must hold of it in the end. A value is a function of
 * (device, field, sequence), and a sample is the same whether it goes as a JSON message or as a line.
 */
import { fieldKey, type LineBuffer, linePrefix } from '@tributary/cloud-processor/testing'

export const KIND = 'climate'
export const SITE = 'bench'
/** Field → power of ten that it is an integer in. */
const FIELDS = { temperature_c: 100, humidity_percent: 10, pressure_hpa: 100, sequence: 1 } as const
export type Field = keyof typeof FIELDS
export const FIELD_NAMES = Object.keys(FIELDS) as Field[]
export const READINGS_PER_SAMPLE = FIELD_NAMES.length

export interface LoadDevice {
  readonly name: string
  /** Samples taken so far. */
  count: number
  readonly sums: Record<Field, number>
  readonly prefix: Uint8Array
}

export interface Message {
  readonly topic: string
  readonly payload: Buffer
  readonly readings: number
}

export interface Workload {
  readonly devices: readonly LoadDevice[]
  /** Taken so far. */
  readonly readings: number
  /** The next `samples` samples of the device whose turn it is, as one message. */
  message(samples: number): Message
  /** One sample of each device, measured at `timeMs`. */
  round(timeMs: number): Message[]
  /** The same as `message`, as lines. */
  lines(samples: number, lines: LineBuffer): void
}

const KEYS = Object.fromEntries(FIELD_NAMES.map((field) => [field, fieldKey(field)])) as Record<Field, Uint8Array>

/** @param stepMs between two samples of a device */
export function createWorkload(deviceCount: number, startMs: number, stepMs: number): Workload {
  const devices = Array.from({ length: deviceCount }, (_, i): LoadDevice => {
    const name = `meter-${i + 1}`
    return {
      name,
      count: 0,
      sums: { temperature_c: 0, humidity_percent: 0, pressure_hpa: 0, sequence: 0 },
      prefix: linePrefix(KIND, { site: SITE, device: name }),
    }
  })
  let turn = 0
  const nextDevice = () => devices[turn++ % devices.length] as LoadDevice
  /** As a device would print it: no more decimals than it measures. */
  const take = (device: LoadDevice): Record<Field, number> => {
    const sequence = device.count++
    const noise = (sequence * 7_919 + device.name.length * 31) % 13
    const values = {
      temperature_c: (2_100 + Math.round(80 * Math.sin(sequence / 900)) + noise) / 100,
      humidity_percent: (450 + Math.round(30 * Math.sin(sequence / 1_300)) + (noise % 5)) / 10,
      pressure_hpa: (101_300 + Math.round(90 * Math.sin(sequence / 2_100)) + noise) / 100,
      sequence,
    }
    for (const field of FIELD_NAMES) device.sums[field] += values[field]
    return values
  }
  const json = (timeMs: number, { temperature_c, humidity_percent, pressure_hpa, sequence }: Record<Field, number>) =>
    `{"time_ms":${timeMs},"temperature_c":${temperature_c},"humidity_percent":${humidity_percent},"pressure_hpa":${pressure_hpa},"sequence":${sequence}}`
  const messageOf = (device: LoadDevice, samples: readonly string[]): Message => ({
    topic: `sensors/${device.name}/sample`,
    payload: Buffer.from(samples.length === 1 ? (samples[0] as string) : `[${samples.join(',')}]`),
    readings: samples.length * READINGS_PER_SAMPLE,
  })
  return {
    devices,
    get readings() {
      return devices.reduce((sum, { count }) => sum + count, 0) * READINGS_PER_SAMPLE
    },
    message(samples) {
      const device = nextDevice()
      const texts = Array.from({ length: samples }, () => json(startMs + device.count * stepMs, take(device)))
      return messageOf(device, texts)
    },
    round: (timeMs) => devices.map((device) => messageOf(device, [json(timeMs, take(device))])),
    lines(samples, lines) {
      const device = nextDevice()
      for (let i = 0; i < samples; i++) {
        const timeMs = startMs + device.count * stepMs
        const values = take(device)
        lines.begin(device.prefix)
        lines.float(KEYS.temperature_c, values.temperature_c, FIELDS.temperature_c)
        lines.float(KEYS.humidity_percent, values.humidity_percent, FIELDS.humidity_percent)
        lines.float(KEYS.pressure_hpa, values.pressure_hpa, FIELDS.pressure_hpa)
        lines.integer(KEYS.sequence, values.sequence)
        lines.end(device.prefix, timeMs, READINGS_PER_SAMPLE, -1)
      }
    },
  }
}
