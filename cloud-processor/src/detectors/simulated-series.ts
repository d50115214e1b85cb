/** Seeded series for tests and cases: what healthy sensors look like, and one generator of chance. */
import type { SeriesContext } from './detector.ts'

export const EXAMPLE_SERIES: SeriesContext = {
  site: 'plant',
  device: 'pump-1',
  kind: 'vibration',
  field: 'velocity_rms_mm_s',
  label: 'Vibration velocity',
  unit: 'mm/s',
  decimals: 2,
  intervalMs: 1_000,
}

/** 0 ≤ x < 1. Source: mulberry32 by Tommy Ettinger, public domain. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Mean 0, standard deviation 1. */
export const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** The value of a healthy sensor at a time; called in order of time. */
export type HealthySeries = (timeMs: number) => number

const wave = (timeMs: number, periodMs: number) => Math.sin((2 * Math.PI * timeMs) / periodMs)
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export const HEALTHY: Readonly<Record<string, (random: () => number) => HealthySeries>> = {
  'normal noise': (random) => () => 20 + 0.5 * normal(random),
  'even noise': (random) => () => 20 + random(),
  'skewed noise (log-normal)': (random) => () => Math.exp(0.3 * normal(random)),
  'long-tailed noise (Laplace)': (random) => () => {
    const u = random() - 0.5
    return 20 - 0.3 * Math.sign(u) * Math.log(1 - 2 * Math.abs(u))
  },
  'a day, little noise': (random) => (timeMs) => 20 + 5 * wave(timeMs, DAY_MS) + 0.05 * normal(random),
  'an hour, little noise': (random) => (timeMs) => 20 + 2 * wave(timeMs, HOUR_MS) + 0.05 * normal(random),
  'ten minutes, little noise': (random) => (timeMs) => 20 + 5 * wave(timeMs, HOUR_MS / 6) + 0.1 * normal(random),
  'a day, in steps of 0.1': (random) => (timeMs) =>
    Math.round((20 + 5 * wave(timeMs, DAY_MS) + 0.02 * normal(random)) * 10) / 10,
  'a day, in steps of 0.5': (random) => (timeMs) =>
    Math.round((20 + 5 * wave(timeMs, DAY_MS) + 0.02 * normal(random)) * 2) / 2,
  'wandering (autoregressive)': (random) => {
    let at = 0
    return () => {
      at = 0.99 * at + 0.1 * normal(random)
      return at
    }
  },
  'oscillating at a fifth of a hertz': (random) => (timeMs) => 3 * wave(timeMs, 5_000) + 0.1 * normal(random),
  'mostly still': (random) => () => (random() < 0.01 ? 0.02 : 0),
  constant: () => () => 20,
}
