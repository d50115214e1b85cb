/**
 * Every window of the store against what was measured, where single readings were given up and cannot tell any more.
 * The truth is the simulator's ledger, and what a test sent itself.
 */
import type { InfluxQuery } from '@tributary/cloud-processor'
import { openOracle } from '@tributary/firmware-sim'
import { type Contract, readContracts } from '@tributary/protocol'
import {
  devicesOf,
  differenceOf,
  type Pipeline,
  plainWindows,
  readingsOf,
  readRows,
  samplesOfLedger,
  type TimedSample,
} from '@tributary/stack'

const WIDTHS = [
  ['10s', 10_000],
  ['1m', 60_000],
] as const
const QUERY_MS_MAX = 30_000

/** All samples that a device measured and got rid of; each has all fields. */
export interface Measured {
  readonly device: string
  readonly contract: Contract
  /** Readings of a sample. */
  readonly readings: number
  /** An integer field that no two samples share. */
  readonly identity: string
  readonly samples: readonly TimedSample[]
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
  /** Samples that are gone, in windows that have not ended yet. */
  readonly open: { readonly '10s': number; readonly '1m': number }
  /** Windows that say something else than what was measured, in words. */
  readonly wrong: readonly string[]
}

/** Of a scenario in which nothing is refused. */
export async function measuredByDevices(pipeline: Pipeline): Promise<Measured[]> {
  const oracle = await openOracle(pipeline.ledgerFolder)
  const contracts = await readContracts(pipeline.contractsFolder)
  const nothing = { has: () => false }
  const found: Measured[] = []
  for (const [device, { kind }] of devicesOf(oracle)) {
    const contract = contracts.get(kind) as Contract
    const signal = AbortSignal.timeout(QUERY_MS_MAX)
    const samples = await samplesOfLedger(pipeline, oracle, contract, device, nothing, signal)
    found.push({ device, contract, readings: samples[0]?.values.size ?? 0, identity: 'sequence', samples })
  }
  return found
}

/**
 * @param endedMs windows that end later may be open
 * @param mayHaveParts after a state was lost a part of what was rolled up may stand beside a row: both together are the window
 */
