/** What the pipeline says of itself, in InfluxQL: kinds `agent_health`, `gateway_health`, `processor_health`, whose device is the process. */
import { growth } from './growth.ts'
import { identifier, SITE } from './influxql.ts'

export const SPOOLS = ['agent_health', 'gateway_health'] as const
export const PROCESSES = [...SPOOLS, 'processor_health'] as const

const from = (kinds: readonly string[]): string => kinds.map(identifier).join(', ')
const BY_DEVICE = '"site", "device"'

/** Of each process and interval. */
export const gauge = (kinds: readonly string[], field: string, aggregate: 'last' | 'max' | 'mean' = 'last'): string =>
  `SELECT ${aggregate}(${identifier(field)}) AS "value" FROM ${from(kinds)} WHERE $timeFilter AND ${SITE} ` +
  `GROUP BY time($__interval), ${BY_DEVICE} fill(none)`

/** The worst of all processes in each interval, or the mean of them. */
export const gaugeOfAll = (kind: string, field: string, aggregate: 'max' | 'mean'): string =>
  `SELECT ${aggregate}(${identifier(field)}) AS "value" FROM ${from([kind])} WHERE $timeFilter AND ${SITE} GROUP BY time($__interval) fill(none)`

/** The newest of each process of a kind in the time range, together or the worst of them. */
export const newestOfAll = (kind: string, field: string, all: 'sum' | 'max'): string =>
  `SELECT ${all}("value") AS "value" FROM (SELECT last(${identifier(field)}) AS "value" FROM ${from([kind])} ` +
  `WHERE $timeFilter AND ${SITE} GROUP BY ${BY_DEVICE})`

/** How a process was, each interval; without a value where it was not heard. */
export const stateQuery = (kind: string): string =>
  `SELECT last("state") AS "state" FROM ${from([kind])} WHERE $timeFilter AND ${SITE} GROUP BY time($__interval), ${BY_DEVICE} fill(null)`

/** Bytes that a spool writes in a day at the pace of each interval, all its overhead included. */
export const writtenADay = growth(SPOOLS, 'spool_bytes_written_total', SITE, '1d')

/** Of each spool at the pace of the time range: bytes a day, and after how many years they add up to `$endurance` terabytes. */
export const cardLife =
  `SELECT "written", $endurance * 1000000000000 / "written" / 365 AS "years" FROM (SELECT mean("growth") AS "written" ` +
  `FROM (${writtenADay}) WHERE $timeFilter GROUP BY ${BY_DEVICE}) WHERE "written" > 0 GROUP BY ${BY_DEVICE}`
