/** Anomalies and alerts of a run, for people. */
import type { Detection, Notifications } from '@tributary/stack'
import { count, table } from './print.ts'

const SHOWN_MAX = 12

export function anomalyText(detection: Detection, notifications: Notifications): string {
  const percent = (share: number) => `${Math.round(share * 1000) / 10} %`
  const rows = Object.entries(detection.byKind).map(([kind, { labelled, recalled, recall }]) => [
    ...[kind, labelled, recalled, percent(recall)],
  ])
  const days = detection.calmDeviceDays.toLocaleString('en-GB', { maximumFractionDigits: 2 })
  const hours = (detection.calmDeviceSeconds / 3600).toLocaleString('en-GB', { maximumFractionDigits: 2 })
  const aDay = detection.falseAlarmsPerDeviceDay.toLocaleString('en-GB', { maximumFractionDigits: 1 })
  const { episodes, firing, resolved, open, repeats } = notifications
  const more = (list: readonly string[]) => [
    ...list.slice(0, SHOWN_MAX).map((line) => `  ${line}`),
    ...(list.length > SHOWN_MAX ? [`  and ${count(list.length - SHOWN_MAX)} more`] : []),
  ]
  return [
    table(['anomaly', 'labelled', 'recalled', 'recall'], rows),
    `recalled: said of the device and field while it lasted or up to ${detection.delaySeconds} s later; mean of the kinds ${percent(detection.recall ?? 0)}`,
    ...(detection.missed.length > 0 ? ['not recalled:', ...more(detection.missed)] : []),
    `false alarms: ${count(detection.falseAlarms)} in ${hours} calm device-hours, in which ${days} device-days at 1 Hz were measured: ${aDay} a device-day`,
    ...more(detection.falseAlarmExamples),
    `notifications, as the webhook's receiver counts them: ${count(firing)} firing and ${count(resolved)} resolved of ${count(episodes)} episodes until the devices were stopped, ${count(open)} of them still open; ${count(repeats)} came again under the same key`,
    ...more(notifications.mistakes),
  ].join('\n')
}
