/** Anomalies and alerts in InfluxQL. An alert is one point a state; an episode has one identity, and fires once. */
import { SITE_AND_DEVICE } from './influxql.ts'

export const CHOSEN = `${SITE_AND_DEVICE} AND "kind" =~ /^$kind$/`
const EPISODE = '"site", "device", "rule", "field", "detector"'
const ROWS_MAX = 200

/** The newest state of each, whatever range is shown: an alert that fired a month ago and is open is open. */
const newest = (fields: string, where = '') =>
  `SELECT ${fields} FROM (SELECT last("state") AS "state", "severity", "kind", "message", "held" FROM "alert" WHERE ${SITE_AND_DEVICE} ` +
  `GROUP BY ${EPISODE}) WHERE "kind" =~ /^$kind$/ AND "state" =~ ${where}`
const OPEN = '/^(firing|escalated|acknowledged)$/'
const UNANSWERED = '/^(firing|escalated)$/'

export const openCountQuery = newest('count("state") AS "open"', OPEN)
export const unansweredCountQuery = newest('count("state") AS "unanswered"', UNANSWERED)
export const openQuery = `${newest('"state", "severity", "kind", "message", "held"', '/^(pending|firing|escalated|acknowledged)$/')} GROUP BY ${EPISODE}`

const alertsWhere = (condition: string) => `FROM "alert" WHERE $timeFilter AND ${CHOSEN} AND ${condition}`
const FIRED = `"state" = 'firing'`

export const firedCountQuery = `SELECT count(distinct("episode")) AS "fired" ${alertsWhere(FIRED)}`
export const heldCountQuery = `SELECT count(distinct("episode")) AS "held" ${alertsWhere(`${FIRED} AND "held" <> ''`)}`
export const firedADayQuery = `SELECT count(distinct("episode")) AS "fired" ${alertsWhere(FIRED)} GROUP BY time($__interval) fill(0)`
export const acknowledgedMedianQuery = `SELECT median("after_seconds") AS "after" ${alertsWhere(`"state" = 'acknowledged'`)}`

/** Seconds after an episode fired, at the time when somebody acknowledged it or it was over. */
export const afterQuery = (state: 'acknowledged' | 'resolved') =>
  `SELECT max("after_seconds") AS "after" ${alertsWhere(`"state" = '${state}'`)} GROUP BY time($__interval) fill(none)`

export const acknowledgedQuery =
  `SELECT "site", "device", "kind", "by", "comment", "after_seconds", "message" ${alertsWhere(`"state" = 'acknowledged'`)} ` +
  `ORDER BY time DESC LIMIT ${ROWS_MAX}`

/** Beginning with the state that each had when the range begins, if it was open then. */
export const statesQuery =
  `SELECT "state" FROM (SELECT "state" FROM (SELECT last("state") AS "state", "kind" FROM "alert" ` +
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
  'WHERE time < ${__from}ms AND ' +
  `${SITE_AND_DEVICE} GROUP BY ${EPISODE}) WHERE "kind" =~ /^$kind$/ AND "state" =~ ${OPEN} GROUP BY ${EPISODE}), ` +
  `(SELECT "state" ${alertsWhere(`"state" <> 'historical'`)} GROUP BY ${EPISODE}) GROUP BY ${EPISODE}`

export const alertRowsQuery =
  `SELECT "site", "device", "state", "severity", "kind", "message", "after_seconds", "held" ` +
  `FROM "alert" WHERE $timeFilter AND ${CHOSEN} ORDER BY time DESC LIMIT ${ROWS_MAX}`

export const anomalyRowsQuery =
  `SELECT "site", "device", "kind", "detector", "message", "score", "feedback" ` +
  `FROM "anomaly" WHERE $timeFilter AND ${CHOSEN} ORDER BY time DESC LIMIT ${ROWS_MAX}`

const anomaliesWhere = (condition = CHOSEN) => `FROM "anomaly" WHERE $timeFilter AND ${condition}`
export const anomalyCountQuery = `SELECT count("message") AS "anomalies" ${anomaliesWhere()}`
export const anomaliesByDetectorQuery = `SELECT count("message") AS "anomalies" ${anomaliesWhere()} GROUP BY "detector"`
export const anomaliesOfKindQuery = (kind: string) =>
  `SELECT count("message") AS "anomalies" ${anomaliesWhere(`${CHOSEN} AND "kind" = '${kind}'`)}`
