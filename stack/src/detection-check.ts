/**
 * What detectors made of the anomalies that the simulator labelled. Pure.
 *
 * An anomaly is recalled when some detector said so of its device and field (that the device is silent, when samples are missing) while it lasted or
 * up to `DELAY_MS` later. One verdict recalls one anomaly, the latest that had begun: of spikes that recur each must be said. A false alarm is a verdict
 * on a device of which no anomaly is labelled then; verdicts of one detector and series within `DELAY_MS` of each other are one alarm.
 */

/** Learned detectors need a moment to be sure, and an anomaly's end is a change as well. */
export const DELAY_MS = 10_000
/** Before that detectors learn: such time is not counted as calm. */
export const WARM_UP_MS = 60_000
const DAY_SAMPLES = 86_400
const EXAMPLES_MAX = 12

export interface Label {
  readonly device: string
  /** '' when it is about the device. */
  readonly field: string
  readonly kind: string
  readonly fromMs: number
  readonly untilMs: number
}

export interface SpokenVerdict {
  readonly device: string
  readonly field: string
  readonly detector: string
  readonly timeMs: number
}

export interface WatchedDevice {
  readonly name: string
  readonly intervalMs: number
  /** Of its first sample, and when it was stopped. */
  readonly fromMs: number
  readonly untilMs: number
}

export interface KindRecall {
  readonly labelled: number
  readonly recalled: number
  readonly recall: number
}

export interface Detection {
  readonly delaySeconds: number
  readonly byKind: Readonly<Record<string, KindRecall>>
  /** Mean of the kinds' recalls; null without labels. */
  readonly recall: number | null
  readonly falseAlarms: number
  /** Of all devices, behind their warm-up and outside of the labelled times. */
  readonly calmDeviceSeconds: number
  /** The samples of that time, in days at one a second. */
  readonly calmDeviceDays: number
  readonly falseAlarmsPerDeviceDay: number
  /** Anomalies that nobody spoke of, and false alarms, in words. */
  readonly missed: readonly string[]
  readonly falseAlarmExamples: readonly string[]
}

export function judgeDetection(
  labels: readonly Label[],
  verdicts: readonly SpokenVerdict[],
  devices: readonly WatchedDevice[],
): Detection {
  const stoppedMs = new Map(devices.map(({ name, untilMs }) => [name, untilMs]))
  // What is said after the devices were stopped is that they are silent.
  const spoken = verdicts.filter(({ device, timeMs }) => timeMs <= (stoppedMs.get(device) ?? Number.NEGATIVE_INFINITY))
  const recalled = new Set<Label>()
  for (const verdict of spoken) {
    const about = labels.filter((label) => isAbout(label, verdict) && covers(label, verdict))
    const latest = about.reduce<Label | undefined>((a, b) => (a && a.fromMs >= b.fromMs ? a : b), undefined)
    if (latest) recalled.add(latest)
  }
  const kinds = [...new Set(labels.map(({ kind }) => kind))]
  const byKind = Object.fromEntries(
    kinds.map((kind): [string, KindRecall] => {
      const own = labels.filter((label) => label.kind === kind)
      const found = own.filter((label) => recalled.has(label)).length
      return [kind, { labelled: own.length, recalled: found, recall: found / own.length }]
    }),
  )
  const alarms = alarmsOf(spoken.filter((verdict) => !labels.some((label) => covers(label, verdict))))
  const calm = devices.map((device) => ({ device, calmMs: calmMsOf(device, labels) }))
  const calmDeviceDays = calm.reduce((sum, { device, calmMs }) => sum + calmMs / device.intervalMs, 0) / DAY_SAMPLES
  return {
    delaySeconds: DELAY_MS / 1000,
    byKind,
    recall: kinds.length === 0 ? null : mean(Object.values(byKind).map(({ recall }) => recall)),
    falseAlarms: alarms.length,
    calmDeviceSeconds: Math.round(calm.reduce((sum, { calmMs }) => sum + calmMs, 0) / 1000),
    calmDeviceDays,
    falseAlarmsPerDeviceDay: alarms.length === 0 ? 0 : alarms.length / calmDeviceDays,
    missed: labels
      .filter((label) => !recalled.has(label))
      .map(
        ({ device, field, kind, fromMs, untilMs }) => `${kind} of ${nameOf(device, field)} ${spanOf(fromMs, untilMs)}`,
      ),
    falseAlarmExamples: alarms
      .slice(0, EXAMPLES_MAX)
      .map(({ device, field, detector, timeMs }) => `${detector} of ${nameOf(device, field)} at ${clockOf(timeMs)}`),
  }
}

/** What is said of several fields of a device together names none of them, and is not that nothing comes. */
const isAbout = ({ field }: Label, verdict: SpokenVerdict): boolean =>
  field === verdict.field && (field !== '' || verdict.detector === 'silence')

const covers = ({ device, fromMs, untilMs }: Label, verdict: SpokenVerdict): boolean =>
  device === verdict.device && verdict.timeMs >= fromMs && verdict.timeMs <= untilMs + DELAY_MS

/** The first verdict of each alarm. */
function alarmsOf(verdicts: readonly SpokenVerdict[]): SpokenVerdict[] {
  const lastMs = new Map<string, number>()
  return [...verdicts]
    .sort((a, b) => a.timeMs - b.timeMs)
    .filter(({ device, field, detector, timeMs }) => {
      const key = `${device}/${field}/${detector}`
      const beforeMs = lastMs.get(key) ?? Number.NEGATIVE_INFINITY
      lastMs.set(key, timeMs)
      return timeMs - beforeMs > DELAY_MS
    })
}

function calmMsOf({ name, fromMs, untilMs }: WatchedDevice, labels: readonly Label[]): number {
  let calmMs = 0
  let atMs = fromMs + WARM_UP_MS
  const own = labels.filter(({ device }) => device === name).sort((a, b) => a.fromMs - b.fromMs)
  for (const label of own) {
    calmMs += Math.max(0, Math.min(label.fromMs, untilMs) - atMs)
    atMs = Math.max(atMs, label.untilMs + DELAY_MS)
  }
  return calmMs + Math.max(0, untilMs - atMs)
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
const nameOf = (device: string, field: string) => (field === '' ? device : `${device} ${field}`)
const clockOf = (timeMs: number) => new Date(timeMs).toISOString().slice(11, 23)
const spanOf = (fromMs: number, untilMs: number) =>
  fromMs === untilMs ? `at ${clockOf(fromMs)}` : `from ${clockOf(fromMs)} to ${clockOf(untilMs)}`
