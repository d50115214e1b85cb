/** The few bounded queries that dirty windows take: what is asked together, and in which words. */
import { windowName } from '@tributary/protocol'
import type { InfluxSeries } from './influx-query.ts'
import { plainName } from './line-protocol.ts'
import type { DirtyWindow } from './state.ts'

/** Stretches of time of a device asked for at once, each at most as long (or one window), and points of each in one answer. */
export const RANGES_MAX = 32
const RANGE_MS_MAX = 3_600_000
export const POINTS_MAX = 1_000

/** A stretch of time of a device that is all dirty windows. */
export interface StoreRange {
  readonly site: string
  readonly device: string
  readonly fromMs: number
  toMs: number
  readonly windows: DirtyWindow[]
}

/** Windows that touch or overlap are read together. @returns at most as many stretches as go into one query, those of the first windows */
export function rangesOf(windows: readonly DirtyWindow[]): StoreRange[] {
  const byDevice = new Map<string, DirtyWindow[]>()
  for (const window of windows) {
    const key = `${window.site}/${window.device}`
    const others = byDevice.get(key)
    if (others) others.push(window)
    else byDevice.set(key, [window])
  }
  const ranges: StoreRange[] = []
  for (const ofDevice of byDevice.values()) {
    let range: StoreRange | undefined
    for (const window of ofDevice.sort((a, b) => a.startMs - b.startMs || b.widthMs - a.widthMs)) {
      const { site, device, startMs: fromMs, widthMs } = window
      const toMs = fromMs + widthMs
      if (range !== undefined && fromMs <= range.toMs && Math.max(toMs, range.toMs) - range.fromMs <= RANGE_MS_MAX) {
        range.toMs = Math.max(toMs, range.toMs)
        range.windows.push(window)
      } else {
        if (ranges.length === RANGES_MAX) return ranges
        range = { site, device, fromMs, toMs, windows: [window] }
        ranges.push(range)
      }
    }
  }
  return ranges
}

/** One statement for all devices of one stretch of time. */
export const rawStatements = (kind: string, fields: readonly string[], ranges: readonly StoreRange[]): string[] =>
  together(ranges).map((same) => rawStatement(kind, fields, same, (same[0] as StoreRange).fromMs))

/** What one device has from that time on. */
export const restStatement = (kind: string, fields: readonly string[], range: StoreRange, fromMs: number): string =>
  rawStatement(kind, fields, [range], fromMs)

function rawStatement(kind: string, fields: readonly string[], ranges: readonly StoreRange[], fromMs: number): string {
  return `SELECT ${fields.map(identifier).join(',')} FROM ${identifier(kind)} WHERE ${where(ranges, fromMs)} GROUP BY "site","device" LIMIT ${POINTS_MAX}`
}

/** The rows of all dirty windows, one statement a width. */
export function rowStatements(kind: string, ranges: readonly StoreRange[]): string[] {
  const widths = new Set(ranges.flatMap(({ windows }) => windows.map(({ widthMs }) => widthMs)))
  return [...widths].flatMap((widthMs) =>
    together(ranges.filter(({ windows }) => windows.some((window) => window.widthMs === widthMs))).map(
      (same) =>
        `SELECT * FROM "rollup".${identifier(`${kind}_${windowName(widthMs)}`)} WHERE ${where(same, (same[0] as StoreRange).fromMs)} GROUP BY "site","device","part"`,
    ),
  )
}

/** What each counter says last before the stretches of time of one group, and first after them. */
export function neighbourStatements(kind: string, counters: readonly string[], same: readonly StoreRange[]): string[] {
  const [{ fromMs, toMs }] = same as [StoreRange]
  const one = (pick: string, field: string, when: string) =>
    `SELECT ${pick}(${identifier(field)}) AS ${identifier(field)} FROM ${identifier(kind)} WHERE ${when} AND (${devicesOf(same)}) GROUP BY "site","device"`
  return counters.flatMap((field) => [
    one('LAST', field, `time < ${fromMs}ms`),
    one('FIRST', field, `time >= ${toMs}ms`),
  ])
}

/** What agents rolled up in rows of these widths: last before the stretches of time of one group, in them, and first after them. */
export function rolledUpStatements(kind: string, widthsMs: readonly number[], same: readonly StoreRange[]): string[] {
  const [{ fromMs, toMs }] = same as [StoreRange]
  const rows = widthsMs.map((widthMs) => `"rollup".${identifier(`${kind}_${windowName(widthMs)}`)}`).join(',')
  const one = (what: string, when: string) =>
    `SELECT ${what} FROM ${rows} WHERE ${when} AND (${devicesOf(same)}) GROUP BY "site","device"`
  return [
    one('LAST("rolled_up") AS "rolled_up"', `time < ${fromMs}ms`),
    one('"rolled_up"', `time >= ${fromMs}ms AND time < ${toMs}ms`),
    one('FIRST("rolled_up") AS "rolled_up"', `time >= ${toMs}ms`),
  ]
}

/** Ranges of the same time. */
export function together(ranges: readonly StoreRange[]): StoreRange[][] {
  const groups = new Map<string, StoreRange[]>()
  for (const range of ranges) {
    const key = `${range.fromMs} ${range.toMs}`
    const group = groups.get(key)
    if (group) group.push(range)
    else groups.set(key, [range])
  }
  return [...groups.values()]
}

function where(ranges: readonly StoreRange[], fromMs: number): string {
  return `time >= ${fromMs}ms AND time < ${(ranges[0] as StoreRange).toMs}ms AND (${devicesOf(ranges)})`
}

const devicesOf = (ranges: readonly StoreRange[]): string =>
  ranges
    .map(({ site, device }) => `("site" = ${text(plainName(site))} AND "device" = ${text(plainName(device))})`)
    .join(' OR ')

const identifier = (name: string): string => `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
const text = (value: string): string => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** Which answer is of which range, and from when on there is more of it. */
export function* pointsOf(
  answers: readonly InfluxSeries[],
  ranges: readonly StoreRange[],
): Generator<{ range: StoreRange; points: InfluxSeries; nextMs: number | undefined }> {
  for (const points of answers) {
    const firstMs = points.values[0]?.[0] as number
    const range = ranges.find(
      ({ site, device, fromMs, toMs }) =>
        plainName(site) === points.tags?.['site'] &&
        plainName(device) === points.tags['device'] &&
        fromMs <= firstMs &&
        firstMs < toMs,
    )
    if (range === undefined) continue
    const isMore = points.values.length >= POINTS_MAX
    yield { range, points, nextMs: isMore ? (points.values.at(-1)?.[0] as number) + 1 : undefined }
  }
}
