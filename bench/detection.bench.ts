/**
 * The scenario `anomalies` through the detectors alone, without a pipeline: recall by kind and false alarms of both sizes of the learned
 * detector, over seeds and hours of the day, and false alarms over an hour of devices that are calm.
 */
import { detectorsFor, fullDetector, outlierDetector, seriesContext } from '@tributary/cloud-processor/testing'
import { createDeviceModels, type DeviceModel, loadScenario, type Scenario } from '@tributary/firmware-sim'
import { type Contracts, readContracts } from '@tributary/protocol'
import { judgeDetection, type Label, repositoryFolder, type SpokenVerdict } from '@tributary/stack'
import { type Report, tableLines } from './report.ts'

const SEEDS = 10
const FOR_MS = 300_000
const CALM_FOR_MS = 3_600_000
const DAY_MS = Date.UTC(2026, 10, 21)
const HOUR_MS = 3_600_000
const SIZES = { lite: outlierDetector, full: fullDetector } as const
type Size = keyof typeof SIZES

export async function run(report: Report): Promise<void> {
  if (!report.options.long) return report.print('takes minutes: name it, or give --full')
  const scenario = await loadScenario('anomalies')
  const contracts = await readContracts(`${repositoryFolder}/contracts`)
  for (const size of ['lite', 'full'] as const) {
    const found = Array.from({ length: SEEDS }, (_, i) => {
      report.progress(`${size}, seed ${i + 1}`)
      return runOnce(scenario, contracts, size, i + 1, FOR_MS)
    })
    const kinds = Object.keys(found[0]?.byKind ?? {})
    const rows = kinds.map((kind) => {
      const sum = (key: 'labelled' | 'recalled') => found.reduce((n, { byKind }) => n + (byKind[kind]?.[key] ?? 0), 0)
      return [kind, `${sum('labelled')}`, `${sum('recalled')}`, (sum('recalled') / sum('labelled')).toFixed(3)]
    })
    for (const line of tableLines([[`${size}, ${SEEDS} seeds`, 'labelled', 'recalled', 'recall'], ...rows]))
      report.print(line)
    const worst = Math.min(...found.map(({ recall }) => recall ?? 0))
    report.figure({ what: `${size}: recall, mean of the kinds, worst seed`, value: worst, unit: '' })
    const alarms = found.reduce((n, { falseAlarms }) => n + falseAlarms, 0)
    const days = found.reduce((n, { calmDeviceDays }) => n + calmDeviceDays, 0)
    const what = `${size}: false alarms a device-day at 1 Hz`
    report.figure({
      what: `${what}, beside anomalies`,
      value: alarms / days,
      unit: '',
      beside: `${alarms} in ${days.toFixed(1)} device-days`,
    })
    report.progress(`${size}, an hour of calm`)
    const calm = runOnce({ ...scenario, anomalies: [] }, contracts, size, 1, CALM_FOR_MS)
    const beside = `${calm.falseAlarms} in ${calm.calmDeviceDays.toFixed(1)} device-days: ${calm.falseAlarmExamples.slice(0, 3).join(', ')}`
    report.figure({
      what: `${what}, an hour of calm devices`,
      value: calm.falseAlarmsPerDeviceDay,
      unit: '',
      budget: 1,
      beside,
    })
  }
}

/** Each seed at another hour. */
function runOnce(scenario: Scenario, contracts: Contracts, size: Size, seed: number, forMs: number) {
  const startedAtMs = DAY_MS + ((seed * 5) % 24) * HOUR_MS
  const models = createDeviceModels({ seed, startedAtMs, rate: undefined, scenario, firstSequences: {} })
  const labels: Label[] = []
  const verdicts: SpokenVerdict[] = []
  for (const model of models) watch(model, contracts, size, forMs, labels, verdicts)
  const devices = models.map(({ config, intervalMs }) => ({
    ...{ name: config.name, intervalMs, fromMs: startedAtMs, untilMs: startedAtMs + forMs },
  }))
  return judgeDetection(labels, verdicts, devices)
}

/** Everything that the device measures, field by field. What is missing is the business of the processor, which alone knows promises. */
function watch(
  model: DeviceModel,
  contracts: Contracts,
  size: Size,
  forMs: number,
  labels: Label[],
  verdicts: SpokenVerdict[],
): void {
  const { config, deviceClass, startedAtMs } = model
  const contract = contracts.get(deviceClass.kind)
  if (contract === undefined) throw new Error(`there is no contract of the kind ${deviceClass.kind}`)
  const device = config.name
  const watches = deviceClass.fields.map(({ name }) => {
    const series = seriesContext(contract, 'bench', device, name)
    return detectorsFor(contract, name, series)
      .map((detector) => (detector.family === 'outlier' ? SIZES[size](series) : detector))
      .map((detector) => ({ detector, state: detector.start() }))
  })
  const seen = new Set<string>()
  for (let sequence = 1; model.elapsedMsOf(sequence) < forMs; sequence++) {
    for (const { config: anomaly, occurrence } of model.anomaliesAt(sequence)) {
      const { field, kind } = anomaly
      const key = `${kind} ${field} ${anomaly.at} ${occurrence.index}`
      if (seen.has(key)) continue
      seen.add(key)
      const [fromMs, untilMs] = [startedAtMs + occurrence.fromMs, startedAtMs + occurrence.untilMs]
      labels.push({ device, field, kind, fromMs, untilMs })
    }
    const { timeMs, values, fields } = model.sample(sequence)
    for (const [i, value] of values.entries()) {
      if (typeof value !== 'number') continue
      for (const { detector, state } of watches[i] ?? [])
        if (detector.observe(state as never, timeMs, value)?.anomalous)
          verdicts.push({ device, field: fields[i] as string, detector: detector.name, timeMs })
    }
  }
}
