/** Every window against the raw readings in the same store, computed the plain way. */
import type { InfluxSeries } from '@tributary/cloud-processor'
import type { Pipeline } from '@tributary/stack'
import { expect } from 'vitest'

const WIDTHS_MS = { '10s': 10_000, '1m': 60_000 }
const KINDS = ['vibration', 'climate', 'power', 'tank']
/** Behind the newest reading a window may still be open. */
const OPEN_MS = 3_000
const QUERY_MS_MAX = 30_000

interface Differences {
  checked: number
  readonly wrong: string[]
}

/** Asserts that there are windows, and that count, mean, min, max and last of each numeric field are those of its readings. */
export async function expectWindows(pipeline: Pipeline): Promise<void> {
  const found: Differences = { checked: 0, wrong: [] }
  const ask = (text: string) => pipeline.query(text, AbortSignal.timeout(QUERY_MS_MAX))
  for (const kind of KINDS) {
    const raw = await ask(`SELECT * FROM "${kind}" GROUP BY "site", "device"`)
    for (const [name, widthMs] of Object.entries(WIDTHS_MS)) {
      const windows = await ask(`SELECT * FROM "rollup"."${kind}_${name}" GROUP BY "site", "device"`)
      for (const series of raw) {
        const own = windows.find(({ tags }) => tags?.['device'] === series.tags?.['device'])
        if (own) compare(series, own, widthMs, found)
      }
    }
  }
  expect(found.wrong.slice(0, 5)).toEqual([])
  expect(found.checked).toBeGreaterThan(50)
}

function compare(raw: InfluxSeries, windows: InfluxSeries, widthMs: number, found: Differences): void {
  const newestMs = Math.max(...raw.values.map(([timeMs]) => timeMs as number))
  for (const [c, field] of raw.columns.entries()) {
    const byWindow = new Map<number, number[]>()
    for (const row of raw.values) {
      const value = row[c]
      if (c === 0 || typeof value !== 'number') continue
      const startMs = Math.floor((row[0] as number) / widthMs) * widthMs
      const values = byWindow.get(startMs) ?? []
      byWindow.set(startMs, values)
      values.push(value)
    }
    for (const row of windows.values) {
      const startMs = row[0] as number
      const values = byWindow.get(startMs)
      if (values === undefined || startMs + widthMs > newestMs - OPEN_MS) continue
      const said = (what: string) => Number(row[windows.columns.indexOf(`${field}_${what}`)])
      const mean = values.reduce((a, b) => a + b, 0) / values.length
      found.checked += 1
      const right =
        said('count') === values.length &&
        said('min') === Math.min(...values) &&
        said('max') === Math.max(...values) &&
        said('last') === values.at(-1) &&
        Math.abs(said('mean') - mean) <= 1e-9 * Math.max(1, Math.abs(mean))
      if (!right)
        found.wrong.push(
          `${windows.name} ${raw.tags?.['device']} ${field} at ${new Date(startMs).toISOString()}: ${said('count')} readings, mean ${said('mean')}, of ${values.length}, mean ${mean}`,
        )
    }
  }
}
