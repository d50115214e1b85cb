/**
 * Every reading of the simulator's ledger against what InfluxDB and the dead letters hold, value by value. Nothing here trusts a
 * counter of the pipeline.
 */
import type { InfluxQuery } from '@tributary/cloud-processor'
import { DEVICE_CLASSES, type LedgerSample, type Oracle, openOracle, readLedger } from '@tributary/firmware-sim'
import type { RefusedReadings } from './refused-readings.ts'

/** Readings, except `samples`. */
export interface Comparison {
  produced: number
  /** At the right key with the right value. */
  stored: number
  deadLettered: number
  /** Neither stored nor refused nor known to be lost at the device; wrong values are among them. */
  absent: number
  /** Stored under a second time, or both stored and dead-lettered, or never measured by any device. */
  duplicates: number
  /** Stored with another value than the device measured. */
  wrong: number
  /** Lost before the agent could have had them, as the simulator recorded. */
  lostAtDevice: number
  /** A few readings that are absent, doubled or wrong, in words. */
  readonly examples: string[]
}

/** Times of measurement, from and until included. */
export interface Span {
  readonly fromMs: number
  readonly untilMs: number
}

export interface Place {
  readonly ledgerFolder: string
  readonly query: InfluxQuery
}

const PAGE_SAMPLES = 20_000
export const EXAMPLES_MAX = 12
const ALWAYS: Span = { fromMs: 0, untilMs: Number.POSITIVE_INFINITY }
/** A device without a clock is stamped when its sample arrives, and a sample kept through an outage arrives late. */
export const STAMP_LATE_MS_MAX = 10 * 60_000
/** The stamp of an agent whose clock was set right a little too far back. */
const STAMP_EARLY_MS_MAX = 5_000

/** @param span only what was measured then; a value that no device measured is only seen without it */
export async function compareWithStore(
  { ledgerFolder, query }: Place,
  refused: RefusedReadings,
  signal: AbortSignal,
  span: Span = ALWAYS,
): Promise<Comparison> {
  const oracle = await openOracle(ledgerFolder)
  const sum: Comparison = {
    produced: 0,
    stored: 0,
    deadLettered: 0,
    absent: 0,
    duplicates: 0,
    wrong: 0,
    lostAtDevice: 0,
    examples: [],
  }
  for (const [device, fields] of devicesOf(oracle)) {
    const samples: LedgerSample[] = []
    for await (const sample of readLedger(ledgerFolder, { device }))
      if (sample.timeMs >= span.fromMs && sample.timeMs <= span.untilMs) samples.push(sample)
    if (samples.length === 0) continue
    const found = await readStored(query, samples, { oracle, span, signal, sum })
    for (const sample of samples) settle(sample, fields, found, refused, sum)
  }
  return sum
}

const example = (sum: Comparison, text: string) => sum.examples.length < EXAMPLES_MAX && sum.examples.push(text)

/** What became of each reading of one sample. */
function settle(
  sample: LedgerSample,
  deviceFields: readonly string[],
  { right, wrong }: Stored,
  refused: RefusedReadings,
  sum: Comparison,
): void {
  const { device, sequence, timeMs } = sample
  sum.produced += sample.readings
  for (const field of fieldsOf(sample, deviceFields)) {
    const stored = right.get(sequence)?.has(field) ?? false
    const dead = refused.has(device, field, sequence, timeMs)
    if (stored && dead) {
      sum.duplicates += 1
      example(sum, `${device} ${field}, sequence ${sequence}: stored and dead-lettered`)
    }
    if (stored) sum.stored += 1
    else if (dead) sum.deadLettered += 1
    else if (sample.lost) sum.lostAtDevice += 1
    else {
      sum.absent += 1
      if (wrong.get(sequence)?.has(field)) sum.wrong += 1
      else
        example(sum, `${device} ${field}, sequence ${sequence}, measured at ${new Date(timeMs).toISOString()}: missing`)
    }
  }
}

