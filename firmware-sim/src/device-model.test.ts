import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { DEVICE_CLASSES, type DeviceClass } from './device-class.ts'
import { createDeviceModels, type DeviceModel, type Run } from './device-model.ts'
import { scenarioSchema } from './scenario.ts'

const START_MS = Date.UTC(2026, 2, 5, 11, 0, 0)

function run(parts: Record<string, unknown>, seed = 7): Run {
  const scenario = scenarioSchema.parse({ name: 'test', devices: [], ...parts })
  return { seed, startedAtMs: START_MS, rate: undefined, scenario, firstSequences: {} }
}
const only = (parts: Record<string, unknown>, seed?: number): DeviceModel =>
  createDeviceModels(run(parts, seed))[0] as DeviceModel
const value = (model: DeviceModel, field: string, sequence: number) => {
  const { fields, values } = model.sample(sequence)
  return values[fields.indexOf(field)]
}
const pump = { name: 'pump-1', class: 'pump', mqtt: {} }
const seconds = (model: DeviceModel, at: number) => at * 10 + model.firstSequence

describe('values', () => {
  it('depend on device, field, sequence and seed, and on nothing else', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 31 }),
        fc.uniqueArray(fc.integer({ min: 1, max: 1e7 })),
        (seed, order) => {
          const one = only({ devices: [pump] }, seed)
          const two = only({ devices: [pump, { ...pump, name: 'other' }] }, seed)
          const forwards = order.map((sequence) => one.sample(sequence))
          const backwards = [...order].reverse().map((sequence) => two.sample(sequence))
          expect(backwards.reverse()).toEqual(forwards)
        },
      ),
      { numRuns: 20 },
    )
    const differs = (a: DeviceModel, b: DeviceModel) =>
      Array.from(
        { length: 50 },
        (_, i) => value(a, 'velocity_rms_mm_s', i + 1) !== value(b, 'velocity_rms_mm_s', i + 1),
      )
    const here = only({ devices: [pump] }, 1)
    expect(differs(here, only({ devices: [pump] }, 2)).filter(Boolean).length).toBeGreaterThan(40)
    expect(differs(here, only({ devices: [{ ...pump, name: 'pump-2' }] }, 1)).filter(Boolean).length).toBeGreaterThan(
      40,
    )
  })

  const folder = fileURLToPath(new URL('../../contracts/', import.meta.url))
  const contracts = readdirSync(folder).map((file) => contractSchema.parse(parse(readFileSync(folder + file, 'utf8'))))
  for (const [name, deviceClass] of Object.entries<DeviceClass>(DEVICE_CLASSES))
    it(`of a ${name} keep to their contract all day: fields, types, decimals, range, thresholds`, () => {
      const contract = contracts.find((c) => c.kind === deviceClass.kind)
      if (!contract) throw new Error(`there is no contract for ${deviceClass.kind}`)
      expect(deviceClass.fields.map((f) => f.name).sort()).toEqual(Object.keys(contract.fields).sort())
      const model = only({ devices: [{ name: 'd', class: name, interval: '10s', mqtt: {} }] })
      for (let sequence = 1; sequence < 8_640; sequence += 7) {
        const sample = model.sample(sequence)
        expect(sample.kind).toBe(contract.kind)
        sample.fields.forEach((field, i) => {
          const found = sample.values[i]
          const rule = contract.fields[field]
          if (rule?.type === 'boolean' || rule?.type === 'string') expect(typeof found).toBe(rule.type)
          if (rule?.type === 'string' && rule.values) expect(rule.values).toContain(found)
          if (rule?.type !== 'float' && rule?.type !== 'integer') return
          expect(Number.isFinite(found)).toBe(true)
          expect(Number((found as number).toFixed(rule.decimals))).toBe(found)
          const [low, high] = rule.range ?? [-Infinity, Infinity]
          expect(found).toBeGreaterThanOrEqual(low)
          expect(found).toBeLessThanOrEqual(high)
          for (const { field: watched, above = Infinity, below = -Infinity } of contract.thresholds)
            if (watched === field) {
              expect(found).toBeLessThan(above)
              expect(found).toBeGreaterThan(below)
            }
        })
      }
    })

  it('follow day and shift, and a counter never runs backwards', () => {
    const model = only({ devices: [{ name: 'room', class: 'thermometer', interval: '10m', mqtt: {} }] })
    const mean = (fromHour: number) => {
      const first = ((fromHour - 11 + 24) % 24) * 6 + 1
      return (
        Array.from({ length: 18 }, (_, i) => value(model, 'temperature_c', first + i) as number).reduce(
          (a, b) => a + b,
        ) / 18
      )
    }
    expect(mean(14) - mean(2)).toBeGreaterThan(4)
    const meter = only({ devices: [{ name: 'meter', class: 'power_meter', interval: '1m', mqtt: {} }] })
    const energy = Array.from({ length: 3_000 }, (_, i) => value(meter, 'energy_wh', i + 1) as number)
    expect(energy.every((wh, i) => i === 0 || wh >= (energy[i - 1] as number))).toBe(true)
    expect((energy.at(-1) as number) - (energy[0] as number)).toBeGreaterThan(100_000)
  })
})

