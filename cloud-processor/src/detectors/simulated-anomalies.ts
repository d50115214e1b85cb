/** Seeded series with labelled anomalies, for tests and benchmarks: what recurs, what comes once in a long while, and what adapts. */
import { normal, seededRandom } from './simulated-series.ts'

export interface LabelledSeries {
  readonly timesMs: readonly number[]
  readonly values: readonly number[]
  /** First and last index of each anomaly. */
  readonly anomalies: readonly (readonly [from: number, through: number])[]
}

type Random = () => number
type Family = (random: Random) => LabelledSeries

const START_MS = Date.UTC(2026, 0, 5)
const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const wave = (i: number, period: number) => Math.sin((2 * Math.PI * i) / period)
const between = (random: Random, low: number, high: number) => low + Math.floor((high - low) * random())
const either = (random: Random) => (random() < 0.5 ? 1 : -1)

const even = (
  intervalMs: number,
  values: readonly number[],
  anomalies: LabelledSeries['anomalies'],
): LabelledSeries => ({ timesMs: values.map((_, i) => START_MS + i * intervalMs), values, anomalies })

/** From `first` on, each so far from the one before. */
function* recurring(random: Random, first: number, least: number, most: number, end: number) {
  for (let at = first; at < end; at += between(random, least, most)) yield at
}

