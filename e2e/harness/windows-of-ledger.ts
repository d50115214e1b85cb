/**
 * Every window of the store against what was measured, where single readings were given up and cannot tell any more.
 * The truth is the simulator's ledger, and what a test sent itself.
 */
import type { InfluxQuery, InfluxSeries } from '@tributary/cloud-processor'
import { DEVICE_CLASSES, openOracle, readLedger } from '@tributary/firmware-sim'

const WIDTHS = [
  ['10s', 10_000],
  ['1m', 60_000],
] as const
const QUERY_MS_MAX = 30_000

/** All samples that a device measured and got rid of; each has all fields. */
export interface Measured {
  readonly device: string
  readonly kind: string
  /** Readings of a sample. */
  readonly readings: number
  /** An integer field that no two samples share. */
  readonly identity: string
  readonly samples: readonly { readonly timeMs: number; readonly values: Readonly<Record<string, unknown>> }[]
}

/** Samples, except `wrong`. */
export interface WindowsFound {
  /** Windows whose every field is that of all readings measured in it, single readings of which are gone. */
  readonly rebuilt: { readonly '10s': number; readonly '1m': number }
  /** Samples measured, and those of them that the store has one by one. */
  readonly measured: number
  readonly stored: number
  /** Samples that windows of that width lack. */
  readonly lacking: { readonly '10s': number; readonly '1m': number }
  /** Samples that are gone, in windows that have not ended yet or are dirty. */
  readonly open: { readonly '10s': number; readonly '1m': number }
  /** Windows that say something else than what was measured, in words. */
  readonly wrong: readonly string[]
}

export async function measuredByDevices(ledgerFolder: string): Promise<Measured[]> {
  const oracle = await openOracle(ledgerFolder)
  const classes = new Map(oracle.runs.flatMap(({ scenario }) => scenario.devices.map((d) => [d.name, d.class])))
  const found: Measured[] = []
  for (const [device, name] of classes) {
    const { kind, fields } = DEVICE_CLASSES[name]
    const samples: { timeMs: number; values: Record<string, unknown> }[] = []
    for await (const { timeMs, sequence, lost } of readLedger(ledgerFolder, { device }))
      if (!lost)
        samples.push({
          timeMs,
          values: Object.fromEntries(fields.map((f) => [f.name, oracle.expectedValue(device, f.name, sequence)])),
        })
    found.push({ device, kind, readings: fields.length, identity: 'sequence', samples })
  }
  return found
}

/**
 * @param endedMs windows that end later may be open
 * @param dirty windows that are to be recomputed, see `dirtyKeyOf`: they are left out
 */
export async function compareWindows(
  query: InfluxQuery,
  { device, kind, identity, samples }: Measured,
  endedMs: number,
  dirty: ReadonlySet<string> = new Set(),
) {
  const wrong: string[] = []
  const counts = () => ({ '10s': 0, '1m': 0 })
  const [rebuilt, lacking, open] = [counts(), counts(), counts()]
  const ask = (text: string) => query(text, AbortSignal.timeout(QUERY_MS_MAX))
  const [raw] = await ask(`SELECT "${identity}" FROM "${kind}" WHERE "device" = '${device}'`)
  const stored = new Set(raw?.values.map((row) => row[1] as number))
  for (const [name, widthMs] of WIDTHS) {
    const all = await ask(`SELECT * FROM "rollup"."${kind}_${name}" WHERE "device" = '${device}' GROUP BY *`)
    // A roll-up for a window that is not in memory any more is a row of its own.
    const series = all.filter(({ tags }) => !tags?.['part'])
    const parts = all
      .filter(({ tags }) => tags?.['part'])
      .flatMap(({ values }) => values.map((row) => row[0] as number))
    if (series.length > 1) wrong.push(`${kind}_${name} ${device}: ${series.length} series`)
    const rows = new Map(series[0]?.values.map((row) => [row[0] as number, row]))
    for (const startMs of [...rows.keys(), ...parts]) {
      const isDirty = dirty.has(dirtyKeyOf({ kind, device, widthMs, startMs }))
      if (isDirty) rows.delete(startMs)
      else if (parts.includes(startMs)) wrong.push(`${kind}_${name} ${device} at ${startMs}: a part by itself`)
    }
    const byWindow = new Map<number, Measured['samples'][number][]>()
    for (const sample of samples) {
      const startMs = Math.floor(sample.timeMs / widthMs) * widthMs
      const inside = byWindow.get(startMs)
      if (inside) inside.push(sample)
      else byWindow.set(startMs, [sample])
    }
    for (const [startMs, inside] of byWindow) {
      const where = `${kind}_${name} ${device} at ${new Date(startMs).toISOString()}`
      const row = rows.get(startMs)
      rows.delete(startMs)
      const storedInside = inside.filter(({ values }) => stored.has(values[identity] as number)).length
      if (startMs + widthMs > endedMs || dirty.has(dirtyKeyOf({ kind, device, widthMs, startMs }))) {
        open[name] += inside.length - storedInside
        continue
      }
      const count = row ? saidOf(series[0] as InfluxSeries, row, identity, 'count') : 0
      if (count < storedInside || count > inside.length)
        wrong.push(`${where}: ${count} samples, where ${inside.length} were measured and ${storedInside} are stored`)
      else if (count < inside.length) lacking[name] += inside.length - count
      else {
        if (storedInside < inside.length) rebuilt[name] += 1
        const fault = faultOf(series[0] as InfluxSeries, row as InfluxSeries['values'][number], inside)
        if (fault) wrong.push(`${where}: ${fault}`)
      }
    }
    for (const startMs of rows.keys())
      wrong.push(`${kind}_${name} ${device} at ${new Date(startMs).toISOString()}: nothing was measured then`)
  }
  return {
    rebuilt,
    measured: samples.length,
    stored: stored.size,
    lacking,
    open,
    wrong,
  } satisfies WindowsFound
}

export interface WindowKey {
  readonly kind: string
  readonly device: string
  readonly widthMs: number
  readonly startMs: number
}
export const dirtyKeyOf = ({ kind, device, widthMs, startMs }: WindowKey): string =>
  `${kind} ${device} ${widthMs} ${startMs}`

type Row = InfluxSeries['values'][number]
const saidOf = ({ columns }: InfluxSeries, row: Row, field: string, what: string): number =>
  Number(row[columns.indexOf(`${field}_${what}`)])

/** What the row says otherwise than its readings, of which it has all. */
function faultOf(series: InfluxSeries, row: Row, samples: Measured['samples']): string | undefined {
  const last = samples.reduce((a, b) => (b.timeMs > a.timeMs ? b : a))
  for (const [field, lastValue] of Object.entries(last.values)) {
    if (typeof lastValue !== 'number') {
      const said = row[series.columns.indexOf(`${field}_last`)]
      if (said !== lastValue) return `last ${field} ${said} instead of ${lastValue}`
      continue
    }
    const values = samples.map((sample) => sample.values[field] as number)
    const mean = values.reduce((a, b) => a + b, 0) / values.length
    const truth = {
      count: values.length,
      min: values.reduce((a, b) => Math.min(a, b)),
      max: values.reduce((a, b) => Math.max(a, b)),
      last: lastValue,
    }
    for (const [what, expected] of Object.entries(truth)) {
      const said = saidOf(series, row, field, what)
      if (said !== expected) return `${what} of ${field} ${said} instead of ${expected}`
    }
    const said = saidOf(series, row, field, 'mean')
    if (!(Math.abs(said - mean) <= 1e-9 * Math.max(1, Math.abs(mean))))
      return `mean of ${field} ${said} instead of ${mean}`
  }
  return undefined
}
