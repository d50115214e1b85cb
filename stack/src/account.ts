/**
 * The account, value by value: what the simulator's ledger says was measured, against what InfluxDB and the dead letters hold.
 * Every stored value is compared with the one that the device computed; nothing here trusts a counter of the pipeline, except for
 * what a counter alone can know (shed, and in flight when the pipeline was not given time to finish).
 */

import { connect } from '@nats-io/transport-node'
import { type InfluxQuery, readDeadLetters } from '@tributary/cloud-processor'
import { DEVICE_CLASSES, type LedgerSample, type Oracle, openOracle, readLedger } from '@tributary/firmware-sim'
import { type AccountAnswer, askJson } from './live-figures.ts'
import type { Pipeline } from './pipeline.ts'

export interface Account {
  /** Readings. produced = stored + deadLettered + shed + inFlight + missing + lostAtDevice. */
  readonly ledger: {
    readonly produced: number
    /** Found in InfluxDB at the right key with the right value. */
    readonly stored: number
    readonly deadLettered: number
    readonly shed: number
    readonly inFlight: number
    /** Neither stored nor refused nor known to be lost at the device; a wrong value is missing too. */
    readonly missing: number
    /** Stored under a second time, or both stored and dead-lettered, or never measured by any device. */
    readonly duplicates: number
    /** Of the missing: stored with another value than the device measured. */
    readonly wrong: number
    /** Lost before the agent could have had them, as the simulator recorded. */
    readonly lostAtDevice: number
  }
  readonly windows: number
  readonly anomalies: number
  /** A few readings that are missing, doubled or wrong, in words. */
  readonly examples: readonly string[]
}

interface Refused {
  /** `<device> <field> s<sequence>` or `<device> <field> t<time>`. */
  readonly keys: Set<string>
  /** Readings in letters that do not name each of them. */
  unlocated: number
}

const PAGE_SAMPLES = 20_000
const EXAMPLES_MAX = 12

