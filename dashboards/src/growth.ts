/**
 * How fast counters grow. From one point to the next, by the time between them, and the mean of that in each interval: so the
 * newest interval, of which only a part is over, does not look as if everything came to a halt. A counter that began anew counts as
 * no growth.
 */
import { identifier, SITE } from './influxql.ts'

const BY_DEVICE = '"site", "device"'

/** @param unit of time, such as 1d */
export const growth = (kinds: readonly string[], field: string, where = SITE, unit = '1s'): string =>
  `SELECT mean("growth") AS "growth" FROM (SELECT non_negative_derivative(${identifier(field)}, ${unit}) AS "growth" ` +
  `FROM ${kinds.map(identifier).join(', ')} WHERE $timeFilter AND ${where} GROUP BY ${BY_DEVICE}) ` +
  `WHERE $timeFilter GROUP BY time($__interval), ${BY_DEVICE} fill(none)`

/** All devices together. */
export const growthOfAll = (kind: string, field: string, where = SITE): string =>
  `SELECT sum("growth") AS "growth" FROM (${growth([kind], field, where)}) WHERE $timeFilter GROUP BY time($__interval) fill(none)`
