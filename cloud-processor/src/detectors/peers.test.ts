import { describe, expect, test } from 'vitest'
import { describeJointDetector } from './detector.conformance.ts'
import type { SeriesContext } from './detector.ts'
import { loseSight, PEERS_LOST_MS, PEERS_NEW_NORMAL_MS, PEERS_WARM_UP_MS, peersDetector } from './peers.ts'
import { EXAMPLE_SERIES, normal, seededRandom } from './simulated-series.ts'

const room: SeriesContext = { ...EXAMPLE_SERIES, field: 'temperature_c', label: 'Temperature', unit: '°C', decimals: 2 }
const WIDTH_MS = 10_000
const HOUR = PEERS_NEW_NORMAL_MS / WIDTH_MS
const WARM = PEERS_WARM_UP_MS / WIDTH_MS

describeJointDetector(
  'peers',
  () => peersDetector(EXAMPLE_SERIES, 1_000),
  (timeMs, value) => [value, 3 + Math.sin(timeMs / 600_000) / 100, 5, 0, 3],
)

/** Windows of a device whose peers have a median of 20, and that is 3 above them by habit. */
function watch(
  windows: number,
  value: (window: number) => number,
  peers = (_: number) => 5,
  unrest = (_: number) => 1,
) {
  const detector = peersDetector(room, WIDTH_MS)
  const state = detector.start()
  const said: [number, boolean, string][] = []
  const random = seededRandom(1)
  for (let w = 0; w < windows; w++) {
    const common = 5 * Math.sin(w / 500)
    const mean = value(w) + 23 + common + 0.05 * normal(random)
    const verdict = detector.observe(state, w * WIDTH_MS, [mean, 20 + common, peers(w), unrest(w), 20 + common])
    if (verdict && w > 0) said.push([w, verdict.anomalous, verdict.message])
  }
  return { said, state, detector }
}

describe('peers', () => {
  test('a device that leaves its place beside the others is told after three windows, and what that place is', () => {
    const { said } = watch(2 * HOUR, (w) => (w >= HOUR && w < HOUR + 50 ? 2 : 0))
    expect(said.map(([w, anomalous]) => [w, anomalous])).toEqual([
      [HOUR + 2, true],
      [HOUR + 52, false],
    ])
    expect(said[0]?.[2]).toMatch(
      /^Temperature: 2\d\.\d\d °C, (1\.9|2\.0)\d above the 2\d\.\d\d that 5 peers let expect: their median is 2\d\.\d\d °C, and it is usually (2\.9|3\.0)\d °C above$/,
    )
  })

  test('what all do together, and where a device always sits, is ordinary', () => {
    expect(watch(24 * HOUR, () => 0).said).toEqual([])
    expect(watch(24 * HOUR, () => -7).said).toEqual([])
  })

  test('nothing is said of a stranger, and none of a device without three peers', () => {
    expect(watch(WARM, (w) => (w > WARM / 2 ? 9 : 0)).said).toEqual([])
    expect(
      watch(
        2 * HOUR,
        (w) => (w > HOUR ? 9 : 0),
        (w) => (w > HOUR - 10 ? 2 : 5),
      ).said,
    ).toEqual([])
  })

  test('while the whole group scatters more is needed', () => {
    const open = (w: number) => (w >= HOUR ? 40 : 1)
    expect(watch(2 * HOUR, (w) => (w >= HOUR ? 3 : 0), undefined, open).said).toEqual([])
    expect(watch(2 * HOUR, (w) => (w >= HOUR ? 12 : 0), undefined, open).said).toHaveLength(1)
  })

  test('what grows over half an hour is told, as it is not normal because it grew', () => {
    const { said } = watch(2 * HOUR, (w) => Math.max(0, Math.min(w - HOUR, HOUR / 2)) * (6 / HOUR))
    expect(said[0]?.slice(0, 2)).toEqual([expect.any(Number), true])
    expect(said[0]?.[0]).toBeLessThan(1.4 * HOUR)
  })

  test('what lasts is the new place within the stated time', () => {
    const { said, state } = watch(4 * HOUR, (w) => (w >= HOUR ? 2 : 0))
    expect(said.map(([w, anomalous]) => [w, anomalous])).toEqual([
      [HOUR + 2, true],
      [2 * HOUR + 2, false],
    ])
    expect(state.offset).toBeCloseTo(5, 0)
  })

  test('an anomaly that cannot be judged any more ends, and not before its time', () => {
    const { said, state } = watch(
      HOUR + 20,
      (w) => (w >= HOUR ? 2 : 0),
      (w) => (w >= HOUR + 10 ? 1 : 5),
    )
    expect(said).toHaveLength(1)
    const judgedMs = (HOUR + 9) * WIDTH_MS
    expect(loseSight(state, judgedMs + PEERS_LOST_MS - 1)).toBeUndefined()
    expect(loseSight(state, judgedMs + PEERS_LOST_MS)).toMatchObject({ anomalous: false })
    expect(loseSight(state, judgedMs + 2 * PEERS_LOST_MS)).toBeUndefined()
  })
})
