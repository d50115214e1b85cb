/**
 * Line protocol as the processor writes it (ARCHITECTURE.md, "Processor → InfluxDB"): eight devices, two agents and
 * their health, a day of it. For tests only; every value is a function of device, field and time.
 */
import type { Contract, ContractField, Contracts } from '@tributary/protocol'
import { exampleDrifts } from './example-drifts.ts'
import { exampleEvents } from './example-events.ts'
import { exampleCounter, HEALTH_SHAPES, healthText } from './example-health.ts'
import { exampleExpected, exampleMarks } from './example-marks.ts'

export const EXAMPLE_SITE = 'workshop'
export const EXAMPLE_DEVICES: Readonly<Record<string, readonly string[]>> = {
  climate: ['thermometer-1', 'thermometer-2'],
  vibration: ['pump-1', 'pump-2'],
  power: ['power-1', 'power-2'],
  tank: ['tank-1', 'tank-2'],
  agent_health: ['agent-1', 'agent-2'],
  gateway_health: ['gateway-1'],
  processor_health: ['processor-1'],
  host: ['agent-1', 'agent-2'],
}

const SHAPES: Readonly<Record<string, readonly [centre: number, swing: number, noise: number]>> = {
  'climate.temperature_c': [21.4, 1.6, 0.06],
  'climate.humidity_percent': [46, 5, 0.4],
  'climate.pressure_hpa': [1013.2, 2.4, 0.05],
  'vibration.velocity_rms_mm_s': [2.1, 0.4, 0.12],
  'vibration.acceleration_peak_g': [0.9, 0.2, 0.05],
  'vibration.temperature_c': [54, 4, 0.3],
  'vibration.speed_rpm': [1480, 6, 3],
  'power.voltage_v': [230.4, 2.2, 0.4],
  'power.current_a': [8.2, 2.6, 0.15],
  'power.power_w': [1850, 520, 24],
  'power.frequency_hz': [50, 0.015, 0.004],
  'tank.level_percent': [62, 18, 0.05],
  'tank.volume_litres': [1240, 360, 1],
  ...HEALTH_SHAPES,
}

/** Noise between -1 and 1, the same for the same arguments. */
function noise(...parts: (string | number)[]): number {
  let hash = 0x811c9dc5
  for (const character of parts.join('/')) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193) >>> 0
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 31 - 1
}

export function exampleValue(kind: string, device: string, field: string, timeMs: number): number {
  const [centre, swing, jitter] = SHAPES[`${kind}.${field}`] ?? [40, 12, 1]
  const phase = (timeMs / 86_400_000) * 2 * Math.PI * 6 + device.length + Number(device.at(-1)) * 1.7
  const offset = (Number(device.at(-1)) - 1.5) * swing * 0.8
  return centre + offset + swing * Math.sin(phase) + jitter * noise(kind, device, field, timeMs)
}

function fieldText(contract: Contract, device: string, name: string, field: ContractField, timeMs: number): string {
  const told = healthText(contract.kind, device, name, timeMs)
  if (told !== undefined) return `${name}=${told}`
  const value = exampleValue(contract.kind, device, name, timeMs)
  const minute = Math.floor(timeMs / 60_000)
  switch (field.type) {
    case 'float':
      return `${name}=${value.toFixed(field.decimals)}`
    case 'integer':
      return `${name}=${field.role ? exampleCounter(contract.kind, name, timeMs) : Math.abs(Math.round(value * 10))}i`
    case 'boolean':
      return `${name}=${(minute + device.length + Number(device.at(-1))) % 5 < 3}`
    case 'string':
      return `${name}="${(field.values ?? [`${name}-1`])[(Math.floor(minute / 3) + Number(device.at(-1))) % (field.values?.length ?? 1)]}"`
  }
}

