/**
 * Three of the benchmark's own detectors, repeated row by row: they need nothing but arithmetic, and their published scores show whether
 * our scorer counts rows as the benchmark does.
 */
import type { NabFile } from './corpus.ts'

export const KNOWN_DETECTORS: Readonly<Record<string, (file: NabFile) => Float64Array>> = {
  null: ({ values }) => new Float64Array(values.length).fill(0.5),
  random: ({ values }) => {
    const next = mersenneTwister(42)
    return Float64Array.from(values, next)
  },
  windowedGaussian: ({ values }) => windowedGaussian(values),
}

/** As Python's `random.random()` after `random.seed(seed)`. Source: Matsumoto and Nishimura, MT19937 (2002), `init_by_array`. */
function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(624)
  state[0] = 19_650_218
  const mixed = (i: number) => (state[i - 1] as number) ^ ((state[i - 1] as number) >>> 30)
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1_812_433_253, mixed(i)) + i
  let i = 1
  const advance = () => {
    i += 1
    if (i < 624) return
    state[0] = state[623] as number
    i = 1
  }
  for (let k = 0; k < 624; k++) {
    state[i] = ((state[i] as number) ^ Math.imul(mixed(i), 1_664_525)) + seed
    advance()
  }
  for (let k = 0; k < 623; k++) {
    state[i] = ((state[i] as number) ^ Math.imul(mixed(i), 1_566_083_941)) - i
    advance()
  }
  state[0] = 0x80000000
  let at = 624
  const word = (): number => {
    if (at === 624) {
      for (let k = 0; k < 624; k++) {
        const y = ((state[k] as number) & 0x80000000) | ((state[(k + 1) % 624] as number) & 0x7fffffff)
        state[k] = (state[(k + 397) % 624] as number) ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
      }
      at = 0
    }
    let y = state[at] as number
    at += 1
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }
  return () => ((word() >>> 5) * 67_108_864 + (word() >>> 6)) / 9_007_199_254_740_992
}

const WINDOW = 6_400
const STEP = 100

/** How unlikely a value is under a normal distribution of those before it; written to files with twelve digits, of which the score is taken. */
function windowedGaussian(values: Float64Array): Float64Array {
  let window: number[] = []
  let waiting: number[] = []
  let mean = 0
  let deviation = 1
  let spread = 0
  return values.map((value) => {
    const tail = window.length === 0 ? 1 : upperTail(Math.abs(value - mean) / deviation)
    if (window.length < WINDOW) {
      window.push(value)
      // Welford's running mean and sum of squares.
      const apart = value - mean
      mean = window.length === 1 ? value : mean + apart / window.length
      spread = window.length === 1 ? 0 : spread + apart * (value - mean)
      deviation = Math.sqrt(spread / window.length) || 1e-6
    } else if (waiting.push(value) === STEP) {
      window = [...window.slice(STEP), ...waiting]
      waiting = []
      mean = window.reduce((a, b) => a + b, 0) / WINDOW
      deviation = Math.sqrt(window.reduce((sum, x) => sum + (x - mean) ** 2, 0) / WINDOW) || 1e-6
    }
    return Number((1 - tail).toPrecision(12))
  })
}

/** Chance of a normal value more than `sigmas` above its mean: the series of erf near the mean, Laplace's continued fraction beyond. */
function upperTail(sigmas: number): number {
  const x = sigmas / Math.SQRT2
  if (x < 2.5) {
    let term = x
    let sum = x
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-x * x) / n
      sum += term / (2 * n + 1)
    }
    return 0.5 - sum / Math.sqrt(Math.PI)
  }
  let fraction = x
  for (let n = 60; n > 0; n--) fraction = x + n / 2 / fraction
  return Math.exp(-x * x) / fraction / Math.sqrt(Math.PI) / 2
}
