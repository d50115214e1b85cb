/** Rows of windows as the store has them, and whether they say what they must. */
import type { InfluxQuery } from '@tributary/cloud-processor'
import { type Contract, windowName, windowWidthsOf } from '@tributary/protocol'
import { differenceOf, type ExpectedRow } from './plain-windows.ts'

export interface StoredRow {
  /** What an agent rolled up, by itself. */
  readonly isPart: boolean
  /** By field. */
  readonly said: ReadonlyMap<string, unknown>
}

/** By the start of the window; more than one: it stands under several sites, or has a part. */
export type StoredRows = ReadonlyMap<number, readonly StoredRow[]>

export interface WindowCheck {
  /** Windows that were compared, and how many of each width: `10s`, `1m`. */
  checked: number
  readonly byWidth: Record<string, number>
  /** Fields of them. */
  fields: number
  /** Windows that had not ended: they are not compared. */
  open: number
  /** A sentence for each window that is not there, says something else than its readings, or has none. */
  readonly wrong: string[]
}

export interface WindowKey {
  readonly kind: string
  readonly device: string
  readonly widthMs: number
  readonly startMs: number
}
export const windowKeyOf = ({ kind, device, widthMs, startMs }: WindowKey): string =>
  `${kind} ${device} ${widthMs} ${startMs}`

export const createWindowCheck = (): WindowCheck => ({ checked: 0, byWidth: {}, fields: 0, open: 0, wrong: [] })

/** @returns by width in milliseconds */
export async function readRows(
  query: InfluxQuery,
  contract: Contract,
  device: string,
  signal: AbortSignal,
  fromMs = 0,
): Promise<ReadonlyMap<number, StoredRows>> {
  const widths = windowWidthsOf(contract)
  const found = new Map(
    widths.map((widthMs) => [`${contract.kind}_${windowName(widthMs)}`, new Map<number, StoredRow[]>()]),
  )
  const statements = [...found.keys()].map(
    (name) => `SELECT * FROM "rollup"."${name}" WHERE "device" = '${device}' AND time >= ${fromMs}ms GROUP BY *`,
  )
  if (statements.length === 0) return new Map()
  for (const { name, tags, columns, values } of await query(statements.join(';'), signal))
    for (const row of values) {
      const startMs = row[0] as number
      const rows = found.get(name)?.get(startMs) ?? []
      found.get(name)?.set(startMs, rows)
      const said = new Map(columns.map((column, i): [string, unknown] => [column, row[i]]))
      rows.push({ isPart: Boolean(tags?.['part']), said })
    }
  return new Map(widths.map((widthMs, i) => [widthMs, [...found.values()][i] as StoredRows]))
}

/**
 * Compares all windows of one width of a device.
 * @param expected of all readings that there are
 * @param isDue whether the window must be final by now
 * @param dirty windows that wait to be recomputed, by `windowKeyOf`: they are wrong as yet
 */
export function compareRows(
  { kind, device, widthMs }: Omit<WindowKey, 'startMs'>,
  expected: ReadonlyMap<number, ExpectedRow>,
  stored: StoredRows,
  isDue: (startMs: number) => boolean,
  dirty: ReadonlySet<string>,
  check: WindowCheck,
): void {
  const name = windowName(widthMs)
  for (const startMs of new Set([...expected.keys(), ...stored.keys()])) {
    const row = expected.get(startMs)
    if (!isDue(startMs)) {
      check.open += 1
      continue
    }
    check.checked += 1
    check.byWidth[name] = (check.byWidth[name] ?? 0) + 1
    check.fields += row?.size ?? 0
    const isDirty = dirty.has(windowKeyOf({ kind, device, widthMs, startMs }))
    const mistake = isDirty ? 'waits to be recomputed' : mistakeIn(row, stored.get(startMs) ?? [])
    if (mistake !== undefined)
      check.wrong.push(`${kind}_${name} ${device} at ${new Date(startMs).toISOString()}: ${mistake}`)
  }
}

function mistakeIn(expected: ExpectedRow | undefined, [stored, ...others]: readonly StoredRow[]): string | undefined {
  if (expected === undefined) return 'there are no readings'
  if (stored === undefined) return 'there is none, and there are readings'
  if (others.length > 0 || stored.isPart) return `there are ${others.length + 1} rows, or a part by itself`
  return differenceOf(expected, stored.said)
}
