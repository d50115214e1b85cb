import { expect, test } from 'vitest'
import {
  DELAY_MS,
  judgeDetection,
  type Label,
  type SpokenVerdict,
  WARM_UP_MS,
  type WatchedDevice,
} from './detection-check.ts'

const START_MS = Date.UTC(2026, 5, 1, 12)
const at = (seconds: number) => START_MS + seconds * 1000
const device = (name: string, intervalMs = 1000): WatchedDevice => ({
  name,
  intervalMs,
  fromMs: START_MS,
  untilMs: at(300),
})
const label = (fromS: number, untilS: number, change: Partial<Label> = {}): Label => ({
  ...{ device: 'pump-1', field: 'temperature_c', kind: 'drift', fromMs: at(fromS), untilMs: at(untilS) },
  ...change,
})
const verdict = (seconds: number, change: Partial<SpokenVerdict> = {}): SpokenVerdict => ({
  ...{ device: 'pump-1', field: 'temperature_c', detector: 'outlier', timeMs: at(seconds) },
  ...change,
})
const DEVICES = [device('pump-1'), device('pump-2')]

test('an anomaly is recalled while it lasts and a stated delay longer, on its own device and field alone', () => {
  const recall = (...said: SpokenVerdict[]) => judgeDetection([label(100, 140)], said, DEVICES).recall
  expect(recall(verdict(100))).toBe(1)
  expect(recall(verdict(140 + DELAY_MS / 1000))).toBe(1)
  expect(recall(verdict(99.9))).toBe(0)
  expect(recall(verdict(140.1 + DELAY_MS / 1000))).toBe(0)
  expect(recall(verdict(120, { device: 'pump-2' }))).toBe(0)
  expect(recall(verdict(120, { field: 'speed_rpm' }))).toBe(0)
  expect(judgeDetection([label(100, 140)], [], DEVICES).missed).toEqual([
    'drift of pump-1 temperature_c from 12:01:40.000 to 12:02:20.000',
  ])
})

test('of spikes that recur each must be said: one verdict recalls the latest that had begun', () => {
  const spikes = [100, 105, 110].map((seconds) => label(seconds, seconds, { kind: 'recurring_spikes' }))
  const { byKind } = judgeDetection(spikes, [verdict(100), verdict(110)], DEVICES)
  expect(byKind).toEqual({ recurring_spikes: { labelled: 3, recalled: 2, recall: 2 / 3 } })
})

test('each kind counts the same, however many of it there are', () => {
  const labels = [
    label(100, 100, { kind: 'spike' }),
    label(150, 150, { kind: 'spike' }),
    label(200, 220, { kind: 'stuck' }),
  ]
  expect(judgeDetection(labels, [verdict(100), verdict(150)], DEVICES).recall).toBe(0.5)
  expect(judgeDetection([], [], DEVICES).recall).toBeNull()
})

test('missing samples are recalled by the silence of the device, not by what is said of its fields together', () => {
  const labels = [label(100, 125, { field: '', kind: 'missing' })]
  expect(judgeDetection(labels, [verdict(115)], DEVICES).recall).toBe(0)
  const together = verdict(126, { field: '', detector: 'together_speed_rpm+temperature_c' })
  expect(judgeDetection(labels, [together], DEVICES).recall).toBe(0)
  expect(judgeDetection(labels, [verdict(115, { field: '', detector: 'silence' })], DEVICES).recall).toBe(1)
})

test('what is said of a device in calm is a false alarm, once while it goes on, also in the warm-up', () => {
  const said = [
    ...[verdict(20), verdict(200), verdict(205), verdict(213), verdict(240), verdict(240, { device: 'pump-2' })],
    // A labelled device and time: another field of it may suffer.
    verdict(110, { field: 'speed_rpm' }),
    // The devices had been stopped.
    verdict(315, { field: '', detector: 'silence' }),
    // The pipeline's own health is no simulated device.
    verdict(100, { device: 'agent-1', field: 'drain_seconds' }),
  ]
  const found = judgeDetection([label(100, 140)], said, DEVICES)
  expect(found.falseAlarms).toBe(4)
  expect(found.falseAlarmExamples).toContain('outlier of pump-2 temperature_c at 12:04:00.000')
})

test('calm time is that of all devices behind the warm-up and outside of labelled times; days are counted in samples', () => {
  const labels = [label(100, 140), label(120, 160, { field: 'speed_rpm' }), label(200, 200), label(295, 310)]
  const { calmDeviceSeconds, calmDeviceDays, falseAlarmsPerDeviceDay } = judgeDetection(
    labels,
    [verdict(250)],
    [device('pump-1', 100), device('pump-2', 1000)],
  )
  const warm = WARM_UP_MS / 1000
  const ofFirst = 100 - warm + (200 - 170) + (295 - 210)
  const ofSecond = 300 - warm
  expect(calmDeviceSeconds).toBe(ofFirst + ofSecond)
  expect(calmDeviceDays).toBeCloseTo((ofFirst * 10 + ofSecond) / 86_400, 12)
  expect(falseAlarmsPerDeviceDay).toBeCloseTo(1 / calmDeviceDays, 12)
})
