/** Pieces of InfluxQL. */

export const identifier = (name: string): string => `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
export const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** Only what the variables `site` and `device` select; both may stand for several names or all. */
export const SITE = `"site" =~ /^$site$/`
export const SITE_AND_DEVICE = `${SITE} AND "device" =~ /^$device$/`

/** Windows are stored in this retention policy. */
const windows = (kind: string, window: '10s' | '1m'): string => `"rollup".${identifier(`${kind}_${window}`)}`

/** The variable that chooses between the mean and the extremes: a mean hides a short spike. */
export const AGGREGATES = ['mean', 'max', 'min'] as const

/**
 * `$aggregate` of a field a device and interval, from the coarsest source that is fine enough. Of these queries one
 * answers: the comparisons with `$__interval_ms` and `$aggregate` are constant, and InfluxDB folds them away before
 * reading anything. The mean of windows is weighted by their counts.
 */
export function fieldQueries(kind: string, field: string): string[] {
  const grouped = `GROUP BY time($__interval), "device" fill(null)`
  const where = (condition: string) => `WHERE $timeFilter AND ${SITE_AND_DEVICE} AND ${condition}`
  const mean = (window: '10s' | '1m', condition: string) =>
    `SELECT sum("total") / sum("n") AS "mean" FROM (SELECT ${identifier(`${field}_mean`)} * ${identifier(`${field}_count`)} AS "total", ` +
    `${identifier(`${field}_count`)} AS "n" FROM ${windows(kind, window)} ${where(`${condition} AND '$aggregate' = 'mean'`)} GROUP BY "device") ` +
    `WHERE $timeFilter ${grouped}`
  const extreme = (window: '10s' | '1m', condition: string) =>
    `SELECT $aggregate(${identifier(`${field}_\${aggregate}`)}) AS "extreme" FROM ${windows(kind, window)} ${where(`${condition} AND '$aggregate' <> 'mean'`)} ${grouped}`
  const fromTenSeconds = '$__interval_ms >= 10000 AND $__interval_ms < 60000'
  const fromOneMinute = '$__interval_ms >= 60000'
  return [
    `SELECT $aggregate(${identifier(field)}) AS "raw" FROM ${identifier(kind)} ${where('$__interval_ms < 10000')} ${grouped}`,
    mean('10s', fromTenSeconds),
    mean('1m', fromOneMinute),
    extreme('10s', fromTenSeconds),
    extreme('1m', fromOneMinute),
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