describe('anomalies', () => {
  const clean = only({ devices: [pump] })
  const at = (anomaly: Record<string, unknown>) =>
    only({ devices: [pump], anomalies: [{ device: 'pump-1', field: 'temperature_c', at: '10s', ...anomaly }] })
  const change = (model: DeviceModel, sequence: number) =>
    Math.round(
      ((value(model, 'temperature_c', sequence) as number) - (value(clean, 'temperature_c', sequence) as number)) * 10,
    ) / 10

  it('a spike hits one sample, and again when it repeats', () => {
    const model = at({ kind: 'spike', by: 30, every: '60s' })
    const hit = Array.from({ length: 1_300 }, (_, i) => i + 1).filter((sequence) => change(model, sequence) !== 0)
    expect(hit).toEqual([101, 701])
    expect(change(model, 101)).toBe(30)
    expect(model.anomaliesAt(101)).toHaveLength(1)
    expect(model.anomaliesAt(102)).toHaveLength(0)
  })
  it('a spike hits exactly one sample at any rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 0, max: 60_000 }), (rate, atMs) => {
        const given = run({
          devices: [pump],
          anomalies: [{ device: 'pump-1', field: 'temperature_c', kind: 'spike', at: `${atMs}ms`, by: 1 }],
        })
        const model = createDeviceModels({ ...given, rate })[0] as DeviceModel
        const near = Math.max(1, Math.floor(atMs / model.intervalMs) - 3)
        const hits = Array.from({ length: 8 }, (_, i) => near + i).filter((s) => model.anomaliesAt(s).length > 0)
        expect(hits).toHaveLength(1)
        expect(model.elapsedMsOf(hits[0] as number)).toBeGreaterThanOrEqual(atMs - 1e-6)
      }),
      { numRuns: 2_000, examples: [[606, 7_500]] },
    )
  })
  it('a level shift lasts, a drift grows, a stuck value stays', () => {
    const shifted = at({ kind: 'level_shift', by: -5, for: '2s' })
    expect([100, 101, 120, 121].map((s) => change(shifted, s))).toEqual([0, -5, -5, 0])
    const drifting = at({ kind: 'drift', by: 8, for: '10s' })
    expect(change(drifting, 101)).toBe(0)
    expect(change(drifting, 151)).toBeCloseTo(4, 0)
    expect(change(drifting, 200)).toBeCloseTo(8, 0)
    expect(change(drifting, 201)).toBe(0)
    const stuck = at({ kind: 'stuck', for: '30s' })
    const held = new Set(Array.from({ length: 300 }, (_, i) => value(stuck, 'temperature_c', 101 + i)))
    expect([...held]).toEqual([value(clean, 'temperature_c', 101)])
  })
  it('noise that grows has the standard deviation that was asked for, and the same values each time', () => {
    const noisy = at({ kind: 'variance', by: 4, for: '100s' })
    const changes = Array.from({ length: 1_000 }, (_, i) => change(noisy, 101 + i))
    const mean = changes.reduce((a, b) => a + b) / changes.length
    const deviation = Math.sqrt(changes.reduce((sum, x) => sum + (x - mean) ** 2, 0) / changes.length)
    expect(Math.abs(mean)).toBeLessThan(0.4)
    expect(deviation).toBeGreaterThan(3.7)
    expect(deviation).toBeLessThan(4.3)
    expect(change(noisy, 100) + change(noisy, 1_101)).toBe(0)
    expect(Array.from({ length: 50 }, (_, i) => change(noisy, 150 - i)).reverse()).toEqual(changes.slice(0, 50))
  })
  it('recurring spikes hit one sample each, and are told apart', () => {
    const model = at({ kind: 'recurring_spikes', by: 30, for: '40s', spacing: '15s', every: '60s' })
    const hit = Array.from({ length: 1_300 }, (_, i) => i + 1).filter((sequence) => change(model, sequence) !== 0)
    expect(hit).toEqual([101, 251, 401, 701, 851, 1_001])
    expect(hit.map((s) => model.anomaliesAt(s)[0]?.occurrence.index)).toEqual([0, 1, 2, 3, 4, 5])
    expect(model.anomaliesAt(251)[0]?.occurrence).toMatchObject({ fromMs: 25_000, untilMs: 25_000 })
  })
  it('what is missing was never measured: sequences have no hole, times have', () => {
    const model = only({
      devices: [pump],
      anomalies: [{ device: 'pump-1', kind: 'missing', at: '10s', for: '25s' }],
    })
    expect([100, 101].map((s) => model.elapsedMsOf(s))).toEqual([9_900, 35_000])
    expect(model.missing).toEqual([{ fromMs: 10_000, untilMs: 35_000 }])
    expect(model.sample(101).values.slice(1)).not.toEqual(clean.sample(101).values.slice(1))
  })
  it('bad values are what the contract must refuse', () => {
    const model = only({
      devices: [pump],
      bad_values: [
        { device: 'pump-1', field: 'temperature_c', kind: 'out_of_range', at: '1s' },
        { device: 'pump-1', field: 'speed_rpm', kind: 'wrong_type', at: '2s' },
        { device: 'pump-1', field: 'mood', kind: 'unknown_field', at: '3s' },
      ],
    })
    expect(value(model, 'temperature_c', seconds(model, 1))).toBe(1e10)
    expect(value(model, 'speed_rpm', seconds(model, 2))).toBe('faulty')
    expect(value(model, 'mood', seconds(model, 3))).toBe(1)
    expect(model.sample(seconds(model, 3) + 1).fields).not.toContain('mood')
  })

  it('a share of bad values hits that part of the samples, each time the same ones', () => {
    const bad_values = [
      { device: 'pump-1', field: 'temperature_c', kind: 'out_of_range', at: '1s', for: '1h', share: 0.01 },
      { device: 'pump-1', field: 'speed_rpm', kind: 'wrong_type', at: '0s', for: '1h', share: 0.5 },
    ]
    const hits = (model: DeviceModel, field: string) =>
      Array.from({ length: 30_000 }, (_, i) => i + 1).filter((s) => model.badValuesAt(s).some((b) => b.field === field))
    const model = only({ devices: [pump], bad_values })
    const rare = hits(model, 'temperature_c')
    expect(rare.length).toBeGreaterThan(240)
    expect(rare.length).toBeLessThan(360)
    expect(rare[0]).toBeGreaterThan(10)
    expect(value(model, 'temperature_c', rare[0] as number)).toBe(1e10)
    expect(hits(only({ devices: [pump], bad_values }), 'temperature_c')).toEqual(rare)
    expect(hits(only({ devices: [pump], bad_values }, 8), 'temperature_c')).not.toEqual(rare)
    const both = hits(model, 'speed_rpm').filter((sequence) => rare.includes(sequence)).length
    expect(both / rare.length).toBeCloseTo(0.5, 0)
  })
})

