/** What detectors noticed, what people were told, and what they did about it. */

import { GraphDrawStyle, VisibilityMode } from '@grafana/grafana-foundation-sdk/common'
import { type Dashboard, MappingType } from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contracts } from '@tributary/protocol'
import {
  acknowledgedMedianQuery,
  acknowledgedQuery,
  afterQuery,
  alertRowsQuery,
  anomaliesByDetectorQuery,
  anomaliesOfKindQuery,
  anomalyCountQuery,
  anomalyRowsQuery,
  firedADayQuery,
  firedCountQuery,
  heldCountQuery,
  openCountQuery,
  openQuery,
  statesQuery,
  unansweredCountQuery,
} from './alert-queries.ts'
import { barGauge, bars } from './bar-panels.ts'
import { dashboardFrame, deviceOfVariable, finished, kindVariable, siteVariable } from './dashboard-frame.ts'
import { deviceNow, deviceThen, kindColumn } from './event-links.ts'
import { BLANK, BY_FEEDBACK, BY_SEVERITY, BY_STATE, MESSAGE, WRAPPED } from './events.ts'
import { CRITICAL, GOOD, kindTitle, WARNING } from './field-style.ts'
import { influxQuery, refIdOf } from './influx-query.ts'
import { type Column, coloured, stat, stateTimeline, table, timeSeries, UNSEEN } from './panels.ts'

/** One in ten minutes: what one person can look into, by EEMUA 191. */
const STORM_A_DAY = 144

