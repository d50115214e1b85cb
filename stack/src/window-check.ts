/** Every window against the raw readings in the same store, computed the plain way. */
import type { InfluxQuery, InfluxSeries } from '@tributary/cloud-processor'
import type { Span } from './stored-values.ts'

const WIDTHS_MS = { '10s': 10_000, '1m': 60_000 }
const KINDS = ['vibration', 'climate', 'power', 'tank']
/** Behind the newest reading a window may still be open. */
const OPEN_MS = 3_000
const QUERY_MS_MAX = 30_000

export interface WindowCheck {
  /** Fields of windows that were compared. */
  checked: number
  /** Windows that are not there, and those that say something else than their readings. */
  readonly wrong: string[]
}

/**
 * Count, mean, min, max and last of each numeric field.
 * @param span only windows that lie in it altogether
 */
export async function checkWindows(query: InfluxQuery, signal: AbortSignal, span?: Span): Promise<WindowCheck> {
  const found: WindowCheck = { checked: 0, wrong: [] }
  const ask = (text: string) => query(text, AbortSignal.any([signal, AbortSignal.timeout(QUERY_MS_MAX)]))
  const widest = Math.max(...Object.values(WIDTHS_MS))
  const from = span && `WHERE time >= ${Math.floor(span.fromMs / widest) * widest}ms`
  for (const kind of KINDS) {
    const raw = await ask(`SELECT * FROM "${kind}" ${from ?? ''} GROUP BY "site", "device"`)
    for (const [name, widthMs] of Object.entries(WIDTHS_MS)) {
      const windows = await ask(`SELECT * FROM "rollup"."${kind}_${name}" ${from ?? ''} GROUP BY "site", "device"`)
      for (const series of raw) {
        const own = windows.find(({ tags }) => tags?.['device'] === series.tags?.['device'])
        compare(series, own, `${kind}_${name}`, widthMs, found, span)
      }
    }
  }
  return found
}

function compare(
  raw: InfluxSeries,
  windows: InfluxSeries | undefined,
  measurement: string,
  widthMs: number,
  found: WindowCheck,
  span: Span = { fromMs: 0, untilMs: Number.POSITIVE_INFINITY },
): void {
  const newestMs = raw.values.reduce((newest, [timeMs]) => Math.max(newest, timeMs as number), 0)
  const endMsMax = Math.min(newestMs - OPEN_MS, span.untilMs)
  const rows = new Map(windows?.values.map((row) => [row[0] as number, row]))
  for (const [c, field] of raw.columns.entries()) {
    const byWindow = new Map<number, number[]>()
    for (const row of raw.values) {
      const value = row[c]
      if (c === 0 || typeof value !== 'number') continue
      const startMs = Math.floor((row[0] as number) / widthMs) * widthMs
      if (startMs < span.fromMs || startMs + widthMs > endMsMax) continue
      const values = byWindow.get(startMs) ?? []
      byWindow.set(startMs, values)
      values.push(value)
    }
    for (const [startMs, values] of byWindow) {
      found.checked += 1
      const where = `${measurement} ${raw.tags?.['device']} ${field} at ${new Date(startMs).toISOString()}`
      const row = rows.get(startMs)
      if (windows === undefined || row === undefined) {
        found.wrong.push(`${where}: there is none, of ${values.length} readings`)
        continue
      }
      const said = (what: string) => Number(row[windows.columns.indexOf(`${field}_${what}`)])
      const mean = values.reduce((a, b) => a + b, 0) / values.length
      const right =
        said('count') === values.length &&
        said('min') === values.reduce((a, b) => Math.min(a, b)) &&
        said('max') === values.reduce((a, b) => Math.max(a, b)) &&
        said('last') === values.at(-1) &&
        Math.abs(said('mean') - mean) <= 1e-9 * Math.max(1, Math.abs(mean))
      if (!right)
        found.wrong.push(`${where}: ${said('count')} readings, mean ${said('mean')}, of ${values.length}, mean ${mean}`)
    }
  }
}
