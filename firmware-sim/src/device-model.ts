// Guarantee: what a device measures is a pure function of (device, field, sequence, seed) and of the run's start and schedule.
// Nothing here knows what time it is, what was sent, or what was computed before.
import { type ClassField, DEVICE_CLASSES, type DeviceClass, type FieldValue, quantise } from './device-class.ts'
import { bell, keyOf, uniform } from './noise.ts'
import type { AnomalyConfig, BadValueConfig, DeviceConfig, Scenario } from './scenario.ts'
import { type Occurrence, occurrenceAt, type Window } from './schedule.ts'

/** All that the values of a run follow from; the ledger keeps it, so that an oracle can be built from the ledger alone. */
export interface Run {
  readonly seed: number
  readonly startedAtMs: number
  /** Readings a second in all, when it was asked for; undefined: as the scenario says. */
  readonly rate: number | undefined
  readonly scenario: Scenario
  /** First sequence of each device in this run; a device that is not named begins with 1. */
  readonly firstSequences: Readonly<Record<string, number>>
}

export interface Sample {
  readonly device: string
  readonly kind: string
  readonly sequence: number
  readonly timeMs: number
  /** Parallel to `values`; `sequence` first. */
  readonly fields: readonly string[]
  readonly values: readonly FieldValue[]
}

/** An anomaly of values; one of missing samples has none. */
export type ValueAnomaly = Exclude<AnomalyConfig, { kind: 'missing' }>

export interface ActiveAnomaly {
  readonly config: ValueAnomaly
  readonly occurrence: Occurrence
}

export interface DeviceModel {
  readonly config: DeviceConfig
  readonly deviceClass: DeviceClass
  readonly intervalMs: number
  readonly firstSequence: number
  /** Of the run, by the device's own clock. */
  readonly startedAtMs: number
  /** Milliseconds after the start of the run at which it is measured; may have a fraction. */
  elapsedMsOf(sequence: number): number
  /** Event time: milliseconds since 1970, an integer, different for every sequence. */
  timeMsOf(sequence: number): number
  /** As measured and sent, anomalies and bad values included. */
  sample(sequence: number): Sample
  anomaliesAt(sequence: number): ActiveAnomaly[]
  badValuesAt(sequence: number): BadValueConfig[]
  /** When nothing is measured and that is an anomaly, in milliseconds after the start of the run; ascending. */
  readonly missing: readonly { readonly fromMs: number; readonly untilMs: number }[]
}

const windowOf = (config: { at: number; for?: number | undefined; every?: number | undefined }): Window => ({
  atMs: config.at,
  forMs: config.for ?? 0,
  everyMs: config.every,
})

/** Beyond the range of any field of any contract. */
const ABSURD = 1e10

