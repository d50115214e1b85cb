/**
 * The account, value by value: what the simulator's ledger says was measured, against what InfluxDB and the dead letters hold.
 * A counter of the pipeline is only believed for what a counter alone can know: shed, and in flight when the pipeline was not
 * given time to finish.
 */

import type { InfluxQuery } from '@tributary/cloud-processor'
import { type AccountAnswer, askJson } from './live-figures.ts'
import type { Pipeline } from './pipeline.ts'
import { type RefusedReadings, readRefusedReadings } from './refused-readings.ts'
import { compareWithStore } from './stored-values.ts'

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

/** @param refused by default what the stream of dead letters holds now */
export async function takeAccount(
  pipeline: Pipeline,
  signal: AbortSignal,
  refused?: RefusedReadings,
): Promise<Account> {
  const letters = refused ?? (await readRefusedReadings(pipeline.urls.nats))
  const { examples, ...found } = await compareWithStore(pipeline, letters, signal)
  const own = await askJson<AccountAnswer>(`${pipeline.urls.processor}/account`)
  // Letters that do not name their readings, shed ones and those under way explain absences, never more than there are.
  let absent = found.absent - found.wrong
  const take = (count: number) => {
    const taken = Math.min(absent, count)
    absent -= taken
    return taken
  }
  const unlocated = take(letters.unlocated)
  const shed = take(own?.total.shed ?? 0)
  const inFlight = take(own?.total.inFlight ?? 0)
  return {
    ledger: {
      produced: found.produced,
      stored: found.stored,
      deadLettered: found.deadLettered + unlocated,
      shed,
      inFlight,
      missing: absent + found.wrong,
      duplicates: found.duplicates,
      wrong: found.wrong,
      lostAtDevice: found.lostAtDevice,
    },
    windows: await total(pipeline.query, `SELECT count("revision") FROM "rollup"./.*_(10s|1m)$/`, signal),
    anomalies: await total(pipeline.query, `SELECT count("score") FROM "anomaly"`, signal),
    examples,
  }
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
