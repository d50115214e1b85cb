/**
 * What each detector of a series costs: CPU a reading, and bytes of its state as a checkpoint has it. And 100,000 series with `lite` at
 * one reading a second each, in the order in which they would come: every series once, then all of them again, so that no state is in a cache.
 */
import {
  type Detector,
  type DetectorState,
  detectorsFor,
  restoreState,
  seriesContext,
} from '@tributary/cloud-processor'
import { type Contract, contractSchema } from '@tributary/protocol'
import { createRandom } from '@tributary/runtime'
import { learnedDetector } from './learned-detector.ts'
import type { Report } from './report.ts'

const READINGS = 200_000
const ROUNDS = 5
const INTERVAL_MS = 1_000
const START_MS = 1_767_225_600_000
const SERIES = 100_000
const SECONDS_BEFORE = 40
const SECONDS = 10
const WEIGHED_EVERY = 1_000
const STATE_BYTES_MAX = 1_024

/** Each with its budget in µs and bytes. */
const LEARNED = { full: [5, 16 * 1_024], lite: [0.5, STATE_BYTES_MAX] } as const

export async function run(report: Report): Promise<void> {
  const explicit = explicitDetectors()
  for (const detector of explicit) measure(detector.name, detector, 0.5, STATE_BYTES_MAX, report)
  for (const [name, [us, bytes]] of Object.entries(LEARNED))
    measure(name, learnedDetector(name as keyof typeof LEARNED, INTERVAL_MS, 2), us, bytes, report)
  manySeries(report)
}

/** All that a contract can ask for of one field, beside the learned one. */
function explicitDetectors(): Detector<DetectorState>[] {
  const contract: Contract = contractSchema.parse({
    kind: 'bench',
    version: 1,
    description: 'Two numbers.',
    interval: `${INTERVAL_MS}ms`,
    fields: {
      level: { type: 'float', label: 'Level', decimals: 2, range: [10, 25] },
      starts: { type: 'float', label: 'Starts', role: 'counter' },
    },
    thresholds: [{ field: 'level', above: 24, hysteresis: 0.5 }],
    detectors: {
      flatline: { level: '5m' },
      rate: { level: '5/min' },
      out_of_range: ['level'],
      counter_reset: ['starts'],
    },
  })
  return ['level', 'starts'].flatMap((field) =>
    detectorsFor(contract, field, seriesContext(contract, 'bench', 'device-1', field)),
  )
}

/** A day's wave with noise; now and then a spike, so that detectors speak, too. */
function valuesOf(seed: number, count: number): Float64Array {
  const random = createRandom(seed)
  return Float64Array.from({ length: count }, (_, i) => {
    const noise = random.next() + random.next() + random.next() - 1.5
    const spike = random.next() < 0.0005 ? 6 : 0
    return Math.round((20 + 2 * Math.sin((2 * Math.PI * i * INTERVAL_MS) / 86_400_000) + noise + spike) * 100) / 100
  })
}

function measure(
  name: string,
  detector: Detector<DetectorState>,
  budgetUs: number,
  budgetBytes: number,
  report: Report,
): void {
  const values = valuesOf(7, READINGS)
  let best = Number.POSITIVE_INFINITY
  let bytes = 0
  let said = 0
  for (let round = 0; round < ROUNDS; round++) {
    const state = detector.start()
    said = 0
    const since = process.cpuUsage()
    for (let i = 0; i < values.length; i++)
      if (detector.observe(state, START_MS + i * INTERVAL_MS, values[i] as number) !== undefined) said += 1
    const { user, system } = process.cpuUsage(since)
    best = Math.min(best, (user + system) / values.length)
  }
  const state = detector.start()
  for (let i = 0; i < values.length; i++) {
    detector.observe(state, START_MS + i * INTERVAL_MS, values[i] as number)
    if (i % WEIGHED_EVERY === 0) bytes = Math.max(bytes, JSON.stringify(state).length)
  }
  report.figure({
    what: `${name}, a reading`,
    value: best,
    unit: 'µs',
    budget: budgetUs,
    beside: `${said} verdicts of ${READINGS.toLocaleString('en-GB')} readings`,
  })
  report.figure({ what: `${name}, largest state`, value: bytes, unit: 'bytes', budget: budgetBytes })
}

function manySeries(report: Report): void {
  const detector = learnedDetector('lite', INTERVAL_MS, 2)
  const values = valuesOf(11, 1 << 16)
  // As a checkpoint gives them back: made one after the other.
  const states = Array.from({ length: SERIES }, () =>
    restoreState(detector, JSON.parse(JSON.stringify(detector.start()))),
  )
  const second = (n: number) => {
    for (let s = 0; s < SERIES; s++)
      detector.observe(
        states[s] as DetectorState,
        START_MS + n * INTERVAL_MS + (s % 1_000),
        values[(s * 7 + n) & 0xffff] as number,
      )
  }
  for (let n = 0; n < SECONDS_BEFORE; n++) second(n)
  const since = process.cpuUsage()
  for (let n = SECONDS_BEFORE; n < SECONDS_BEFORE + SECONDS; n++) second(n)
  const { user, system } = process.cpuUsage(since)
  const us = (user + system) / SECONDS / SERIES
  const silent = states.findIndex((state) => detector.last(state).message === '')
  if (silent !== -1) throw new Error(`series ${silent} has learned nothing after ${SECONDS_BEFORE + SECONDS} readings`)
  report.figure({
    what: `${SERIES.toLocaleString('en-GB')} series with lite at 1 reading/s each, share of one core`,
    value: (us * SERIES) / 10_000,
    unit: '%',
    budget: 100,
    beside: `${us.toFixed(2)} µs a reading`,
  })
}