export function createDeviceModel(config: DeviceConfig, run: Run, intervalMs: number): DeviceModel {
  const deviceClass: DeviceClass = DEVICE_CLASSES[config.class]
  const { kind, fields } = deviceClass
  const names = fields.map((f) => f.name)
  const key = keyOf(config.name, run.seed)
  const badKey = keyOf(`${config.name} bad values`, run.seed)
  const firstSequence = run.firstSequences[config.name] ?? 1
  const own = run.scenario.anomalies.filter((a) => a.device === config.name)
  const anomalies = own.filter((a) => a.kind !== 'missing')
  const noiseKey = keyOf(`${config.name} variance`, run.seed)
  const badValues = run.scenario.bad_values.filter((b) => b.device === config.name)
  const isHit = ({ share }: BadValueConfig, sequence: number, salt: number) =>
    share === undefined || uniform(badKey, salt, sequence) < share
  const missing = own.filter((a) => a.kind === 'missing')
  const pauses = [
    ...run.scenario.faults.filter((f) => f.device === config.name && f.kind === 'dropout' && !f.measuring),
    ...missing,
  ]
    .map((pause) => ({ atMs: pause.at, forMs: pause.for ?? 0 }))
    .sort((a, b) => a.atMs - b.atMs)

  const elapsedMsOf = (sequence: number) => {
    let elapsedMs = (sequence - firstSequence) * intervalMs
    for (const pause of pauses) if (elapsedMs >= pause.atMs) elapsedMs += pause.forMs
    return elapsedMs
  }
  // Ledgers of before do not say it.
  const startedAtMs = run.startedAtMs - (config.clock_behind ?? 0)
  const timeMsOf = (sequence: number) => startedAtMs + Math.round(elapsedMsOf(sequence))
  const sequenceAt = (elapsedMs: number) => {
    let low = firstSequence
    let high = firstSequence + Math.ceil(elapsedMs / intervalMs) + 1
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (elapsedMsOf(middle) >= elapsedMs) high = middle
      else low = middle + 1
    }
    return low
  }
  const occurrenceOf = (entry: BadValueConfig | ValueAnomaly, sequence: number) => {
    const elapsedMs = elapsedMsOf(sequence)
    const previousMs = sequence > firstSequence ? elapsedMsOf(sequence - 1) : -Infinity
    const whole = occurrenceAt(windowOf(entry), elapsedMs, previousMs)
    return whole && entry.kind === 'recurring_spikes' ? spikeOf(entry, whole, elapsedMs, previousMs) : whole
  }
  const activeAnomalies = (sequence: number): ActiveAnomaly[] =>
    anomalies.flatMap((config) => {
      const occurrence = occurrenceOf(config, sequence)
      return occurrence ? [{ config, occurrence }] : []
    })

  /** `entries`: the anomalies to apply; a stuck one holds what the earlier ones made of its first sample. */
  const measured = (sequence: number, entries: readonly ValueAnomaly[]): FieldValue[] => {
    const elapsedMs = elapsedMsOf(sequence)
    const values = deviceClass.measure(key, sequence, timeMsOf(sequence))
    entries.forEach((anomaly, position) => {
      const occurrence = occurrenceOf(anomaly, sequence)
      if (!occurrence) return
      const at = names.indexOf(anomaly.field)
      if (anomaly.kind === 'stuck') {
        const first = sequenceAt(occurrence.fromMs)
        values[at] = measured(first, entries.slice(0, position))[at] as FieldValue
        return
      }
      const part =
        anomaly.kind === 'drift'
          ? (elapsedMs - occurrence.fromMs) / (occurrence.untilMs - occurrence.fromMs)
          : anomaly.kind === 'variance'
            ? bell(noiseKey, at, sequence)
            : 1
      values[at] = (values[at] as number) + anomaly.by * part
    })
    return values
  }

  return {
    config,
    deviceClass,
    intervalMs,
    firstSequence,
    startedAtMs,
    elapsedMsOf,
    timeMsOf,
    anomaliesAt: activeAnomalies,
    missing: missing.map((one) => ({ fromMs: one.at, untilMs: one.at + one.for })).sort((a, b) => a.fromMs - b.fromMs),
    badValuesAt: (sequence) =>
      badValues.filter((bad, i) => occurrenceOf(bad, sequence) !== undefined && isHit(bad, sequence, i)),
    sample(sequence) {
      const values = measured(sequence, anomalies).map((value, i) => quantise(value, fields[i] as ClassField))
      const sample = { device: config.name, kind, sequence, timeMs: timeMsOf(sequence), fields: names, values }
      const bad = this.badValuesAt(sequence)
      return bad.length === 0 ? sample : bad.reduce(spoil, sample)
    },
  }
}

/** The spike of a series of spikes that hits a sample. */
function spikeOf(
  { at, every, for: forMs, spacing }: Extract<ValueAnomaly, { kind: 'recurring_spikes' }>,
  whole: Occurrence,
  elapsedMs: number,
  previousMs: number,
): Occurrence | undefined {
  const spikes = { atMs: whole.fromMs, forMs: 0, everyMs: spacing }
  const spike = occurrenceAt(spikes, elapsedMs, previousMs)
  const series = every === undefined ? 0 : Math.round((whole.fromMs - at) / every)
  return spike && { ...spike, index: series * Math.ceil(forMs / spacing) + spike.index }
}

function spoil(sample: Sample, bad: BadValueConfig): Sample {
  if (bad.kind === 'unknown_field')
    return { ...sample, fields: [...sample.fields, bad.field], values: [...sample.values, 1] }
  const at = sample.fields.indexOf(bad.field)
  const wrong = typeof sample.values[at] === 'string' ? 7 : 'faulty'
  const value = { wrong_type: wrong, out_of_range: ABSURD, not_in_list: 'overflowing' }[bad.kind]
  return { ...sample, values: sample.values.with(at, value) }
}

/** Intervals scaled to the rate that was asked for. @throws RangeError when times could not stay unique */
export function createDeviceModels(run: Run): DeviceModel[] {
  const made = run.scenario.devices.reduce(
    (sum, d) => sum + (DEVICE_CLASSES[d.class].fields.length * 1000) / d.interval,
    0,
  )
  const factor = run.rate === undefined ? 1 : made / run.rate
  const shortest = Math.min(...run.scenario.devices.map((d) => d.interval)) * factor
  if (shortest < 1)
    throw new RangeError(
      `at ${run.rate} readings/s a device would measure more than once a millisecond; ` +
        `the scenario "${run.scenario.name}" can make ${Math.floor((run.rate ?? made) * shortest)} readings/s at most`,
    )
  return run.scenario.devices.map((config) => createDeviceModel(config, run, config.interval * factor))
}
