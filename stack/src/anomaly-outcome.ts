/** What became of the anomalies of a run: what detectors said, by the store, and what people were told, by a receiver that counts. */
import { createDeviceModels, type Expectation, readLedgerEvents } from '@tributary/firmware-sim'
import { systemClock } from '@tributary/runtime'
import type { AlertReceiver } from './alert-receiver.ts'
import { type Detection, judgeDetection, type WatchedDevice } from './detection-check.ts'
import {
  checkNotifications,
  type NotificationCheck,
  type Notifications,
  type StoredTransition,
} from './notification-check.ts'
import type { Pipeline } from './pipeline.ts'

/** A notification leaves with the checkpoint that knows its alert. */
const DELIVERY_MS_MAX = 15_000
const LOOK_MS = 500

/** @returns undefined when the simulator labelled nothing */
export async function takeDetection(
  { query, ledgerFolder }: Pick<Pipeline, 'query' | 'ledgerFolder'>,
  signal: AbortSignal,
): Promise<Detection | undefined> {
  const events = await readLedgerEvents(ledgerFolder)
  const labels = events.filter((event) => event.type === 'anomaly')
  if (labels.length === 0) return undefined
  const stoppedMs = (events.findLast(({ type }) => type === 'measuring_stopped') ?? events.at(-1))?.atMs ?? 0
  const devices = events.flatMap((event): WatchedDevice[] =>
    event.type !== 'run'
      ? []
      : createDeviceModels(event.run).map(({ config, intervalMs, startedAtMs }) => ({
          ...{ name: config.name, intervalMs, fromMs: startedAtMs },
          untilMs: stoppedMs - (event.run.startedAtMs - startedAtMs),
        })),
  )
  const series = await query('SELECT "score" FROM "anomaly" GROUP BY "device", "field", "detector"', signal)
  const verdicts = series.flatMap(({ tags, values }) =>
    values.map(([timeMs]) => ({
      device: tags?.['device'] ?? '',
      field: tags?.['field'] ?? '',
      detector: tags?.['detector'] ?? '',
      timeMs: Number(timeMs),
    })),
  )
  return judgeDetection(labels, verdicts, devices)
}

/** Waits for what is on its way. */
export async function takeNotifications(
  { query }: Pick<Pipeline, 'query'>,
  receiver: Pick<AlertReceiver, 'received' | 'repeats'>,
  { signal, ...given }: Omit<NotificationCheck, 'repeats'> & { readonly signal: AbortSignal },
): Promise<Notifications> {
  const untilMs = systemClock.monotonicMs() + DELIVERY_MS_MAX
  for (;;) {
    const stored = await readTransitions(query, signal)
    const found = checkNotifications(stored, receiver.received, { repeats: receiver.repeats, ...given })
    if (found.mistakes.length === 0 || systemClock.monotonicMs() > untilMs) return found
    await systemClock.sleep(LOOK_MS, signal)
  }
}

async function readTransitions(query: Pipeline['query'], signal: AbortSignal): Promise<StoredTransition[]> {
  const series = await query('SELECT * FROM "alert"', signal)
  return series.flatMap(({ columns, values }) =>
    values.map((row) => {
      const at = (column: string) => row[columns.indexOf(column)] ?? null
      const text = (column: string) => String(at(column) ?? '')
      const isHeld = at('held') !== null
      const about = { episode: text('episode'), state: text('state'), rule: text('rule'), device: text('device') }
      return { ...about, isHeld, atMs: Number(at('time')) }
    }),
  )
}

/** What does not hold, a sentence each. */
export function shortfalls(
  expected: Expectation | undefined,
  detection: Detection | undefined,
  notifications: Notifications,
): string[] {
  const percent = (share: number) => `${Math.round(share * 1000) / 10} %`
  if (expected === undefined) return []
  if (detection?.recall == null) return ['the simulator labelled no anomaly']
  const { recall, falseAlarmsPerDeviceDay } = detection
  return [
    ...(recall < expected.recall ? [`recall is ${percent(recall)}, not ${percent(expected.recall)}`] : []),
    ...(falseAlarmsPerDeviceDay > expected.false_alarms
      ? [`${falseAlarmsPerDeviceDay.toFixed(1)} false alarms a device-day, not ${expected.false_alarms}`]
      : []),
    ...notifications.mistakes,
  ]
}
