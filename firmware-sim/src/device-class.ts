/**
 * What each class of device measures when nothing is wrong. Pure: key, sequence and time in, values out. Fields and
 * decimals are those of the contract of the kind (`contracts/<kind>.yaml`); a test compares them.
 */
import { bell, wander } from './noise.ts'

export type FieldValue = number | boolean | string
export type FieldType = 'float' | 'integer' | 'boolean' | 'string'

export interface ClassField {
  readonly name: string
  readonly type: FieldType
  readonly decimals: number
}

export interface DeviceClass {
  readonly kind: string
  /** In the order of `measure`; `sequence` first. */
  readonly fields: readonly ClassField[]
  /** One value a field, not rounded yet. */
  measure(key: number, sequence: number, timeMs: number): FieldValue[]
}

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000

/** -1 at three at night, 1 at three in the afternoon, UTC. */
const daily = (timeMs: number) => Math.sin((2 * Math.PI * (timeMs - 9 * 60 * MINUTE_MS)) / DAY_MS)

/** 1 while the two shifts work (06:00 to 22:00 UTC), 0 at night, ten minutes of transition. */
function shift(timeMs: number): number {
  const minute = (timeMs % DAY_MS) / MINUTE_MS
  const ramp = (from: number) => Math.min(1, Math.max(0, (minute - from) / 10))
  return ramp(360) - ramp(1320)
}

const float = (name: string, decimals: number): ClassField => ({ name, type: 'float', decimals })
const SEQUENCE: ClassField = { name: 'sequence', type: 'integer', decimals: 0 }

const thermometer: DeviceClass = {
  kind: 'climate',
  fields: [SEQUENCE, float('temperature_c', 2), float('humidity_percent', 1), float('pressure_hpa', 2)],
  measure(key, sequence, timeMs) {
    const warmth = 3 * daily(timeMs) + shift(timeMs) + 0.5 * wander(key, 1, timeMs, 10 * MINUTE_MS)
    return [
      sequence,
      21 + warmth + 0.05 * bell(key, 2, sequence),
      45 - 1.5 * warmth + 2 * wander(key, 3, timeMs, 20 * MINUTE_MS) + 0.3 * bell(key, 4, sequence),
      1013 + 8 * wander(key, 5, timeMs, 360 * MINUTE_MS) + 0.05 * bell(key, 6, sequence),
    ]
  },
}

const pump: DeviceClass = {
  kind: 'vibration',
  fields: [
    SEQUENCE,
    float('velocity_rms_mm_s', 3),
    float('acceleration_peak_g', 3),
    float('temperature_c', 1),
    float('speed_rpm', 0),
  ],
  measure(key, sequence, timeMs) {
    const load = 0.5 + 0.4 * shift(timeMs) + 0.1 * wander(key, 1, timeMs, 5 * MINUTE_MS)
    return [
      sequence,
      1.6 + 0.6 * load + 0.06 * bell(key, 2, sequence),
      0.8 + 0.5 * load + 0.04 * bell(key, 3, sequence),
      50 + 8 * load + 2 * daily(timeMs) + 0.2 * bell(key, 4, sequence),
      1490 - 20 * load + 1.5 * bell(key, 5, sequence),
    ]
  },
}

const POWER_MEAN_W = 3_300
const POWER_SWING = 0.25
/** The meter counts from here, so that it goes on when the simulator is started again. */
const METER_EPOCH_MS = Date.UTC(2026, 0, 1)

/** The integral of the daily load curve: a counter that only grows, until it wraps at 2^32. */
function energyWh(timeMs: number): number {
  const hours = (timeMs - METER_EPOCH_MS) / 3_600_000
  const omega = (2 * Math.PI) / 24
  return POWER_MEAN_W * (hours - (POWER_SWING / omega) * Math.cos(omega * (hours - 9)))
}

const powerMeter: DeviceClass = {
  kind: 'power',
  fields: [
    SEQUENCE,
    float('voltage_v', 1),
    float('current_a', 3),
    float('power_w', 1),
    float('frequency_hz', 3),
    { name: 'energy_wh', type: 'integer', decimals: 0 },
  ],
  measure(key, sequence, timeMs) {
    const voltage = 230 - 2 * daily(timeMs) + wander(key, 1, timeMs, 3 * MINUTE_MS) + 0.3 * bell(key, 2, sequence)
    const watts =
      POWER_MEAN_W * (1 + POWER_SWING * daily(timeMs) + 0.05 * wander(key, 3, timeMs, 2 * MINUTE_MS)) +
      15 * bell(key, 4, sequence)
    const wrapped = Math.floor(energyWh(timeMs)) % 2 ** 32
    return [
      sequence,
      voltage,
      watts / (voltage * 0.95),
      watts,
      50 + 0.03 * wander(key, 5, timeMs, MINUTE_MS) + 0.004 * bell(key, 6, sequence),
      wrapped < 0 ? wrapped + 2 ** 32 : wrapped,
    ]
  },
}

const TANK_LITRES = 5_000
const TANK_CYCLE_MS = 20 * MINUTE_MS

const tank: DeviceClass = {
  kind: 'tank',
  fields: [
    SEQUENCE,
    float('level_percent', 2),
    float('volume_litres', 1),
    { name: 'pump_on', type: 'boolean', decimals: 0 },
    { name: 'state', type: 'string', decimals: 0 },
  ],
  /** Drains from 80 % to 30 % in 15 minutes, is filled in 4, rests for 1. */
  measure(key, sequence, timeMs) {
    const minute = ((timeMs + key) % TANK_CYCLE_MS) / MINUTE_MS
    const state = minute < 15 ? 'draining' : minute < 19 ? 'filling' : 'idle'
    const base = state === 'draining' ? 80 - (50 * minute) / 15 : state === 'filling' ? 30 + 12.5 * (minute - 15) : 80
    const level = base + 0.03 * bell(key, 1, sequence)
    return [sequence, level, (level / 100) * TANK_LITRES, state === 'filling', state]
  },
}

export const DEVICE_CLASSES = { pump, thermometer, power_meter: powerMeter, tank } as const
export type DeviceClassName = keyof typeof DEVICE_CLASSES

/** How a value stands on the wire: numbers with the contract's decimals. */
export function quantise(value: FieldValue, field: ClassField): FieldValue {
  if (typeof value !== 'number') return value
  const scale = 10 ** field.decimals
  return Math.round(value * scale) / scale + 0
}
