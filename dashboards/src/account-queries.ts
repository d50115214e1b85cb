/**
 * The account in InfluxQL. Its counters are cumulative, one series an agent, so the newest of each, added up, is the
 * total; without a time limit, because an agent that is gone for good still belongs to it.
 */
export type AccountField = 'produced' | 'stored' | 'dead_lettered' | 'shed' | 'in_flight' | 'missing'

export const totalQuery = (field: AccountField, where = '"site" =~ /^$site$/'): string =>
  `SELECT sum("value") AS "value" FROM (SELECT last("${field}") AS "value" FROM "account" WHERE ${where} GROUP BY "site", "device")`

/** Growth a second, an agent. */
export const agentRateQuery = (field: AccountField, where = '"site" =~ /^$site$/'): string =>
  `SELECT non_negative_derivative(last("${field}"), 1s) AS "rate" FROM "account" WHERE $timeFilter AND ${where} GROUP BY time($__interval), "device" fill(none)`

/** Growth a second of all agents together. */
export const totalRateQuery = (field: AccountField, where = '"site" =~ /^$site$/'): string =>
  `SELECT sum("rate") AS "rate" FROM (SELECT non_negative_derivative(last("${field}"), 1s) AS "rate" FROM "account" WHERE $timeFilter AND ${where} GROUP BY time($__interval), "site", "device" fill(none)) WHERE $timeFilter GROUP BY time($__interval) fill(none)`

export const agentGaugeQuery = (field: AccountField, where = '"site" =~ /^$site$/'): string =>
  `SELECT max("${field}") AS "max" FROM "account" WHERE $timeFilter AND ${where} GROUP BY time($__interval), "device" fill(none)`

/** What agents and gateways say of their spools; a gateway is none of the agents that `where` may select. */
const SPOOLS = '"agent_health", "gateway_health"'

/** The newest of each spool in the time range, together (`sum`) or the worst of them (`max`). */
export const spoolQuery = (field: 'backlog_batches' | 'drain_seconds', all: 'sum' | 'max'): string =>
  `SELECT ${all}("value") AS "value" FROM (SELECT last("${field}") AS "value" FROM ${SPOOLS} WHERE $timeFilter AND "site" =~ /^$site$/ GROUP BY "site", "device")`

export const spoolGaugeQuery = (field: 'backlog_batches' | 'drain_seconds', where: string): string =>
  `SELECT last("${field}") AS "last" FROM ${SPOOLS} WHERE $timeFilter AND ${where} GROUP BY time($__interval), "device" fill(none)`

/** Bytes that an agent writes to its card in a day at the pace of each interval, all overhead of the spool included. */
export const writtenADayQuery = (where = '"site" =~ /^$site$/'): string =>
  `SELECT non_negative_derivative(last("spool_bytes_written_total"), 1d) AS "written" FROM "agent_health" WHERE $timeFilter AND ${where} GROUP BY time($__interval), "device" fill(none)`

/** Of the card that is written to most. */
export const mostWrittenADayQuery =
  `SELECT max("written") AS "value" FROM (SELECT mean("written") AS "written" FROM (SELECT non_negative_derivative(last("spool_bytes_written_total"), 1d) AS "written" ` +
  `FROM "agent_health" WHERE $timeFilter AND "site" =~ /^$site$/ GROUP BY time($__interval), "site", "device" fill(none)) WHERE $timeFilter GROUP BY "site", "device") WHERE $timeFilter`

export const openAlertsQuery =
  `SELECT count("state") AS "value" FROM (SELECT last("state") AS "state" FROM "alert" WHERE "site" =~ /^$site$/ ` +
  `GROUP BY "site", "device", "rule", "field", "detector") WHERE "state" =~ /^(firing|acknowledged|escalated)$/`
