/** What the database holds, by query: nobody's counter is believed. */
import { strict as assert } from 'node:assert'
import type { InfluxQuery } from '@tributary/cloud-processor'
import { systemClock } from '@tributary/runtime'
import { FIELD_NAMES, KIND, type Workload } from './workload.ts'

const clock = systemClock
const LOOK_MS = 100
/** So long nothing came: nothing more will. */
const QUIET_MS = 6_000
const SUM_TOLERANCE = 1e-9

/** Readings of all devices. */
export async function countStored(query: InfluxQuery): Promise<number> {
  const counts = FIELD_NAMES.map((field) => `count("${field}")`).join(', ')
  const series = await query(`SELECT ${counts} FROM "${KIND}"`).catch(() => [])
  return (series[0]?.values[0] ?? [0]).slice(1).reduce<number>((sum, count) => sum + Number(count ?? 0), 0)
}

/**
 * Waits until everything that was taken from the workload is stored, or nothing came for a while.
 * @returns readings in the database, and since when nothing changed
 */
export async function untilStored(
  query: InfluxQuery,
  workload: Workload,
  progress: (text: string) => void,
): Promise<{ readonly stored: number; readonly atMs: number }> {
  const wanted = workload.readings
  let seen = ''
  let seenAtMs = clock.monotonicMs()
  // Looking must cost the database nothing that counts: one series, until its end is there.
  const longest = workload.devices.reduce((most, device) => (device.count >= most.count ? device : most))
  let where = `WHERE "device" = '${longest.name}'`
  for (;;) {
    const lookedAtMs = clock.monotonicMs()
    const newest = await query(`SELECT last("sequence") FROM "${KIND}" ${where} GROUP BY "device"`).catch(() => [])
    const said = JSON.stringify(newest)
    if (said !== seen) seenAtMs = lookedAtMs
    seen = said
    const isQuiet = lookedAtMs - seenAtMs > QUIET_MS
    const last = new Map(newest.map(({ tags, values }) => [tags?.['device'], values[0]?.[1]]))
    if (where !== '' && (isQuiet || last.get(longest.name) === longest.count - 1)) {
      where = ''
      continue
    }
    if (isQuiet || workload.devices.every(({ name, count }) => count === 0 || last.get(name) === count - 1)) {
      const stored = await countStored(query)
      if (stored >= wanted || isQuiet) return { stored, atMs: stored >= wanted ? lookedAtMs : seenAtMs }
    }
    progress(`waiting for ${wanted.toLocaleString('en-GB')} readings in the database`)
    await clock.sleep(LOOK_MS)
  }
}

/** @throws AssertionError with the first field whose count or sum is another */
export async function expectStored(query: InfluxQuery, workload: Workload): Promise<void> {
  const columns = FIELD_NAMES.map((field) => `count("${field}"), sum("${field}")`).join(', ')
  const series = await query(`SELECT ${columns} FROM "${KIND}" GROUP BY "device"`)
  const rows = new Map(series.map(({ tags, values }) => [tags?.['device'], (values[0] ?? []).slice(1) as number[]]))
  for (const { name, count, sums } of workload.devices) {
    const row = rows.get(name) ?? []
    for (const [i, field] of FIELD_NAMES.entries()) {
      assert.equal(row[2 * i] ?? 0, count, `readings of ${name} ${field}`)
      const [stored, measured] = [row[2 * i + 1] ?? Number.NaN, sums[field]]
      assert(
        Math.abs(stored - measured) <= SUM_TOLERANCE * Math.max(1, Math.abs(measured)),
        `the readings of ${name} ${field} add up to ${stored}, not ${measured}`,
      )
    }
  }
}
