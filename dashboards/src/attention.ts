/**
 * What needs a person, as rows of one table: what, how many, whose. A row is there only while something is not all right.
 *
 * InfluxQL selects no texts of its own, so each query gives the number of its concern, which mappings turn into words, and into
 * the dashboard and the section of the runbook that the row leads to: Grafana fills `${__data.fields.…}` with the words of a
 * mapping, not with the number behind them.
 */
import { type Contracts, kindUid } from '@tributary/protocol'
import { CRITICAL, WARNING } from './field-style.ts'
import { identifier, SITE } from './influxql.ts'
import { ACCOUNT_UID, ALERTS_UID } from './overview-uids.ts'
import { link, type PanelPlace, table, UNSEEN } from './panels.ts'
import { anchorOf, RUNBOOK_ADDRESS, RUNBOOK_SECTIONS, type RunbookSection } from './runbook.ts'

interface Concern {
  /** Stands before its number. */
  readonly text: string
  readonly colour: string
  /** Dashboard that the row leads to. */
  readonly to: string
  readonly runbook: RunbookSection
  /** Gives `n` of each process or device, by its tags; a concern where it is above the limit. */
  readonly query: string
  readonly limit?: number
}

const whoIs = (who: string): string => (who[0] ?? '').toUpperCase() + who.slice(1)
const BY_DEVICE = 'GROUP BY "site", "device"'
/** For so long who is gone is missed, and what was said last counts: as long as the processor tells of an agent. */
const REMEMBERED = '7d'
/** Where the contract has no limit. */
const SPOOL_PERCENT_MAX = 80

const lastOf = (kind: string, field: string): string =>
  `SELECT last(${identifier(field)}) AS "n" FROM ${identifier(kind)} WHERE $timeFilter AND ${SITE} ${BY_DEVICE}`

/** 1 of a process that was heard in the time range and not in the last minute. */
const silent = (kind: string): string =>
  `SELECT 1 - sum("heard") AS "n" FROM ` +
  `(SELECT count("uptime_s") AS "heard" FROM ${identifier(kind)} WHERE time > now() - 1m AND ${SITE} ${BY_DEVICE}), ` +
  `(SELECT last("uptime_s") * 0 AS "heard" FROM ${identifier(kind)} WHERE $timeFilter AND ${SITE} ${BY_DEVICE}) ` +
  `WHERE $timeFilter ${BY_DEVICE}`

const clockNotTrusted =
  `SELECT "uptime_s" * 0 + 1 AS "n" FROM (SELECT last("clock_trusted") AS "trusted", "uptime_s" FROM "agent_health" ` +
  `WHERE $timeFilter AND ${SITE} ${BY_DEVICE}) WHERE "trusted" = false ${BY_DEVICE}`

const readingsInLetters =
  `SELECT sum("waiting") AS "n" FROM (SELECT last("readings") AS "waiting" FROM "dead_letter" ` +
  `WHERE ${SITE} AND "reason" <> 'dropped' GROUP BY "site", "device", "stage", "reason") ${BY_DEVICE}`

const alertsNotAcknowledged =
  `SELECT count("state") AS "n" FROM (SELECT last("state") AS "state" FROM "alert" WHERE ${SITE} ` +
  `GROUP BY "site", "device", "rule", "field", "detector") WHERE "state" =~ /^(firing|escalated)$/ ${BY_DEVICE}`

function concernsOf(contracts: Contracts): Concern[] {
  const spoolLimit = (kind: string): number => {
    const limits = (contracts.get(kind)?.thresholds ?? []).filter(({ field }) => field === 'spool_used_percent')
    return Math.min(...limits.flatMap(({ above }) => above ?? []), SPOOL_PERCENT_MAX)
  }
  const missing = `SELECT last("missing") AS "n" FROM "account" WHERE ${SITE} ${BY_DEVICE}`
  const healthUid = (who: string) => kindUid(`${who}_health`)
  const severe = { colour: CRITICAL }
  const mild = { colour: WARNING }
  return [
    { ...severe, text: 'Readings missing', to: ACCOUNT_UID, runbook: 'missing', query: missing },
    ...(['processor', 'gateway', 'agent'] as const).map(
      (who): Concern => ({
        ...{ ...severe, text: `${whoIs(who)} silent`, to: healthUid(who), query: silent(`${who}_health`) },
        runbook: who === 'processor' ? 'processor' : 'silent',
      }),
    ),
    {
      ...{ ...severe, text: 'Receivers take no notifications', to: healthUid('processor'), runbook: 'notTold' },
      query: lastOf('processor_health', 'receivers_failing'),
    },
    ...(['agent', 'gateway'] as const).map(
      (who): Concern => ({
        ...{ ...mild, text: 'Percent of the spool used', to: healthUid(who), runbook: 'spoolFull' },
        ...{ query: lastOf(`${who}_health`, 'spool_used_percent'), limit: spoolLimit(`${who}_health`) },
      }),
    ),
    { ...mild, text: 'Clock not trusted', to: healthUid('agent'), runbook: 'clock', query: clockNotTrusted },
    { ...mild, text: 'Readings in dead letters', to: ACCOUNT_UID, runbook: 'deadLetters', query: readingsInLetters },
    {
      ...{ ...mild, text: 'Alerts not acknowledged', to: ALERTS_UID, runbook: 'openAlerts' },
      query: alertsNotAcknowledged,
    },
  ]
}

const statement = ({ query, limit = 0 }: Concern, number: number): string => {
  const columns = ['what', 'to', 'runbook'].map((name) => `"n" * 0 + ${number} AS "${name}"`)
  return `SELECT "n", ${columns.join(', ')} FROM (${query}) WHERE "n" > ${limit} ${BY_DEVICE}`
}

/** @param contracts say from when on a spool is nearly full */
export function attentionTable(at: PanelPlace, contracts: Contracts) {
  const concerns = concernsOf(contracts)
  const words = (resultOf: (concern: Concern) => { readonly text: string; readonly color?: string }) => ({
    id: 'mappings',
    value: [
      {
        type: 'value',
        options: Object.fromEntries(concerns.map((one, index) => [index + 1, { ...resultOf(one), index }])),
      },
    ],
  })
  const toDevice = `/d/\${__data.fields.to}?var-site=\${__data.fields.site}&var-device=\${__data.fields.device}&\${__url_time_range}`
  return table(at, {
    query: concerns.map((concern, i) => statement(concern, i + 1)),
    columns: [
      {
        name: 'what',
        title: 'What',
        properties: [
          { id: 'custom.displayMode', value: 'color-text' },
          { id: 'custom.align', value: 'left' },
          words(({ text, colour }) => ({ text, color: colour })),
          link('What to do', `${RUNBOOK_ADDRESS}#\${__data.fields.runbook}`),
        ],
      },
      { name: 'n', title: 'How many', width: 90, unit: 'locale', decimals: 0 },
      { name: 'device', title: 'Whose', width: 140, properties: [link('Open its dashboard', toDevice)] },
      { name: 'site', title: 'Site', width: 110 },
      { name: 'to', properties: [UNSEEN, words(({ to }) => ({ text: to }))] },
      {
        name: 'runbook',
        properties: [UNSEEN, words(({ runbook }) => ({ text: anchorOf(RUNBOOK_SECTIONS[runbook]) }))],
      },
    ],
    hidden: ['Time'],
    noValue: 'Nothing needs a person',
    timeFrom: REMEMBERED,
  })
}
