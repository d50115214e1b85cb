/** What was wrong with the data, in InfluxQL: `data_quality` counts samples by device, field and issue. */
import { AGAINST_CONTRACT, LATE, TIME_NOT_SURE } from './events.ts'
import { SITE, SITE_AND_DEVICE } from './influxql.ts'

const qualityWhere = (of: string) => `FROM "data_quality" WHERE $timeFilter AND ${SITE_AND_DEVICE} AND ${of}`
const ANY = '"issue" <> \'\''

const samplesOf = (of: string) => `SELECT sum("samples") AS "samples" ${qualityWhere(of)}`
export const againstContractCountQuery = samplesOf(AGAINST_CONTRACT)
export const timeNotSureCountQuery = samplesOf(TIME_NOT_SURE)
export const worstDevicesQuery = `SELECT sum("samples") AS "samples", last("kind") AS "kind" ${qualityWhere(ANY)} GROUP BY "site", "device"`
export const byRuleQuery =
  `SELECT sum("samples") AS "samples", last("policy") AS "policy", last("kind") AS "kind" ${qualityWhere(AGAINST_CONTRACT)} ` +
  'GROUP BY "site", "device", "field", "issue"'
export const devicesWithIssuesQuery = `SELECT count("samples") AS "devices" FROM (${samplesOf(ANY)} GROUP BY "site", "device")`

/** Samples an interval, by issue. */
const overTime = (of: string) => `${samplesOf(of)} GROUP BY time($__interval), "issue" fill(0)`
export const againstContractQuery = overTime(AGAINST_CONTRACT)
export const lateQuery = overTime(LATE)
export const timeNotSureQuery = overTime(TIME_NOT_SURE)

/** Of the readings that processors stored, in percent: what they stored of all sites. @param grouped behind GROUP BY */
export const lateShareQuery = (grouped = '') =>
  'SELECT sum("late") * 100 / sum("stored") AS "share" FROM (SELECT non_negative_difference("readings_late_total") AS "late", ' +
  'non_negative_difference("readings_stored_total") AS "stored" FROM "processor_health" WHERE $timeFilter ' +
  `GROUP BY "site", "device") WHERE $timeFilter ${grouped}`

export const driftCountQuery = `SELECT count("message") AS "drifts" FROM "schema_drift" WHERE $timeFilter AND ${SITE_AND_DEVICE}`
export const driftQuery =
  `SELECT "site", "device", "kind", "field", "change", "message" FROM "schema_drift" WHERE $timeFilter AND ${SITE_AND_DEVICE} ` +
  'ORDER BY time DESC LIMIT 100'

/** Cumulative by agent, stage and reason; what was requeued has gone down and is no new one. */
const newLetters = (field: 'letters' | 'readings') =>
  `SELECT sum("new") AS "new" FROM (SELECT non_negative_difference(last("${field}")) AS "new" FROM "dead_letter" WHERE $timeFilter AND ${SITE} ` +
  `AND "reason" <> 'dropped' GROUP BY time($__interval), "site", "device", "stage", "reason" fill(none)) WHERE $timeFilter`
export const newLettersCountQuery = newLetters('readings')
export const newLettersQuery = `${newLetters('readings')} GROUP BY time($__interval), "stage", "reason" fill(0)`
export const lettersQuery =
  `SELECT last("letters") AS "letters", last("readings") AS "readings" FROM "dead_letter" WHERE ${SITE} AND "reason" <> 'dropped' ` +
  'GROUP BY "site", "device", "stage", "reason"'
