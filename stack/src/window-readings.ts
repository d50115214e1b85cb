/** The readings of which windows must be made: as the simulator measured them, or as the store has them one by one. */
import type { InfluxQuery } from '@tributary/cloud-processor'
import { type DeviceConfig, kindOf, type Oracle, readLedger } from '@tributary/firmware-sim'
import type { Contract } from '@tributary/protocol'
import type { Readings, ReadingValue } from './plain-windows.ts'
import type { RefusedReadings } from './refused-readings.ts'

export interface TimedSample {
  readonly timeMs: number
  /** By field; a field without a reading is not there. */
  readonly values: ReadonlyMap<string, ReadingValue>
}

type Columns = Map<string, { timesMs: number[]; values: ReadingValue[] }>

function append(columns: Columns, field: string, timeMs: number, value: ReadingValue): void {
  const column = columns.get(field)
  if (column === undefined) {
    columns.set(field, { timesMs: [timeMs], values: [value] })
    return
  }
  column.timesMs.push(timeMs)
  column.values.push(value)
}

/** Of samples in any order. */
export function readingsOf(samples: readonly TimedSample[]): Readings {
  const columns: Columns = new Map()
  for (const { timeMs, values } of samples.toSorted((a, b) => a.timeMs - b.timeMs))
    for (const [field, value] of values) append(columns, field, timeMs, value)
  return columns
}

/**
 * Samples that a device measured, without what was refused and is not settled otherwise, and without what never reached an agent.
 * A device without a clock is stamped by its agent: see `readingsInStore`.
 */
export async function samplesOfLedger(
  { ledgerFolder, query }: { ledgerFolder: string; query: InfluxQuery },
  oracle: Oracle,
  { kind, fields }: Contract,
  device: string,
  refused: Pick<RefusedReadings, 'has'>,
  signal: AbortSignal,
): Promise<TimedSample[]> {
  const names = Object.keys(fields)
  const samples: TimedSample[] = []
  /** Of samples that a device gave up after it had sent them: only the store can tell whether they arrived. */
  let stored: ReadonlySet<number> | undefined
  for await (const { timeMs, sequence, lost } of readLedger(ledgerFolder, { device })) {
    if (lost?.sent) stored ??= await storedSequences(query, kind, device, signal)
    if (lost && !(lost.sent && stored?.has(sequence))) continue
    const values = new Map<string, ReadingValue>()
    for (const name of names) {
      const value = oracle.expectedValue(device, name, sequence)
      if (value !== undefined && !refused.has(device, name, sequence, timeMs)) values.set(name, value)
    }
    samples.push({ timeMs, values })
  }
  return samples
}

async function storedSequences(
  query: InfluxQuery,
  kind: string,
  device: string,
  signal: AbortSignal,
): Promise<Set<number>> {
  const [series] = await query(`SELECT "sequence" FROM "${kind}" WHERE "device" = '${device}'`, signal)
  return new Set(series?.values.map((row) => row[1] as number))
}

/**
 * Raw points of a kind.
 * @param device only of this one
 * @param fromMs from then on; the last reading of a counter before it is there, too, for windows count from there
 * @returns by device
 */
export async function readingsInStore(
  query: InfluxQuery,
  contract: Contract,
  { device, fromMs }: { device?: string | undefined; fromMs?: number | undefined },
  signal: AbortSignal,
): Promise<Map<string, Readings>> {
  const { kind, fields } = contract
  const ofDevice = device === undefined ? [] : [`"device" = '${device}'`]
  const where = (conditions: readonly string[]) => {
    const all = [...ofDevice, ...conditions]
    return all.length === 0 ? '' : `WHERE ${all.join(' AND ')}`
  }
  const found = new Map<string, Columns>()
  const add = (tags: Readonly<Record<string, string>> | undefined, field: string, timeMs: unknown, value: unknown) => {
    if (value === null || value === undefined || fields[field] === undefined) return
    const name = tags?.['device'] ?? ''
    const columns: Columns = found.get(name) ?? new Map()
    found.set(name, columns)
    append(columns, field, timeMs as number, value as ReadingValue)
  }
  if (fromMs !== undefined)
    for (const [field, of] of Object.entries(fields))
      if ('role' in of && of.role === 'counter')
        for (const { tags, values } of await query(
          `SELECT last("${field}") FROM "${kind}" ${where([`time < ${fromMs}ms`])} GROUP BY "device"`,
          signal,
        ))
          add(tags, field, values[0]?.[0], values[0]?.[1])
  const raw = await query(
    `SELECT * FROM "${kind}" ${where(fromMs === undefined ? [] : [`time >= ${fromMs}ms`])} GROUP BY "device"`,
    signal,
  )
  for (const { tags, columns, values } of raw)
    for (const row of values) for (let c = 1; c < columns.length; c++) add(tags, columns[c] as string, row[0], row[c])
  return found
}

/** The devices that any run of the ledger had, with the kind of each. */
export const devicesOf = ({ runs }: Oracle): ReadonlyMap<string, { config: DeviceConfig; kind: string }> =>
  new Map(
    runs.flatMap(({ scenario }) => scenario.devices.map((config) => [config.name, { config, kind: kindOf(config) }])),
  )