/** Raw samples, windows, account, alerts, anomalies, dead letters. @param nowMs end of the data */
export function exampleLines(contracts: Contracts, nowMs: number): { raw: string[]; rollup: string[] } {
  const raw: string[] = []
  const rollup: string[] = []
  for (const contract of contracts.values())
    for (const device of EXAMPLE_DEVICES[contract.kind] ?? []) {
      const tags = `site=${EXAMPLE_SITE},device=${device}`
      for (let ageMs = 0; ageMs < 1_200_000; ageMs += contract.interval) {
        const timeMs = nowMs - ageMs - (Number(device.at(-1)) % 2) * 100
        // A hole, as a dropout leaves it.
        if (device === 'thermometer-2' && ageMs > 400_000 && ageMs < 460_000) continue
        const fields = Object.entries(contract.fields).map(([name, f]) => fieldText(contract, device, name, f, timeMs))
        raw.push(`${contract.kind},${tags} ${fields.join(',')} ${timeMs}`)
      }
      for (const [suffix, windowMs, spanMs] of [
        ['10s', 10_000, 21_600_000],
        ['1m', 60_000, 90_000_000],
        ['15m', 900_000, 172_800_000],
        ['1h', 3_600_000, 2_419_200_000],
      ] as const)
        for (let start = Math.floor(nowMs / windowMs) * windowMs - windowMs; start > nowMs - spanMs; start -= windowMs)
          rollup.push(`${contract.kind}_${suffix},${tags} ${windowFields(contract, device, start, windowMs)} ${start}`)
      rollup.push(
        ...exampleExpected(contract, tags, nowMs, (field, ms) => exampleValue(contract.kind, device, field, ms)),
      )
      raw.push(...exampleMarks(contract, tags, nowMs))
    }
  raw.push(...accountLines(nowMs), ...exampleEvents(EXAMPLE_SITE, nowMs))
  raw.push(...exampleDrifts(EXAMPLE_SITE, nowMs))
  return { raw, rollup }
}

function windowFields(contract: Contract, device: string, startMs: number, windowMs: number): string {
  const parts: string[] = ['revision=0i']
  if (windowMs === 3_600_000) parts.push(`hour=${(startMs / windowMs) % 24}i`)
  for (const [name, field] of Object.entries(contract.fields)) {
    parts.push(`${name}_count=${Math.max(1, Math.round(windowMs / contract.interval))}i`)
    const state = fieldText(contract, device, name, field, startMs).slice(name.length + 1)
    if (field.type === 'string' || field.type === 'boolean') parts.push(`${name}_last=${state}`)
    if (field.type === 'boolean') parts.push(`${name}_mean=${state === 'true' ? 1 : 0.25}`)
    if (field.type !== 'float' && field.type !== 'integer') continue
    const mean = exampleValue(contract.kind, device, name, startMs)
    parts.push(
      `${name}_mean=${mean},${name}_min=${mean - 1},${name}_max=${mean + 1},${name}_stddev=0.5,${name}_last=${mean}`,
    )
    if (field.role === 'counter') parts.push(`${name}_increase=${windowMs / 500},${name}_rate=2,${name}_resets=0i`)
  }
  return parts.join(',')
}

function accountLines(nowMs: number): string[] {
  const lines: string[] = []
  for (const agent of [1, 2])
    for (let ageMs = 0; ageMs < 21_600_000; ageMs += ageMs < 1_200_000 ? 5_000 : 60_000) {
      const timeMs = nowMs - ageMs
      const produced = Math.round((21_600_000 - ageMs) * 0.0105 * agent)
      const inFlight = Math.round(18 + 8 * noise('in flight', agent, timeMs))
      const dead = Math.floor((21_600_000 - ageMs) / 1_800_000) * agent
      // The second one had no link for a while, and a small card.
      const shed = agent === 2 && ageMs < 7_200_000 ? 1_200 : 0
      const counts = `produced=${produced}i,stored=${produced - inFlight - dead - shed}i,dead_lettered=${dead}i,shed=${shed}i,in_flight=${inFlight}i,missing=0i`
      lines.push(`account,site=${EXAMPLE_SITE},device=agent-${agent} ${counts} ${timeMs}`)
      if (shed > 0 && ageMs % 60_000 === 0)
        lines.push(
          `shed,site=${EXAMPLE_SITE},device=agent-${agent},reason=rolled_up_10s readings=${shed}i,batches=12i ${timeMs}`,
        )
      if (ageMs % 60_000 === 0)
        for (const [stage, reason, share] of [
          ['edge', 'bad_checksum', 0.5],
          ['contract', 'out_of_range', 0.3],
        ] as const)
          lines.push(
            `dead_letter,site=${EXAMPLE_SITE},device=agent-${agent},stage=${stage},reason=${reason} letters=${Math.ceil(dead * share)}i,readings=${Math.ceil(dead * share) * 4}i ${timeMs}`,
          )
    }
  return lines
}
