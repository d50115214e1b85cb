/** What a day of simulated readings adds up to, and whether InfluxDB holds exactly that. */
import { strict as assert } from 'node:assert'
import type { InfluxQuery } from '@tributary/cloud-processor'
import type { Run } from '@tributary/firmware-sim'
import { type SimulatedSample, simulatedSamples } from '@tributary/stack'

/** Of one field of one device. Sums of booleans and strings are undefined. */
interface FieldTotals {
  count: number
  sum: number | undefined
}

export interface Day {
  readonly fromMs: number
  readonly toMs: number
  readonly readings: number
  /** `<kind> <device> <field>` → what was measured. */
  readonly totals: ReadonlyMap<string, FieldTotals>
}

/** Adds up what passes through. */
export function createDay(run: Run, toMs: number): { readonly samples: Iterable<SimulatedSample>; readonly day: Day } {
  const totals = new Map<string, FieldTotals>()
  const day = { fromMs: run.startedAtMs, toMs, readings: 0, totals }
  function* samples() {
    for (const sample of simulatedSamples(run, toMs)) {
      for (let i = 0; i < sample.names.length; i++) {
        const key = `${sample.kind} ${sample.device} ${sample.names[i]}`
        const value = sample.values[i]
        const total = totals.get(key) ?? { count: 0, sum: typeof value === 'number' ? 0 : undefined }
        totals.set(key, total)
        total.count += 1
        if (total.sum !== undefined) total.sum += value as number
      }
      day.readings += sample.names.length
      yield sample
    }
  }
  return { samples: samples(), day }
}

const SUM_TOLERANCE = 1e-9

/** @throws AssertionError with the first field whose count or sum is another */
export async function expectDay(query: InfluxQuery, day: Day): Promise<void> {
  const { fromMs, toMs, totals } = day
  for (const [key, { count, sum }] of totals) {
    const [kind, device, field] = key.split(' ') as [string, string, string]
    const [series] = await query(
      `SELECT count("${field}")${sum === undefined ? '' : `, sum("${field}")`} FROM "${kind}" WHERE "device" = '${device}' AND time >= ${fromMs}ms AND time < ${toMs}ms`,
    )
    const [, stored, storedSum] = (series?.values[0] ?? []) as number[]
    assert.equal(stored, count, `readings of ${key}`)
    if (sum !== undefined)
      assert(
        Math.abs((storedSum ?? Number.NaN) - sum) <= SUM_TOLERANCE * Math.max(1, Math.abs(sum)),
        `the readings of ${key} add up to ${storedSum}, not ${sum}`,
      )
  }
}

/** Readings that the day's windows of a minute count. */
export async function windowedReadings(query: InfluxQuery, { fromMs, toMs, totals }: Day): Promise<number> {
  let readings = 0
  for (const kind of new Set([...totals.keys()].map((key) => key.split(' ')[0])))
    for (const { values } of await query(
      `SELECT sum(/_count$/) FROM "rollup"."${kind}_1m" WHERE time >= ${fromMs}ms AND time < ${toMs}ms`,
    ))
      for (const count of values[0]?.slice(1) ?? []) readings += Number(count ?? 0)
  return readings
}