export const ANOMALIES: Readonly<Record<string, Family>> = {
  'recurring spikes': (random) => {
    let wandering = 0
    const values = Array.from({ length: 6_000 }, () => {
      wandering = 0.7 * wandering + normal(random)
      return 50 + wandering
    })
    const at = [...recurring(random, 900, 60, 300, values.length)]
    for (const i of at) (values[i] as number) += either(random) * (8 + 6 * random())
    return even(
      5 * MINUTE_MS,
      values,
      at.map((i) => [i, i]),
    )
  },
  'spikes within the range of a day': (random) => {
    const values = Array.from(
      { length: 8_000 },
      (_, i) => 100 + 40 * wave(i, 288) + 10 * wave(i, 96) + 2 * normal(random),
    )
    const at = [...recurring(random, 1_500, 150, 650, values.length)]
    for (const i of at) (values[i] as number) += either(random) * (20 + 15 * random())
    return even(
      5 * MINUTE_MS,
      values,
      at.map((i) => [i, i]),
    )
  },
  'recurring level shifts': (random) => {
    const values = Array.from({ length: 8_000 }, () => 20 + normal(random))
    const spans = [...recurring(random, 1_000, 300, 900, 7_900)].map(
      (from) => [from, from + between(random, 20, 80)] as const,
    )
    for (const [from, through] of spans) {
      const by = either(random) * (5 + 3 * random())
      for (let i = from; i <= through; i++) (values[i] as number) += by
    }
    return even(MINUTE_MS, values, spans)
  },
  'steps to a new normal': (random) => {
    let level = 10
    const spans: [number, number][] = []
    const values = Array.from({ length: 6_000 }, (_, i) => {
      if (i > 0 && i % 1_500 === 0) {
        level += either(random) * (6 + 4 * random())
        spans.push([i, i + 100])
      }
      return level + normal(random)
    })
    return even(MINUTE_MS, values, spans)
  },
  'one odd beat in a long pulse': (random) => {
    const period = between(random, 90, 250)
    const length = between(random, 12_000, 20_000)
    const from = Math.floor(length * (0.4 + 0.5 * random()))
    const flat = random() < 0.5
    const peak = (turn: number, at: number, width: number) => Math.exp(-((turn - at) ** 2) / (2 * width * width))
    let phase = 0
    const values = Array.from({ length }, (_, i) => {
      phase += (1 + 0.02 * normal(random)) / period
      const turn = phase % 1
      const odd = i >= from && i < from + period
      const rest = 2 * peak(turn, 0.15, 0.04) + (odd && flat ? 0 : 3) * peak(turn, 0.6, 0.06)
      return 10 * peak(turn, 0.3, odd && !flat ? 0.05 : 0.02) + rest + 0.15 * normal(random)
    })
    return even(SECOND_MS, values, [[from, from + period]])
  },
  'one odd stretch of a long wave': (random) => {
    const period = between(random, 40, 540)
    const from = between(random, 6_000, 13_000)
    const stretch = Math.max(20, Math.floor(period * (0.3 + 0.7 * random())))
    const noisy = random() < 0.5
    const values = Array.from({ length: 15_000 }, (_, i) => {
      const odd = i >= from && i < from + stretch
      const by = odd ? (noisy ? 0.8 * normal(random) : 2 * Math.sin((Math.PI * (i - from)) / stretch)) : 0
      return 5 * wave(i, period) + 2 * wave(i, period / 2) + by + 0.1 * normal(random)
    })
    return even(SECOND_MS, values, [[from, from + stretch]])
  },
  'changes of variance': (random) => {
    const values = Array.from({ length: 8_000 }, () => 5 + normal(random))
    const spans = [...recurring(random, 1_700, 1_200, 1_800, 7_800)].map(
      (from) => [from, from + between(random, 40, 120)] as const,
    )
    for (const [from, through] of spans) {
      const factor = random() < 0.3 ? 0.1 : 3 + 2 * random()
      for (let i = from; i <= through; i++) values[i] = 5 + factor * ((values[i] as number) - 5)
    }
    return even(SECOND_MS, values, spans)
  },
  drifts: (random) => {
    const spans = [2_000, 4_500, 7_000].map((from) => [from, from + 200] as const)
    const values = Array.from({ length: 8_000 }, () => 5 + normal(random))
    for (const [from, through] of spans)
      for (let i = from; i <= through; i++) (values[i] as number) += (8 * (i - from)) / 200
    return even(
      SECOND_MS,
      values,
      spans.map(([from, through]) => [from + 30, through + 30]),
    )
  },
  'stuck for a while': (random) => {
    const spans = [2_500, 4_500, 6_500].map((from) => [from, from + 80] as const)
    const values = Array.from(
      { length: 8_000 },
      (_, i) => Math.round(100 * (20 + 3 * wave(i, 600) + 0.5 * normal(random))) / 100,
    )
    for (const [from, through] of spans) values.fill(values[from] as number, from, through)
    return even(SECOND_MS, values, spans)
  },
  'a working day without work': (random) => {
    const days = [20, 27, 34, 39]
    const values = Array.from({ length: 288 * 42 }, (_, i) => {
      const day = Math.floor(i / 288)
      const hour = (i % 288) / 12
      const free = day % 7 >= 5
      const usual = (free ? 8 : 30) * Math.exp(-((hour - 13) ** 2) / 12)
      return 10 + (days.includes(day) && hour > 9 && hour < 16 ? (free ? 25 : 5) : usual) + 1.5 * normal(random)
    })
    return even(
      5 * MINUTE_MS,
      values,
      days.map((day) => [day * 288 + 108, day * 288 + 192]),
    )
  },
  'spikes of a few steps in coarse values': (random) => {
    const values = Array.from(
      { length: 6_000 },
      (_, i) => Math.round(2 * (20 + 0.3 * wave(i, 700) + 0.05 * normal(random))) / 2,
    )
    const at = [...recurring(random, 1_500, 700, 1_000, values.length)]
    for (const i of at) (values[i] as number) += 3
    return even(
      SECOND_MS,
      values,
      at.map((i) => [i, i]),
    )
  },
  'spikes in noise with a long tail': (random) => {
    const values = Array.from({ length: 6_000 }, () => 10 * Math.exp(0.6 * normal(random)))
    const at = [...recurring(random, 1_200, 500, 900, values.length)]
    for (const i of at) values[i] = 120 + 60 * random()
    return even(
      5 * MINUTE_MS,
      values,
      at.map((i) => [i, i]),
    )
  },
  'spikes in readings at odd times, some missing': (random) => {
    let timeMs = START_MS
    const timesMs = Array.from({ length: 6_000 }, () => {
      timeMs += Math.round(random() < 0.003 ? 5 * 3_600_000 * random() : 1_000 + MINUTE_MS * random())
      return timeMs
    })
    const values = timesMs.map((at) => 10 + 3 * wave(at, 86_400_000) + 0.5 * normal(random))
    const at = [...recurring(random, 1_500, 400, 900, values.length)]
    for (const i of at) (values[i] as number) += 5
    return { timesMs, values, anomalies: at.map((i) => [i, i]) }
  },
}

export const labelled = (family: string, seed: number): LabelledSeries =>
  (ANOMALIES[family] as Family)(seededRandom(seed * 7_919 + 1))
