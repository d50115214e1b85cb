/** Pieces of InfluxQL. */

export const identifier = (name: string): string => `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
export const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** Only what the variables `site` and `device` select; both may stand for several names or all. */
export const SITE = `"site" =~ /^$site$/`
export const SITE_AND_DEVICE = `${SITE} AND "device" =~ /^$device$/`

/** Windows are stored in this retention policy. */
const windows = (kind: string, window: '10s' | '1m'): string => `"rollup".${identifier(`${kind}_${window}`)}`

/**
 * Mean of a field a device and interval, from the coarsest source that is fine enough. Three queries, of which one
 * answers: the comparison with `$__interval_ms` is constant, and InfluxDB folds it away before reading anything.
 */
export function meanQueries(kind: string, field: string): [raw: string, tenSeconds: string, oneMinute: string] {
  const grouped = `GROUP BY time($__interval), "device" fill(null)`
  const where = (condition: string) => `WHERE $timeFilter AND ${SITE_AND_DEVICE} AND ${condition}`
  const weighted = (window: '10s' | '1m', condition: string) =>
    `SELECT sum("total") / sum("n") AS "mean" FROM (SELECT ${identifier(`${field}_mean`)} * ${identifier(`${field}_count`)} AS "total", ` +
    `${identifier(`${field}_count`)} AS "n" FROM ${windows(kind, window)} ${where(condition)} GROUP BY "device") ` +
    `WHERE $timeFilter ${grouped}`
  return [
    `SELECT mean(${identifier(field)}) AS "mean" FROM ${identifier(kind)} ${where('$__interval_ms < 10000')} ${grouped}`,
    weighted('10s', '$__interval_ms >= 10000 AND $__interval_ms < 60000'),
    weighted('1m', '$__interval_ms >= 60000'),
  ]
}

/** Mean of a field a device and interval, for kinds whose samples are few. */
export const rawMeanQuery = (kind: string, field: string): string =>
  `SELECT mean(${identifier(field)}) AS "mean" FROM ${identifier(kind)} WHERE $timeFilter AND ${SITE_AND_DEVICE} ` +
  `GROUP BY time($__interval), "device" fill(null)`

/** Growth a second of a counter; a counter that began anew counts as no growth. */
export const rateQuery = (kind: string, field: string): string =>
  `SELECT non_negative_derivative(max(${identifier(field)}), 1s) AS "rate" FROM ${identifier(kind)} WHERE $timeFilter ` +
  `AND ${SITE_AND_DEVICE} GROUP BY time($__interval), "device" fill(none)`

/** The last value a device and interval: for what has no mean. */
export const lastQuery = (kind: string, field: string): string =>
  `SELECT last(${identifier(field)}) AS "last" FROM ${identifier(kind)} WHERE $timeFilter AND ${SITE_AND_DEVICE} ` +
  `GROUP BY time($__interval), "device" fill(none)`
