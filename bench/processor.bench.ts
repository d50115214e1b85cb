/**
 * CPU a reading in the processor, from a batch's bytes to line protocol: decode, deduplicate, contract, enrich, four windows with
 * sketches, detectors, alerts; and what a series weighs in a checkpoint. No network and no disk. The series grow in number alone:
 * more agents of the same size send batches of the same shape. The result is checked: every reading in a line, every window's
 * count right.
 */
import {
  accountOf,
  allSeries,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  detectorsFor,
  encodeState,
  seriesContext,
  stateFor,
  step,
} from '@tributary/cloud-processor/testing'
import { type Contract, contractSchema, decodeBatch, encodeBatch } from '@tributary/protocol'
import type { Report } from './report.ts'

const FIELDS = 4
const DEVICES_PER_AGENT = 25
const READINGS_PER_SECOND = FIELDS * DEVICES_PER_AGENT
const START_MS = 1_767_225_600_000
/** Not measured: code is compiled, series are made. */
const SECONDS_BEFORE = 20
const SECONDS = 30
/** Of few series many rounds, so that each row of the table is of about as many readings. */
const READINGS_MIN = 1_000_000
/** Until the widest windows hold two hours' readings: the checkpoint is weighed then. */
const SECONDS_LONG = 7_200
/** The processor's default. */
const PUNCTUAL_MEMORY_MS = 60_000
/** Lines that a request holds. */
const LINES_MAX = 5_000
const BUDGET_US = 1.5
const BUDGET_FLAT = 1.2
const BUDGET_BYTES = 1_024
const BUDGET_DETECTORS_NS = 100
const BUDGET_LITE_NS = 500
const BUDGET_FULL_NS = 5_000
const DETECTED_READINGS = 400_000

const contract = (withDetectors: boolean): Contract =>
  contractSchema.parse({
    kind: 'bench',
    version: 1,
    description: 'Four numbers.',
    interval: '1s',
    fields: Object.fromEntries(
      Array.from({ length: FIELDS }, (_, i) => [
        `field_${i}`,
        { type: 'float', label: `Field ${i}`, decimals: 2, range: [-1e6, 1e6] },
      ]),
    ),
    detectors: withDetectors ? { outlier: ['field_0'], flatline: { field_1: '5m' }, silence: '1m' } : {},
  })

interface Message {
  readonly agent: string
  readonly bytes: Uint8Array
  readonly receivedAtMs: number
}

/** What agents of 25 devices send that are measured once a second, in the order in which a stream would have it. */
function messagesOf(series: number, samplesPerBlock: number, fromSecond: number, toSecond: number): Message[] {
  const messages: Message[] = []
  for (let second = fromSecond; second < toSecond; second += samplesPerBlock)
    for (let a = 0; a < series / READINGS_PER_SECOND; a++) {
      const blocks = Array.from({ length: DEVICES_PER_AGENT }, (_, d) =>
        blockOf(
          `device-${a}-${d}`,
          'bench',
          Array.from({ length: samplesPerBlock }, (_, i) => sampleAt(second + i, d)),
        ),
      )
      const agent = `agent-${a}`
      const completeThroughMs = START_MS + (second + samplesPerBlock) * 1_000
      const sequence = second / samplesPerBlock + 1
      const bytes = encodeBatch(
        batchOf({ agent, sequence, readingsBefore: second * READINGS_PER_SECOND, completeThroughMs, blocks }),
      )
      messages.push({ agent, bytes, receivedAtMs: completeThroughMs })
    }
  return messages
}

const sampleAt = (second: number, device: number) => ({
  timeMs: START_MS + second * 1_000 + device,
  values: Object.fromEntries(
    Array.from({ length: FIELDS }, (_, f) => [
      `field_${f}`,
      Math.round((20 + f * 10 + 5 * Math.sin(second / 30 + device) + ((second * 7 + device) % 10) / 10) * 100) / 100,
    ]),
  ),
})

const cpuUs = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since)
  return user + system
}

class Run {
  readonly context
  readonly state
  lines = 0
  lineBytes = 0
  private readonly effects = createEffects()
  private streamSequence = 0

  constructor(withDetectors: boolean) {
    this.context = contextOf([contract(withDetectors)], { punctualMemoryMs: PUNCTUAL_MEMORY_MS })
    this.state = stateFor(this.context)
  }

  take(messages: readonly Message[]): void {
    for (const { agent, bytes, receivedAtMs } of messages) {
      this.streamSequence += 1
      const { streamSequence } = this
      step(
        this.state,
        { site: 'bench', agent, streamSequence, receivedAtMs, batch: decodeBatch(bytes) },
        this.context,
        this.effects,
      )
      if (this.effects.lines.count >= LINES_MAX) this.write()
    }
    this.write()
  }

  private write(): void {
    this.lines += this.effects.lines.count
    this.lineBytes += this.effects.lines.length
    clearEffects(this.effects)
  }

