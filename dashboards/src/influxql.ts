/** Pieces of InfluxQL. */

export const identifier = (name: string): string => `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
export const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** Only what the variables `site` and `device` select; both may stand for several names or all. */
export const SITE = `"site" =~ /^$site$/`
export const SITE_AND_DEVICE = `${SITE} AND "device" =~ /^$device$/`

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