export function alertsDashboard(contracts: Contracts): Dashboard {
  const dashboard = dashboardFrame({
    uid: 'tributary-alerts',
    title: 'Anomalies and alerts',
    description: 'What detectors noticed, what people were told, and what they did about it.',
    tag: 'overview',
  })
    .time({ from: 'now-24h', to: 'now' })
    .refresh('30s')
    .withVariable(siteVariable('account'))
    .withVariable(deviceOfVariable(['alert', 'anomaly'], 'Device'))
    .withVariable(kindVariable(contracts))
  const plain = [{ value: null, color: 'text' }]
  const worseFrom1 = (color: string) => [
    { value: null, color: GOOD },
    { value: 1, color },
  ]
  const tile = (id: number, title: string, description: string) => ({ id, title, description, span: 4, height: 3 })
  dashboard
    .withPanel(
      stat(tile(1, 'Open now', 'Episodes that fire, whenever they began; acknowledged ones too.'), {
        query: openCountQuery,
        steps: worseFrom1(CRITICAL),
        noValue: '0',
      }),
    )
    .withPanel(
      stat(tile(2, 'Nobody is on it', 'Open, and not acknowledged: tributary alert ack.'), {
        query: unansweredCountQuery,
        steps: worseFrom1(CRITICAL),
        noValue: '0',
      }),
    )
    .withPanel(
      stat(tile(3, 'Fired', 'Episodes of this time range.'), { query: firedCountQuery, steps: plain, noValue: '0' }),
    )
    .withPanel(
      stat(tile(4, 'Nobody was told', 'Fired while silenced, inhibited or held back; the table says why.'), {
        query: heldCountQuery,
        steps: plain,
        noValue: '0',
      }),
    )
    .withPanel(
      stat(tile(5, 'Acknowledged in', 'Median, from the time it fired.'), {
        query: acknowledgedMedianQuery,
        unit: 's',
        steps: plain,
        noValue: '–',
      }),
    )
    .withPanel(
      stat(tile(6, 'Anomalies', 'Verdicts of detectors; most of them page nobody.'), {
        query: anomalyCountQuery,
        steps: plain,
        noValue: '0',
      }),
    )
  /** Links need them, readers do not. */
  const unseen = [
    { name: 'kind', title: 'Kind', properties: [...kindColumn(contracts), UNSEEN] },
    { name: 'site', title: 'Site', properties: [UNSEEN] },
  ]
  const when: Column = { name: 'Time', unit: 'dateTimeAsLocal', width: 160, properties: [deviceThen()] }
  const device: Column = { name: 'device', title: 'Device', width: 140 }
  const severity: Column = { name: 'severity', title: 'Severity', width: 85, properties: coloured(BY_SEVERITY) }
  const state: Column = { name: 'state', title: 'State', width: 125, properties: coloured(BY_STATE) }
  const after: Column = { name: 'after_seconds', title: 'After', unit: 's', width: 70, properties: [BLANK] }
  const held: Column = { name: 'held', title: 'Not told', width: 110, properties: [BLANK] }
  const by: Column = { name: 'by', title: 'By', width: 65, properties: [BLANK] }
  dashboard
    .withPanel(
      table(
        { id: 10, title: 'Open', description: 'A click on the device leads to it.', span: 24, height: 5 },
        {
          query: openQuery,
          columns: [
            { ...device, properties: [deviceNow()] },
            MESSAGE,
            severity,
            state,
            { name: 'Time', title: 'Since', unit: 'dateTimeFromNow', width: 95, properties: [deviceThen()] },
            held,
            ...unseen,
          ],
          hidden: ['rule', 'field', 'detector'],
          noValue: 'No open alerts',
        },
      ),
    )
    .withPanel(
      stateTimeline(
        {
          id: 11,
          title: 'States',
          description: 'A row a device and rule, from pending to resolved.',
          span: 24,
          height: 8,
        },
        {
          query: statesQuery,
          interval: '10s',
          mappings: [
            {
              type: MappingType.ValueToText,
              options: Object.fromEntries(
                Object.entries(BY_STATE).map(([text, color], index) => [text, { text, color, index }]),
              ),
            },
          ],
        },
      ).targets([influxQuery('A', statesQuery, { alias: '$tag_device $tag_rule' })]),
    )
    .withPanel(
      bars(
        {
          id: 12,
          title: 'Fired a day',
          description: `Of the last 30 days. Beyond ${STORM_A_DAY}, one in ten minutes, it is a storm that nobody reads: mend rules and limits, or group.`,
          span: 6,
          height: 7,
        },
        {
          targets: [influxQuery('A', firedADayQuery, { alias: 'fired' })],
          axisLabel: 'episodes',
          interval: '1d',
          timeFrom: '30d',
          noValue: '0',
          bands: [
            { value: null, color: 'transparent' },
            { value: STORM_A_DAY + 1, color: WARNING },
          ],
        },
      ),
    )
    .withPanel(
      barGauge(
        { id: 13, title: 'Anomalies by detector', span: 12, height: 7 },
        [influxQuery('A', anomaliesByDetectorQuery, { alias: '$tag_detector' })],
        'No anomalies in this time range',
      ),
    )
    .withPanel(
      barGauge(
        { id: 14, title: 'Anomalies by kind', span: 6, height: 7 },
        [...contracts.keys()]
          .sort()
          .map((name, i) => influxQuery(refIdOf(i), anomaliesOfKindQuery(name), { alias: kindTitle(name) })),
        'No anomalies in this time range',
      ),
    )
    .withPanel(
      timeSeries(
        {
          id: 15,
          title: 'Time to acknowledge and to the end',
          description: 'From the time it fired; the longest of each point.',
          span: 12,
          height: 7,
        },
        {
          targets: [
            influxQuery('A', afterQuery('acknowledged'), { alias: 'acknowledged' }),
            influxQuery('B', afterQuery('resolved'), { alias: 'resolved' }),
          ],
          unit: 's',
          softMin: 0,
          interval: '1m',
        },
      )
        .drawStyle(GraphDrawStyle.Points)
        .showPoints(VisibilityMode.Always)
        .pointSize(7),
    )
    .withPanel(
      table(
        { id: 16, title: 'Acknowledged', span: 12, height: 7 },
        {
          query: acknowledgedQuery,
          columns: [
            when,
            device,
            by,
            after,
            { name: 'comment', title: 'Comment', properties: [BLANK, WRAPPED] },
            ...unseen,
          ],
          hidden: ['message'],
          noValue: 'Nobody acknowledged anything in this time range',
        },
      ),
    )
    .withPanel(
      table(
        {
          id: 17,
          title: 'Alerts',
          description: 'A click on the time leads to the device at that time.',
          span: 24,
          height: 9,
        },
        {
          query: alertRowsQuery,
          columns: [when, device, MESSAGE, state, severity, after, held, ...unseen],
          noValue: 'No alerts in this time range',
        },
      ),
    )
    .withPanel(
      table(
        {
          id: 18,
          title: 'Anomalies',
          description: 'A click on the time leads to the device at that time.',
          span: 24,
          height: 9,
        },
        {
          query: anomalyRowsQuery,
          columns: [
            when,
            device,
            MESSAGE,
            { name: 'detector', title: 'Detector', width: 240, properties: [WRAPPED] },
            { name: 'score', title: 'Score', width: 60, decimals: 2 },
            { name: 'feedback', title: 'Judged', width: 95, properties: [BLANK, ...coloured(BY_FEEDBACK)] },
            ...unseen,
          ],
          noValue: 'No anomalies in this time range',
        },
      ),
    )
  return finished(dashboard)
}