  /** @throws Error when a reading is not in a line, or a window not of all its readings */
  check(readings: number): void {
    const stored = accountOf(this.state, 0, 0).reduce((sum, account) => sum + account.stored, 0)
    if (stored !== readings || this.lines < readings / FIELDS)
      throw new Error(`stored ${stored} of ${readings} readings, ${this.lines} lines`)
    for (const { windows } of allSeries(this.state))
      for (const row of windows?.[0]?.rows.values() ?? [])
        if (row.closed && row.cells[0] !== 10) throw new Error(`a window of ten seconds holds ${row.cells[0]} readings`)
  }
}

function measure(series: number, samplesPerBlock: number, withDetectors: boolean) {
  const before = messagesOf(series, samplesPerBlock, 0, SECONDS_BEFORE)
  const measured = messagesOf(series, samplesPerBlock, SECONDS_BEFORE, SECONDS_BEFORE + SECONDS)
  const readings = series * SECONDS
  const rounds = Math.max(1, Math.ceil(READINGS_MIN / readings))
  let us = 0
  let lineBytes = 0
  for (let round = 0; round < rounds; round++) {
    const run = new Run(withDetectors)
    run.take(before)
    const linesBefore = run.lineBytes
    const since = process.cpuUsage()
    run.take(measured)
    us += cpuUs(since) / readings / rounds
    lineBytes = (run.lineBytes - linesBefore) / readings
    run.check(series * (SECONDS_BEFORE + SECONDS))
  }
  const since = process.cpuUsage()
  for (const { bytes } of measured) decodeBatch(bytes)
  return { us, decodeUs: cpuUs(since) / readings, lineBytes }
}

/** Nanoseconds a reading: all that a contract can ask for on one field; states as a checkpoint gives them back. */
function measureDetectors(): number {
  return measureDetectorsOf({
    thresholds: [
      { field: 'level', above: 4.5, severity: 'warning' },
      { field: 'level', above: 7.1, severity: 'critical' },
    ],
    detectors: { outlier: ['level'], flatline: { level: '5m' } },
  })
}

function measureDetectorsOf(watched: object): number {
  const vibration = contractSchema.parse({
    kind: 'bench',
    version: 1,
    description: 'One number.',
    interval: '100ms',
    fields: { level: { type: 'float', label: 'Level', decimals: 2 } },
    ...watched,
  })
  const detectors = detectorsFor(vibration, 'level', seriesContext(vibration, 'bench', 'device-1', 'level'))
  const values = Float64Array.from({ length: DETECTED_READINGS }, (_, i) => 2 + 0.3 * Math.sin(i) * Math.cos(i * i))
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const states = detectors.map((detector) => JSON.parse(JSON.stringify(detector.start())))
    const since = process.cpuUsage()
    for (let i = 0; i < values.length; i++)
      for (let d = 0; d < detectors.length; d++) detectors[d]?.observe(states[d], i * 100, values[i] as number)
    best = Math.min(best, cpuUs(since) / values.length)
  }
  return best * 1_000
}

export async function run(report: Report): Promise<void> {
  report.print(
    'CPU µs a reading from batch bytes to line protocol; windows of 10 s, 1 min, 15 min and 1 h with percentiles',
  )
  const counts = report.options.long ? [100, 1_000, 10_000, 100_000] : [100, 10_000]
  for (const withDetectors of [false, true])
    for (const samplesPerBlock of [10, 1]) {
      let first = Number.NaN
      for (const series of counts) {
        const { us, decodeUs, lineBytes } = measure(series, samplesPerBlock, withDetectors)
        if (series === counts[0]) first = us
        report.figure({
          what: `${series.toLocaleString('en-GB')} series, ${samplesPerBlock} ${samplesPerBlock === 1 ? 'sample ' : 'samples'} of a device in a batch, ${withDetectors ? 'outlier, flatline, silence' : 'no detectors'}`,
          value: us,
          unit: 'µs',
          budget: BUDGET_US,
          beside: `${(us / first).toFixed(2)} of the first${us / first > BUDGET_FLAT ? ' (aim 1.2: MISSED)' : ''}; decoding ${decodeUs.toFixed(2)} µs, ${lineBytes.toFixed(0)} bytes of lines a reading`,
        })
      }
    }
  report.figure({
    what: 'two thresholds, outlier and flatline of one field, a reading',
    value: measureDetectors(),
    unit: 'ns',
    budget: BUDGET_DETECTORS_NS,
  })
  for (const [size, budget] of [
    ['lite', BUDGET_LITE_NS],
    ['full', BUDGET_FULL_NS],
  ] as const)
    report.figure({
      what: `the learned detector, ${size}, a reading`,
      value: measureDetectorsOf({ detectors: { outlier: { level: size } } }),
      unit: 'ns',
      budget,
    })
  const long = new Run(true)
  for (let second = 0; second < SECONDS_LONG; second += 10) long.take(messagesOf(100, 10, second, second + 10))
  long.check(100 * SECONDS_LONG)
  report.figure({
    what: `checkpoint of 100 series after ${SECONDS_LONG / 3_600} h of readings each second, a series`,
    value: encodeState(long.state).length / 100,
    unit: 'bytes',
    budget: BUDGET_BYTES,
  })
}