describe('times', () => {
  it('of a device whose clock is behind are so much earlier; its schedule goes by the run', () => {
    const spike = { device: 'pump-1', field: 'temperature_c', kind: 'spike', at: '10s', by: 30 }
    const right = only({ devices: [pump], anomalies: [spike] })
    const behind = only({ devices: [{ ...pump, clock_behind: '75m' }], anomalies: [spike] })
    expect(behind.timeMsOf(1)).toBe(START_MS - 75 * 60_000)
    expect(behind.startedAtMs).toBe(behind.timeMsOf(1))
    for (const model of [right, behind]) expect(model.anomaliesAt(101)).toHaveLength(1)
    expect(behind.sample(101).timeMs).toBe(right.sample(101).timeMs - 75 * 60_000)
  })
  it('are start + (sequence - 1) × interval, and stay unique at any rate', () => {
    const model = only({ devices: [pump] })
    expect(model.timeMsOf(1)).toBe(START_MS)
    expect(model.timeMsOf(11)).toBe(START_MS + 1_000)
    const [fast] = createDeviceModels({ ...run({ devices: [pump] }), rate: 3_700 })
    const times = Array.from({ length: 5_000 }, (_, i) => fast?.timeMsOf(i + 1))
    expect(new Set(times).size).toBe(times.length)
  })
  it('jump over a dropout in which nothing is measured; the sequence goes on', () => {
    const model = only({
      devices: [pump],
      faults: [{ device: 'pump-1', kind: 'dropout', at: '5s', for: '3s', measuring: false }],
    })
    expect(model.timeMsOf(50)).toBe(START_MS + 4_900)
    expect(model.timeMsOf(51)).toBe(START_MS + 8_000)
  })
  it('refuse a rate at which they could not be unique', () => {
    expect(() => createDeviceModels({ ...run({ devices: [pump] }), rate: 6_000 })).toThrow(/5000 readings\/s at most/)
  })
})
