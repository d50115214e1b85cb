/** What detectors noticed and people were told: as lines over the charts, and in tables. */
import { AnnotationPanelFilterBuilder, AnnotationQueryBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contracts } from '@tributary/protocol'
import { deviceNow, kindColumn } from './event-links.ts'
import { CRITICAL, GOOD, QUIET, WARNING } from './field-style.ts'
import { DATASOURCE, influxQuery } from './influx-query.ts'
import { identifier, literal, SITE, SITE_AND_DEVICE } from './influxql.ts'
import { type Column, coloured, type PanelPlace, table, UNSEEN } from './panels.ts'

export const BY_SEVERITY = { critical: CRITICAL, warning: WARNING, info: QUIET }
export const BY_STATE = {
  pending: 'yellow',
  firing: CRITICAL,
  escalated: WARNING,
  acknowledged: QUIET,
  resolved: GOOD,
  historical: 'gray',
}
/** Of these nobody was told: not shown in the charts before somebody asks for them. */
const QUIET_STATES = ['pending', 'historical']
export const BY_FEEDBACK = { confirmed: CRITICAL, dismissed: 'gray' }
/** Of cells: an empty table says something else. */
export const BLANK = { id: 'noValue', value: '–' }
/** Sentences: from Grafana 10.4 on; before, a long one is cut, and shown whole to the mouse. */
export const WRAPPED = { id: 'custom.cellOptions', value: { type: 'auto', wrapText: true } }
/** Alerts that somebody cannot be reached are of no kind. */
const LINK_DETECTORS: Readonly<Record<string, string>> = {
  agent_health: 'agent_unreachable',
  gateway_health: 'gateway_unreachable',
}

/** Of a kind's devices, links to them included. */
export function alertsOf(kind: string): string {
  const ofKind = `"kind" = ${literal(kind)}`
  const link = LINK_DETECTORS[kind]
  return link === undefined ? ofKind : `(${ofKind} OR "detector" = ${literal(link)})`
}

/** Issues of `data_quality`. */
export const LATE = '"issue" =~ /^late(_beyond_memory)?$/'
export const TIME_NOT_SURE = '"issue" =~ /^time_(corrected|estimated|untrusted)$/'
export const AGAINST_CONTRACT = '"issue" !~ /^(late|late_beyond_memory|time_corrected|time_estimated|time_untrusted)$/'

/** Has the room that the other columns leave, and never too little to be read: it says value, limit and what was expected. */
export const MESSAGE: Column = {
  name: 'message',
  title: 'Message',
  properties: [{ id: 'custom.minWidth', value: 360 }, WRAPPED],
}

/** The newest of a time range. */
const EVENTS_MAX = 200

/** Vertical lines over the panels. */
function annotation(
  name: string,
  colour: string,
  query: string,
  {
    tags,
    text = 'message',
    panelId,
    isShown = true,
  }: { tags: readonly string[]; text?: string; panelId?: number | undefined; isShown?: boolean },
): AnnotationQueryBuilder {
  const target = influxQuery('Anno', `${query} ORDER BY time DESC LIMIT ${EVENTS_MAX}`)
  const builder = new AnnotationQueryBuilder()
    .name(name)
    .datasource(DATASOURCE)
    .enable(isShown)
    .iconColor(colour)
    .target({
      build: () => ({ ...target.build(), fromAnnotations: true, textColumn: text, tagsColumn: tags.join(',') }),
    })
  return panelId === undefined
    ? builder
    : builder.filter(new AnnotationPanelFilterBuilder().exclude(false).ids([panelId]))
}

const select = (columns: readonly string[], from: string): string =>
  `SELECT ${columns.map(identifier).join(', ')} FROM ${identifier(from)} WHERE $timeFilter AND ${SITE_AND_DEVICE}`

/** @param field '' for what is about the device: that it is silent, fields that move together. @param panelId all when left out */
export function anomalyAnnotation(kind: string, field: string, title: string, panelId?: number) {
  const tags = ['device', 'detector', 'component', 'feedback']
  const where = `"kind" = ${literal(kind)} AND "field" = ${literal(field)}`
  const query = `${select(['message', ...tags], 'anomaly')} AND ${where}`
  return annotation(`Anomalies: ${title}`, 'purple', query, { tags, panelId })
}

