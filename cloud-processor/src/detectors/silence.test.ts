import { describe, expect, test } from 'vitest'
import { type SilenceState, silenceDetector } from './silence.ts'

const T0 = Date.UTC(2026, 0, 1)
const detector = silenceDetector(10_000, { device: 'pump-1', kind: 'vibration' })

/** Promises a second apart, while the device's last sample is at `lastAt(second)` seconds. */
function run(state: SilenceState, seconds: readonly number[], lastAt: (second: number) => number) {
  return seconds.flatMap((second) => {
    const verdict = detector.judge(state, {
      lastSampleMs: T0 + lastAt(second) * 1_000,
      completeThroughMs: T0 + second * 1_000,
    })
    return verdict && (verdict.anomalous || verdict.value > 0)
      ? [{ second, anomalous: verdict.anomalous, atSeconds: (verdict.timeMs - T0) / 1_000, verdict }]
      : []
  })
}
const seconds = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('silence', () => {
  test('a device that stops is silent after the duration, at that event time, and back with its next sample', () => {
    const state = detector.start()
    const said = run(state, seconds(1, 60), (second) => (second < 20 ? second : second < 50 ? 20 : second))
    expect(said.map(({ second, anomalous, atSeconds }) => [second, anomalous, atSeconds])).toEqual([
      [31, true, 30],
      [50, false, 50],
    ])
    expect(said[0]?.verdict.message).toBe(
      'no vibration sample of pump-1 for 10 s, the last at 2026-01-01 00:00:20 UTC, while its agent went on sending',
    )
    expect(said[1]?.verdict.value).toBe(30)
  })

  test('a dead link makes nobody silent, neither during it nor when the backlog arrives', () => {
    const state = detector.start()
    run(state, seconds(1, 20), (second) => second)
    for (let i = 0; i < 600; i++)
      expect(detector.judge(state, { lastSampleMs: T0 + 20_000, completeThroughMs: T0 + 20_000 })).toBeUndefined()
    expect(run(state, seconds(21, 700), (second) => second)).toEqual([])
  })

  test('an agent that was off makes nobody silent when it returns before its devices do', () => {
    const state = detector.start()
    run(state, seconds(1, 20), (second) => second)
    const back = run(state, seconds(620, 640), (second) => (second < 625 ? 20 : second))
    expect(back).toEqual([])
  })

  test('a device that does not return with its agent is silent one duration later', () => {
    const state = detector.start()
    run(state, seconds(1, 20), (second) => second)
    const back = run(state, seconds(620, 640), () => 20)
    expect(back.map(({ second, atSeconds }) => [second, atSeconds])).toEqual([[631, 630]])
    expect(back[0]?.verdict.message).toContain('for 10 min, the last at 2026-01-01 00:00:20 UTC')
  })

  test('an agent whose promises come seldom is no agent that was off', () => {
    const state = detector.start()
    const everyMinute = seconds(1, 10).map((minute) => minute * 60)
    const said = run(state, everyMinute, (second) => Math.min(second, 300))
    expect(said.map(({ second, atSeconds }) => [second, atSeconds])).toEqual([[360, 310]])
  })

  test('a device whose clock is behind is silent once, until its clock is right', () => {
    const state = detector.start()
    const said = run(state, seconds(100, 400), (second) => (second < 300 ? second - 90 : second))
    expect(said.map(({ second, anomalous, atSeconds }) => [second, anomalous, atSeconds])).toEqual([
      [111, true, 110],
      [300, false, 300],
    ])
  })

  test('a fresh state says ordinary, once: what a lost state had begun can end', () => {
    const state = detector.start()
    const judge = (lastSampleMs: number, completeThroughMs: number) =>
      detector.judge(state, { lastSampleMs, completeThroughMs })
    expect(judge(Number.NEGATIVE_INFINITY, T0)).toBeUndefined()
    expect(judge(T0, Number.NEGATIVE_INFINITY)).toBeUndefined()
    expect(judge(T0 - 60_000, T0)).toMatchObject({ anomalous: false, timeMs: T0 - 60_000, value: 0 })
    expect(judge(T0 - 60_000, T0 + 1_000)).toBeUndefined()
    expect(judge(T0 - 60_000, T0 + 10_001)).toMatchObject({ anomalous: true, timeMs: T0 + 10_000, value: 70 })
  })

  test('state survives JSON', () => {
    let state = detector.start()
    const said = seconds(1, 60).flatMap((second) => {
      state = JSON.parse(JSON.stringify(state))
      return run(state, [second], (at) => (at < 20 ? at : at < 50 ? 20 : at))
    })
    expect(said.map(({ second, anomalous }) => [second, anomalous])).toEqual([
      [31, true],
      [50, false],
    ])
    expect(JSON.stringify(state).length).toBeLessThan(200)
  })
})
