/** One device as it runs: what it has measured so far, its link, and what the ledger has been told of it. */
import type { Clock, Logger } from '@tributary/runtime'
import type { DeviceModel, Run } from './device-model.ts'
import { anomalyFlag, type Ledger, refusedFlag } from './ledger.ts'
import { createLineFaults, type LineFaults } from './line-fault.ts'
import type { Link } from './link.ts'
import { createMqttLink } from './mqtt-link.ts'
import { createSerialLink } from './serial-link.ts'

export interface MeasuringDevice {
  readonly model: DeviceModel
  readonly link: Link
  readonly nextSequence: number
  readonly counts: Readonly<Counts>
  /** Measures what fell due up to a moment and tells the ledger. @returns how many readings */
  measure(untilMs: number): number
  /** For faults that come besides the scenario's. */
  readonly faults: Pick<LineFaults, 'add' | 'replug'>
  /** Hands what was measured since to the link, and lets it work. Only after the ledger was flushed. */
  send(nowMs: number): void
}

interface Counts {
  samples: number
  readings: number
  refusedReadings: number
  lostSamples: number
}

export function createMeasuringDevice(
  model: DeviceModel,
  run: Run,
  options: { portsFolder: string; brokerUrl: () => string; durationMs: number | undefined },
  { clock, log, ledger }: { clock: Clock; log: Logger; ledger: Ledger },
): MeasuringDevice {
  const { config } = model
  const { scenario } = run
  const fieldCount = model.deviceClass.fields.length
  const counts: Counts = { samples: 0, readings: 0, refusedReadings: 0, lostSamples: 0 }
  const faults: LineFaults = createLineFaults(scenario.faults, config.name, run.seed)
  const dependencies = {
    model,
    faults,
    clock,
    log,
    lost: (sequence: number, loss: Parameters<Ledger['lost']>[2]) => {
      counts.lostSamples++
      ledger.lost(config.name, sequence, loss)
    },
  }
  const link = config.serial
    ? createSerialLink(config.serial, { folder: options.portsFolder, seed: run.seed }, dependencies)
    : createMqttLink(config.mqtt as NonNullable<typeof config.mqtt>, options.brokerUrl, dependencies)

  let nextSequence = model.firstSequence
  let handedOver = model.firstSequence
  /** The latest occurrence of each scheduled entry that the ledger knows of. */
  const labelled = new Map<string, number>()
  const isNew = (entry: string, occurrence: number) => {
    if ((labelled.get(entry) ?? -1) >= occurrence) return false
    labelled.set(entry, occurrence)
    return true
  }
  const timesFrom = (startedAtMs: number, { fromMs, untilMs }: { fromMs: number; untilMs: number }) => ({
    fromMs: startedAtMs + Math.round(fromMs),
    untilMs: startedAtMs + Math.round(untilMs),
  })

  const measureOne = (sequence: number) => {
    const anomalies = model.anomaliesAt(sequence)
    const bad = model.badValuesAt(sequence)
    const flags =
      anomalies.length + bad.length === 0
        ? ''
        : [...anomalies.map((a) => anomalyFlag(a.config)), ...bad.map(refusedFlag)].join('|')
    ledger.sample(config.name, sequence, model.timeMsOf(sequence), flags)
    counts.samples++
    counts.readings += fieldCount + bad.filter(({ kind }) => kind === 'unknown_field').length
    counts.refusedReadings += bad.length
    for (const { config: anomaly, occurrence } of anomalies) {
      if (!isNew(`anomaly ${scenario.anomalies.indexOf(anomaly)}`, occurrence.index)) continue
      const { device, field, kind } = anomaly
      const by = 'by' in anomaly ? anomaly.by : undefined
      const times = timesFrom(model.startedAtMs, occurrence)
      ledger.event({ type: 'anomaly', atMs: clock.wallMs(), device, field, kind, by, fromSequence: sequence, ...times })
    }
  }

  return {
    model,
    link,
    get nextSequence() {
      return nextSequence
    },
    counts,
    faults,
    measure(untilMs) {
      for (const [i, times] of model.missing.entries()) {
        if (times.fromMs > untilMs || (options.durationMs !== undefined && times.fromMs >= options.durationMs)) break
        if (isNew(`missing ${i}`, 0))
          ledger.event({
            ...{ type: 'anomaly', atMs: clock.wallMs(), device: config.name, field: '', kind: 'missing' },
            ...{ by: undefined, fromSequence: nextSequence, ...timesFrom(model.startedAtMs, times) },
          })
      }
      const before = counts.readings
      for (; ; nextSequence++) {
        const atMs = model.elapsedMsOf(nextSequence)
        if (atMs > untilMs || (options.durationMs !== undefined && atMs >= options.durationMs)) break
        measureOne(nextSequence)
      }
      return counts.readings - before
    },
    send(nowMs) {
      for (const { entry, occurrence, kind, ...active } of faults.activeAt(nowMs))
        if (isNew(`fault ${entry}`, occurrence))
          ledger.event({
            ...{ type: 'fault', atMs: clock.wallMs(), device: config.name, kind },
            ...timesFrom(run.startedAtMs, active),
          })
      for (; handedOver < nextSequence; handedOver++) link.measured(handedOver)
      link.tick(nowMs)
    },
  }
}
