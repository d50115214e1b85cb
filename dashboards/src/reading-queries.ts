/**
 * Readings of a field over time, from the coarsest source that is fine enough: raw readings, or windows of a width. A query
 * names all sources; its comparisons with `$__interval_ms` are constant, so that InfluxDB folds them away and reads one. Thus
 * four weeks cost less than a day.
 */
import { type Contract, windowName, windowWidthsOf } from '@tributary/protocol'
import { identifier, SITE_AND_DEVICE } from './influxql.ts'

interface Source {
  readonly measurement: string
  readonly isRaw: boolean
  readonly condition: string
}

/** A window no wider than the interval holds one sample: that is the raw reading, at more cost. */
function sourcesOf(contract: Contract, { withRaw = true } = {}): Source[] {
  const widthsMs = windowWidthsOf(contract).filter((widthMs) => widthMs > contract.interval)
  const all = withRaw || widthsMs.length === 0 ? [0, ...widthsMs] : widthsMs
  return all.map((widthMs, i) => {
    const [fromMs, belowMs] = [i === 0 ? 0 : widthMs, all[i + 1]]
    return {
      isRaw: widthMs === 0,
      measurement: widthMs === 0 ? identifier(contract.kind) : windows(contract.kind, windowName(widthMs)),
      condition:
        (fromMs === 0 ? '' : ` AND $__interval_ms >= ${fromMs}`) +
        (belowMs === undefined ? '' : ` AND $__interval_ms < ${belowMs}`),
    }
  })
}

/** Windows are stored in this retention policy. */
const windows = (kind: string, name: string): string => `"rollup".${identifier(`${kind}_${name}`)}`

export interface ReadingsOf {
  /** Which devices'; those that the variables `site` and `device` choose when it is left out. */
  readonly where?: string
  /** A series for each device instead of one for all. */
  readonly isEach?: boolean
}

function overTime(
  sources: readonly Source[],
  select: string,
  columnsOf: (source: Source) => string,
  { where = SITE_AND_DEVICE, isEach = false }: ReadingsOf,
): string {
  const from = sources.map(
    (source) =>
      `(SELECT ${columnsOf(source)} FROM ${source.measurement} WHERE $timeFilter AND ${where}${source.condition} GROUP BY "device")`,
  )
  const group = `GROUP BY time($__interval)${isEach ? ', "device"' : ''} fill(null)`
  return `SELECT ${select} FROM ${from.join(', ')} WHERE $timeFilter ${group}`
}

function numbers(contract: Contract, field: string, select: string, of: ReadingsOf): string {
  const column = (suffix: string) => identifier(`${field}_${suffix}`)
  const columnsOf = ({ isRaw }: Source): string => {
    const raw = identifier(field)
    return isRaw
      ? `${raw} AS "total", ${raw} * 0 + 1.0 AS "n", ${raw} AS "low", ${raw} AS "high"`
      : `${column('mean')} * ${column('count')} AS "total", ${column('count')} AS "n", ${column('min')} AS "low", ${column('max')} AS "high"`
  }
  return overTime(sourcesOf(contract), select, columnsOf, of)
}

/** The mean of windows is weighted by their counts: one that is half filled weighs half. */
const MEAN = 'sum("total") / sum("n") AS "mean"'

/** `highest`, `lowest` and `mean` of each interval. */
export const envelopeQuery = (contract: Contract, field: string): string =>
  numbers(contract, field, `max("high") AS "highest", min("low") AS "lowest", ${MEAN}`, {})

/** `highest of all` and `lowest of all` of each interval. */
export const extremesQuery = (contract: Contract, field: string, of: ReadingsOf): string =>
  numbers(contract, field, 'max("high") AS "highest of all", min("low") AS "lowest of all"', of)

export const meanQuery = (contract: Contract, field: string, of: ReadingsOf): string =>
  numbers(contract, field, MEAN, of)

/** Counters have nothing to say of less than the narrowest window. */
export const counterIntervalMs = (contract: Contract): number =>
  windowWidthsOf(contract).find((widthMs) => widthMs > contract.interval) ?? contract.interval

/**
 * `increase` of a counter in each interval, and its `rate` a second: from windows, which know of wraps and resets, at every zoom.
 * A kind without windows has its raw readings, and nothing counted where a counter falls.
 * @param factor from growth a second to the rate's unit
 */
export function counterQuery(contract: Contract, field: string, factor: number): string {
  const times = factor === 1 ? '' : ` * ${factor}`
  const raw = `max(${identifier(field)})`
  const sources = sourcesOf(contract, { withRaw: false })
  return sources[0]?.isRaw
    ? `SELECT non_negative_difference(${raw}) AS "increase", non_negative_derivative(${raw}, 1s)${times} AS "rate" ` +
        `FROM ${identifier(contract.kind)} WHERE $timeFilter AND ${SITE_AND_DEVICE} GROUP BY time($__interval) fill(none)`
    : overTime(
        sources,
        `sum("growth") AS "increase", mean("per_second")${times} AS "rate"`,
        () => `${identifier(`${field}_rate`)} AS "per_second", ${identifier(`${field}_increase`)} AS "growth"`,
        {},
      )
}

/** The last `state` of each interval: booleans and texts have no mean. */
export const stateQuery = (contract: Contract, field: string, of: ReadingsOf): string =>
  overTime(
    sourcesOf(contract),
    'last("state") AS "state"',
    ({ isRaw }) => `${identifier(isRaw ? field : `${field}_last`)} AS "state"`,
    of,
  )

/** Beyond it, the minutes of `_expected` would be many, and what was normal in each of them says little of a point of the chart. */
const EXPECTED_INTERVAL_MS_MAX = 1_800_000

/** Where the detector of a field would not have spoken. From a minute earlier on, so that the band begins where the chart does. */
export const expectedQuery = (contract: Contract, field: string): string =>
  `SELECT mean(${identifier(`${field}_upper`)}) AS "expected at most", mean(${identifier(`${field}_lower`)}) AS "expected at least" ` +
  `FROM ${windows(contract.kind, 'expected')} WHERE time >= \${__from}ms - 1m AND time <= \${__to}ms AND ${SITE_AND_DEVICE} ` +
  `AND $__interval_ms <= ${EXPECTED_INTERVAL_MS_MAX} GROUP BY time($__interval) fill(null)`

const HOURS_A_QUERY = 6

/**
 * Means of a number by hour of the day, of what `where` selects: a day a row, an hour a column (`00:00` to `23:00`). Several
 * queries, because `where` stands in each hour's part, and would make one query longer than an address may be.
 * @param midnight the hour in UTC in which a day begins, or the variable that has it
 */
export const hoursQueries = (kind: string, field: string, where: string, midnight: string): string[] =>
  Array.from({ length: 24 / HOURS_A_QUERY }, (_, part) => {
    const hours = Array.from({ length: HOURS_A_QUERY }, (_, i) => part * HOURS_A_QUERY + i)
    const nameOf = (hour: number) => `"${String(hour).padStart(2, '0')}:00"`
    const from = hours.map(
      (hour) =>
        `(SELECT "${field}_mean" AS ${nameOf(hour)} FROM ${windows(kind, '1h')} ` +
        `WHERE $timeFilter AND ${where} AND "hour" = ((${hour} + ${midnight}) % 24))`,
    )
    const select = hours.map((hour) => `mean(${nameOf(hour)}) AS ${nameOf(hour)}`)
    return `SELECT ${select.join(', ')} FROM ${from.join(', ')} WHERE $timeFilter GROUP BY time(1d, ${midnight}h) fill(none)`
  })
