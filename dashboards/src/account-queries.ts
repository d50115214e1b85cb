/**
 * The account in InfluxQL. Its counters are cumulative, one series an agent, so the newest of each, added up, is the
 * total; without a time limit, because an agent that is gone for good still belongs to it.
 */
import { growth, growthOfAll } from './growth.ts'
import { SITE } from './influxql.ts'

export type AccountField = 'produced' | 'stored' | 'dead_lettered' | 'shed' | 'in_flight' | 'missing'

export const totalQuery = (field: AccountField, where = SITE): string =>
  `SELECT sum("value") AS "value" FROM (SELECT last("${field}") AS "value" FROM "account" WHERE ${where} GROUP BY "site", "device")`

/** Growth a second, an agent. */
export const agentRateQuery = (field: AccountField, where = SITE): string => growth(['account'], field, where)

/** Growth a second of all agents together. */
export const totalRateQuery = (field: AccountField, where = SITE): string => growthOfAll('account', field, where)

export const agentGaugeQuery = (field: AccountField, where = SITE): string =>
  `SELECT max("${field}") AS "max" FROM "account" WHERE $timeFilter AND ${where} GROUP BY time($__interval), "device" fill(none)`

/** When something was stored last. Its time is what counts. */
export const newestStoredQuery = `SELECT last("stored") AS "stored" FROM "account" WHERE ${SITE}`

/** Refused and neither requeued nor dropped. */
export const waitingLettersQuery =
  `SELECT sum("readings") AS "value" FROM (SELECT last("readings") AS "readings" FROM "dead_letter" WHERE ${SITE} ` +
  `AND "reason" <> 'dropped' GROUP BY "site", "device", "stage", "reason")`

export const openAlertsQuery =
  `SELECT count("state") AS "value" FROM (SELECT last("state") AS "state" FROM "alert" WHERE ${SITE} ` +
  `GROUP BY "site", "device", "rule", "field", "detector") WHERE "state" =~ /^(firing|acknowledged|escalated)$/`