export async function compareWindows(
  query: InfluxQuery,
  { device, contract, identity, samples }: Measured,
  endedMs: number,
  mayHaveParts = false,
): Promise<WindowsFound> {
  const { kind } = contract
  const wrong: string[] = []
  const counts = () => ({ '10s': 0, '1m': 0 })
  const [rebuilt, lacking, open] = [counts(), counts(), counts()]
  const signal = AbortSignal.timeout(QUERY_MS_MAX)
  const [raw] = await query(`SELECT "${identity}" FROM "${kind}" WHERE "device" = '${device}'`, signal)
  const stored = new Set(raw?.values.map((row) => row[1] as number))
  const isStored = ({ values }: TimedSample) => stored.has(values.get(identity) as number)
  const readings = readingsOf(samples)
  const sketched = readingsOf(samples.filter(isStored))
  const all = await readRows(query, contract, device, signal)
  for (const [name, widthMs] of WIDTHS) {
    const expected = plainWindows(contract, readings, widthMs, sketched)
    const rows = new Map(all.get(widthMs))
    /**
     * What a counter counted since the last reading of the window before is only known where that has all of its own; and in the
     * first window of all not when readings of it were rolled up, to the last one.
     */
    let isBeforeWhole: boolean | undefined
    for (const [startMs, inside] of byWindow(samples, widthMs)) {
      const where = `${kind}_${name} ${device} at ${new Date(startMs).toISOString()}`
      const [row, ...others] = rows.get(startMs) ?? []
      rows.delete(startMs)
      const storedInside = inside.filter(isStored).length
      if (startMs + widthMs > endedMs) {
        open[name] += inside.length - storedInside
        isBeforeWhole = false
        continue
      }
      const countOf = (one?: typeof row) => Number(one?.said.get(`${identity}_count`) ?? 0)
      if (others.length > 0 || row?.isPart) {
        const together = others.reduce((sum, other) => sum + countOf(other), countOf(row))
        if (!mayHaveParts || others.length > 1 || together < storedInside || together > inside.length)
          wrong.push(`${where}: ${others.length + 1} rows, or a part by itself, of ${together} samples in all`)
        else if (together === inside.length) {
          const difference = differenceOf(addable(expected.get(startMs)), joined(row?.said, others[0]?.said))
          if (difference) wrong.push(`${where}, row and part together: ${difference}`)
          else rebuilt[name] += 1
        }
        lacking[name] += inside.length - together
        isBeforeWhole = false
        continue
      }
      const count = countOf(row)
      const isWhole = count === inside.length
      if (count < storedInside || count > inside.length)
        wrong.push(`${where}: ${count} samples, where ${inside.length} were measured and ${storedInside} are stored`)
      else if (!isWhole) lacking[name] += inside.length - count
      else {
        if (storedInside < inside.length) rebuilt[name] += 1
        const compared =
          (isBeforeWhole ?? storedInside === inside.length) ? <T>(said: ReadonlyMap<string, T>) => said : withoutCounted
        const difference = differenceOf(compared(expected.get(startMs) ?? new Map()), compared(row?.said ?? new Map()))
        if (difference) wrong.push(`${where}: ${difference}`)
      }
      isBeforeWhole = isWhole
    }
    for (const startMs of rows.keys())
      wrong.push(`${kind}_${name} ${device} at ${new Date(startMs).toISOString()}: nothing was measured then`)
  }
  return { rebuilt, measured: samples.length, stored: stored.size, lacking, open, wrong }
}

/** In order of time. */
function byWindow(samples: readonly TimedSample[], widthMs: number): Map<number, TimedSample[]> {
  const found = new Map<number, TimedSample[]>()
  for (const sample of samples.toSorted((a, b) => a.timeMs - b.timeMs)) {
    const startMs = Math.floor(sample.timeMs / widthMs) * widthMs
    const inside = found.get(startMs)
    if (inside) inside.push(sample)
    else found.set(startMs, [sample])
  }
  return found
}

/** What two rows of one window can be joined in. */
const addable = <T>(said: ReadonlyMap<string, T> = new Map()): ReadonlyMap<string, T> =>
  new Map([...said].filter(([field]) => /_(count|min|max|mean)$/.test(field)))

function joined(...rows: (ReadonlyMap<string, unknown> | undefined)[]): ReadonlyMap<string, number> {
  const both = new Map<string, number>()
  const counted = rows.flatMap((said) => [...addable(said).keys()].filter((key) => key.endsWith('_count')))
  for (const field of new Set(counted.map((key) => key.slice(0, -'_count'.length)))) {
    const of = (what: string) => rows.map((said) => said?.get(`${field}_${what}`))
    const isNumber = (value: unknown) => typeof value === 'number'
    const counts = of('count').map((count) => (isNumber(count) ? count : 0))
    const total = counts.reduce((a, b) => a + b, 0)
    const [means, minimums, maximums] = [of('mean'), of('min').filter(isNumber), of('max').filter(isNumber)]
    if (total === 0) continue
    both.set(`${field}_count`, total)
    if (minimums.length > 0) both.set(`${field}_min`, Math.min(...minimums))
    if (maximums.length > 0) both.set(`${field}_max`, Math.max(...maximums))
    if (means.some(isNumber))
      both.set(
        `${field}_mean`,
        means.reduce<number>((sum, mean, i) => sum + (isNumber(mean) ? mean : 0) * (counts[i] as number), 0) / total,
      )
  }
  return both
}

const withoutCounted = <T>(said: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
  new Map([...said].filter(([field]) => !/_(increase|rate|resets)$/.test(field)))