export async function takeAccount(pipeline: Pipeline, signal: AbortSignal): Promise<Account> {
  const oracle = await openOracle(pipeline.ledgerFolder)
  const refused = await readRefused(pipeline.urls.nats)
  const tally = { produced: 0, stored: 0, deadLettered: 0, absent: 0, duplicates: 0, wrong: 0, lostAtDevice: 0 }
  const examples: string[] = []
  const example = (text: string) => examples.length < EXAMPLES_MAX && examples.push(text)

  for (const [device, fields] of devicesOf(oracle)) {
    const samples: LedgerSample[] = []
    for await (const sample of readLedger(pipeline.ledgerFolder, { device })) samples.push(sample)
    if (samples.length === 0) continue
    const found = await readStored(pipeline.query, samples, oracle, signal)
    tally.duplicates += found.duplicates
    for (const text of found.examples) example(text)
    for (const sample of samples) {
      tally.produced += sample.readings
      for (const field of fieldsOf(sample, fields)) {
        const stored = found.right.get(sample.sequence)?.has(field) ?? false
        const dead =
          refused.keys.has(`${device} ${field} s${sample.sequence}`) ||
          refused.keys.has(`${device} ${field} t${sample.timeMs}`)
        if (stored && dead) {
          tally.duplicates += 1
          example(`${device} ${field}, sequence ${sample.sequence}: stored and dead-lettered`)
        }
        if (stored) tally.stored += 1
        else if (dead) tally.deadLettered += 1
        else if (sample.lost) tally.lostAtDevice += 1
        else {
          tally.absent += 1
          if (found.wrong.get(sample.sequence)?.has(field)) tally.wrong += 1
          else
            example(
              `${device} ${field}, sequence ${sample.sequence}, measured at ${new Date(sample.timeMs).toISOString()}: missing`,
            )
        }
      }
    }
  }
  const own = await askJson<AccountAnswer>(`${pipeline.urls.processor}/account`)
  // Letters that do not name their readings, shed ones and those under way explain absences, never more than there are.
  let absent = tally.absent - tally.wrong
  const take = (count: number) => {
    const taken = Math.min(absent, count)
    absent -= taken
    return taken
  }
  const unlocated = take(refused.unlocated)
  const shed = take(own?.total.shed ?? 0)
  const inFlight = take(own?.total.inFlight ?? 0)
  return {
    ledger: {
      produced: tally.produced,
      stored: tally.stored,
      deadLettered: tally.deadLettered + unlocated,
      shed,
      inFlight,
      missing: absent + tally.wrong,
      duplicates: tally.duplicates,
      wrong: tally.wrong,
      lostAtDevice: tally.lostAtDevice,
    },
    windows: await total(pipeline.query, `SELECT count("revision") FROM "rollup"./.*_(10s|1m)$/`, signal),
    anomalies: await total(pipeline.query, `SELECT count("score") FROM "anomaly"`, signal),
    examples,
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
  readonly duplicates: number
  readonly examples: readonly string[]
}

/** Reads every point of one device, page by page, and compares each value with the oracle's. */
async function readStored(
  query: InfluxQuery,
  samples: readonly LedgerSample[],
  oracle: Oracle,
  signal: AbortSignal,
): Promise<Stored> {
  const { device, kind } = samples[0] as LedgerSample
  const right = new Map<number, Set<string>>()
  const wrong = new Map<number, Set<string>>()
  const examples: string[] = []
  let duplicates = 0
  const sequenceAt = new Map(samples.map((sample) => [sample.timeMs, sample.sequence]))
  const known = new Set(samples.map((sample) => sample.sequence))
  let afterMs = 0
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
      const again = sequence !== undefined && right.has(sequence)
      const rightHere = new Set<string>()
      for (let i = 1; i < columns.length; i++) {
        const field = columns[i] as string
        const value = row[i]
        if (value === null || field === 'site' || field === 'device') continue
        if (sequence === undefined || !known.has(sequence) || again) {
          duplicates += 1
          if (examples.length < EXAMPLES_MAX)
            examples.push(
              `${device} ${field} at ${new Date(timeMs).toISOString()}: ${again ? `sequence ${sequence} is stored twice` : 'never measured'}`,
            )
        } else if (value === oracle.expectedValue(device, field, sequence)) rightHere.add(field)
        else {
          wrong.set(sequence, (wrong.get(sequence) ?? new Set()).add(field))
          if (examples.length < EXAMPLES_MAX)
            examples.push(
              `${device} ${field}, sequence ${sequence}: stored ${value}, measured ${oracle.expectedValue(device, field, sequence)}`,
            )
        }
      }
      if (sequence !== undefined && !again) right.set(sequence, rightHere)
    }
    if (series.values.length < PAGE_SAMPLES) break
  }
  return { right, wrong, duplicates, examples }
}

async function readRefused(natsUrl: string): Promise<Refused> {
  const refused: Refused = { keys: new Set(), unlocated: 0 }
  const connection = await connect({ servers: natsUrl, timeout: 5_000 })
  try {
    for await (const letter of readDeadLetters(connection)) {
      if (letter.stage !== 'contract' || letter.originalBytes > Buffer.from(letter.original, 'base64').length) {
        refused.unlocated += letter.readingCount
        continue
      }
      const { times, sequences } = JSON.parse(Buffer.from(letter.original, 'base64').toString('utf8')) as {
        times: number[]
        sequences?: (number | null)[]
      }
      for (const [i, timeMs] of times.entries()) {
        const sequence = sequences?.[i]
        refused.keys.add(
          `${letter.device} ${letter.field} ${typeof sequence === 'number' ? `s${sequence}` : `t${timeMs}`}`,
        )
      }
    }
  } finally {
    await connection.close()
  }
  return refused
}

/** Sum over all series and columns of a counting query. */
async function total(query: InfluxQuery, text: string, signal: AbortSignal): Promise<number> {
  const series = await query(text, signal)
  return series.reduce(
    (sum, { values }) =>
      sum +
      values.reduce(
        (inner, row) =>
          inner + row.slice(1).reduce<number>((n, value) => n + (typeof value === 'number' ? value : 0), 0),
        0,
      ),
    0,
  )
}