/** One a state. */
export function alertAnnotations(kind: string): AnnotationQueryBuilder[] {
  const tags = ['device', 'severity', 'state', 'held', 'by', 'comment']
  return Object.entries(BY_STATE).map(([state, colour]) => {
    const query = `${select(['message', ...tags], 'alert')} AND ${alertsOf(kind)} AND "state" = ${literal(state)}`
    return annotation(`Alerts ${state}`, colour, query, { tags, isShown: !QUIET_STATES.includes(state) })
  })
}

/** What came late, whose time was not sure, what broke the contract. The first two come in crowds: a panel shows them, and these who asks. */
export function qualityAnnotations(kind: string): AnnotationQueryBuilder[] {
  const tags = ['issue', 'field', 'policy']
  return [
    { name: 'Data: late', colour: 'gray', of: LATE, isShown: false },
    { name: 'Data: time not sure', colour: 'super-light-blue', of: TIME_NOT_SURE, isShown: false },
    { name: 'Data: against the contract', colour: 'yellow', of: AGAINST_CONTRACT, isShown: true },
  ].map(({ name, colour, of, isShown }) => {
    // At least one field: InfluxDB answers tags alone with nothing.
    const query = `${select(['samples', ...tags], 'data_quality')} AND "kind" = ${literal(kind)} AND ${of}`
    return annotation(name, colour, query, { tags, text: 'issue', isShown })
  })
}

export function anomaliesTable(at: PanelPlace, kind: string) {
  return table(at, {
    query:
      `SELECT "detector", "component", "message", "score", "feedback", "feedback_by" FROM "anomaly" ` +
      `WHERE $timeFilter AND ${SITE_AND_DEVICE} AND "kind" = ${literal(kind)} ORDER BY time DESC LIMIT 100`,
    columns: [
      { name: 'Time', unit: 'dateTimeAsLocal', width: 165 },
      { name: 'detector', title: 'Detector', width: 150, properties: [WRAPPED] },
      { name: 'component', title: 'Component', width: 120, properties: [BLANK] },
      MESSAGE,
      { name: 'score', title: 'Score', width: 70, decimals: 2 },
      { name: 'feedback', title: 'Judged', width: 100, properties: [BLANK, ...coloured(BY_FEEDBACK)] },
      { name: 'feedback_by', title: 'By', width: 90, properties: [BLANK] },
    ],
    noValue: 'No anomalies in this time range',
  })
}

export function alertsTable(at: PanelPlace, kind: string) {
  return table(at, {
    query:
      `SELECT "state", "severity", "message", "held", "by", "comment" FROM "alert" ` +
      `WHERE $timeFilter AND ${SITE_AND_DEVICE} AND ${alertsOf(kind)} ORDER BY time DESC LIMIT 100`,
    columns: [
      { name: 'Time', unit: 'dateTimeAsLocal', width: 165 },
      { name: 'state', title: 'State', width: 115, properties: coloured(BY_STATE) },
      { name: 'severity', title: 'Severity', width: 85, properties: coloured(BY_SEVERITY) },
      MESSAGE,
      { name: 'held', title: 'Not told', width: 130, properties: [BLANK] },
      { name: 'by', title: 'By', width: 70, properties: [BLANK] },
      { name: 'comment', title: 'Comment', width: 130, properties: [BLANK, WRAPPED] },
    ],
    noValue: 'No alerts in this time range',
  })
}

/** Alerts that are open now, whenever they began; each leads to its device. */
export function openAlertsTable(at: PanelPlace, contracts: Contracts) {
  const episode = '"site", "device", "rule", "field", "detector"'
  return table(at, {
    query:
      `SELECT "state", "severity", "kind", "message" FROM (SELECT last("state") AS "state", "severity", "kind", "message" ` +
      `FROM "alert" WHERE ${SITE} GROUP BY ${episode}) WHERE "state" !~ /^(resolved|historical)$/ GROUP BY ${episode}`,
    columns: [
      { name: 'device', title: 'Device', width: 130, properties: [deviceNow()] },
      MESSAGE,
      { name: 'severity', title: 'Severity', width: 85, properties: coloured(BY_SEVERITY) },
      { name: 'state', title: 'State', width: 125, properties: coloured(BY_STATE) },
      { name: 'Time', title: 'Changed', unit: 'dateTimeFromNow', width: 110 },
      { name: 'site', properties: [UNSEEN] },
      { name: 'kind', properties: [UNSEEN, ...kindColumn(contracts)] },
    ],
    hidden: ['rule', 'field', 'detector'],
    sortedBy: { column: 'Changed', desc: true },
    noValue: 'No open alerts',
  })
}