/** Device → the fields of its class. */
const devicesOf = (oracle: Oracle): Map<string, string[]> =>
  new Map(
    oracle.runs.flatMap((run) =>
      run.scenario.devices.map((d): [string, string[]] => [d.name, DEVICE_CLASSES[d.class].fields.map((f) => f.name)]),
    ),
  )

/** The fields that were sent, the refused ones that no device class has included. */
function fieldsOf(sample: LedgerSample, deviceFields: readonly string[]): readonly string[] {
  const more = sample.refused.map(({ field }) => field).filter((field) => !deviceFields.includes(field))
  return more.length === 0 ? deviceFields : [...deviceFields, ...more]
}

interface Stored {
  /** Sequence → fields stored with the right value. */
  readonly right: Map<number, Set<string>>
  readonly wrong: Map<number, Set<string>>
}

/** Reads the points of one device, page by page, and compares each value with the oracle's. */
async function readStored(
  query: InfluxQuery,
  samples: readonly LedgerSample[],
  { oracle, span, signal, sum }: { oracle: Oracle; span: Span; signal: AbortSignal; sum: Comparison },
): Promise<Stored> {
  const first = samples[0] as LedgerSample
  const { device, kind } = first
  const right = new Map<number, Set<string>>()
  const wrong = new Map<number, Set<string>>()
  const timeOf = new Map(samples.map((sample) => [sample.sequence, sample.timeMs]))
  const sequenceAt = new Map(samples.map((sample) => [sample.timeMs, sample.sequence]))
  let afterMs = Math.max(0, span.fromMs - STAMP_EARLY_MS_MAX)
  for (;;) {
    const [series] = await query(
      `SELECT * FROM "${kind}" WHERE "device" = '${device}' AND time > ${afterMs}ms ORDER BY time LIMIT ${PAGE_SAMPLES}`,
      signal,
    )
    if (!series || series.values.length === 0) break
    const columns = series.columns
    const sequenceColumn = columns.indexOf('sequence')
    for (const row of series.values) {
      const timeMs = row[0] as number
      afterMs = timeMs
      const sequence = (sequenceColumn >= 0 ? (row[sequenceColumn] as number | null) : null) ?? sequenceAt.get(timeMs)
      const measuredAtMs = sequence === undefined ? undefined : timeOf.get(sequence)
      if (measuredAtMs === undefined && span !== ALWAYS) continue
      const again = sequence !== undefined && right.has(sequence)
      const when = new Date(timeMs).toISOString()
      const misplaced =
        measuredAtMs !== undefined &&
        (timeMs < measuredAtMs - STAMP_EARLY_MS_MAX || timeMs > measuredAtMs + STAMP_LATE_MS_MAX)
      const rightHere = new Set<string>()
      for (let i = 1; i < columns.length; i++) {
        const field = columns[i] as string
        const value = row[i]
        if (value === null || field === 'site' || field === 'device') continue
        if (sequence === undefined || measuredAtMs === undefined || again) {
          sum.duplicates += 1
          example(
            sum,
            `${device} ${field} at ${when}: ${again ? `sequence ${sequence} is stored twice` : 'never measured'}`,
          )
          continue
        }
        const measured = oracle.expectedValue(device, field, sequence)
        if (value === measured && !misplaced) {
          rightHere.add(field)
          continue
        }
        wrong.set(sequence, (wrong.get(sequence) ?? new Set()).add(field))
        example(
          sum,
          `${device} ${field}, sequence ${sequence}: stored ${value}${misplaced ? ` at ${when}` : ''}, measured ${measured}${misplaced ? ` at ${new Date(measuredAtMs).toISOString()}` : ''}`,
        )
      }
      if (sequence !== undefined && !again) right.set(sequence, rightHere)
    }
    if (series.values.length < PAGE_SAMPLES) break
  }
  return { right, wrong }
}
