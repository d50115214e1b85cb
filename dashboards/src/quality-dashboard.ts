/** Whether the data can be trusted: what broke its contract, what is absent, late, or of an uncertain time. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contracts } from '@tributary/protocol'
import { bars } from './bar-panels.ts'
import { absenceMap, completenessQueries } from './completeness.ts'
import { dashboardFrame, deviceOfVariable, finished, siteVariable } from './dashboard-frame.ts'
import { deviceNow, deviceThen, kindColumn } from './event-links.ts'
import { MESSAGE } from './events.ts'
import { CRITICAL, GOOD, kindTitle, QUIET, WARNING } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { isHealth } from './newest-table.ts'
import { type Column, stat, table, timeSeries, UNSEEN } from './panels.ts'
import {
  againstContractCountQuery,
  againstContractQuery,
  byRuleQuery,
  devicesWithIssuesQuery,
  driftCountQuery,
  driftQuery,
  lateQuery,
  lateShareQuery,
  lettersQuery,
  newLettersCountQuery,
  newLettersQuery,
  timeNotSureCountQuery,
  timeNotSureQuery,
  worstDevicesQuery,
} from './quality-queries.ts'

const HEALTH_INTERVAL = '1m'

export function qualityDashboard(contracts: Contracts): Dashboard {
  const kinds = [...contracts.values()].filter(({ kind }) => !isHealth(kind)).sort((a, b) => (a.kind < b.kind ? -1 : 1))
  const dashboard = dashboardFrame({
    uid: 'tributary-quality',
    title: 'Data quality',
    description:
      'Whether the data can be trusted: what broke its contract, what is absent, late, or of an uncertain time.',
    tag: 'overview',
  })
    .time({ from: 'now-24h', to: 'now' })
    .refresh('1m')
    .withVariable(siteVariable('account'))
    .withVariable(
      deviceOfVariable(
        kinds.map(({ kind }) => kind),
        'Device',
      ),
    )
  addTiles(dashboard)
  const counted = kinds
    .map((contract) => ({ contract, queries: completenessQueries(contract) }))
    .filter(({ queries }) => queries.length > 0)
  const when: Column = { name: 'Time', unit: 'dateTimeAsLocal', width: 165, properties: [deviceThen()] }
  const device: Column = { name: 'device', title: 'Device', width: 140, properties: [deviceNow()] }
  const site: Column = { name: 'site', title: 'Site', width: 100 }
  /** Links need them, readers do not. */
  const unseen: Column[] = [
    { name: 'kind', title: 'Kind', properties: [...kindColumn(contracts), UNSEEN] },
    { name: 'site', title: 'Site', properties: [UNSEEN] },
  ]
  const samples: Column = { name: 'samples', title: 'Samples', unit: 'locale', width: 95 }
  dashboard.withPanel(
    table(
      { id: 10, title: 'Worst devices', description: 'Samples with an issue of any sort.', span: 6, height: 8 },
      {
        query: worstDevicesQuery,
        columns: [
          device,
          {
            ...samples,
            width: 190,
            properties: [
              { id: 'custom.displayMode', value: 'gradient-gauge' },
              { id: 'min', value: 0 },
              { id: 'color', value: { mode: 'fixed', fixedColor: WARNING } },
            ],
          },
          ...unseen,
        ],
        hidden: ['Time'],
        noValue: 'No issues in this time range',
        sortedBy: { column: 'Samples', desc: true },
      },
    ),
  )
  if (counted.length > 0)
    dashboard.withPanel(
      table(
        {
          id: 16,
          title: 'Completeness',
          description:
            'Of the samples that the interval of the contract lets expect, in this time range. A device that sends more often is complete: 100 %.',
          span: 6,
          height: 8,
        },
        {
          query: counted.flatMap(({ queries }) => queries.map(({ complete }) => complete)),
          columns: [
            { name: 'device', title: 'Device', width: 140 },
            {
              name: 'complete',
              title: 'Complete',
              unit: 'percent',
              decimals: 1,
              width: 190,
              properties: [
                { id: 'custom.displayMode', value: 'gradient-gauge' },
                { id: 'min', value: 0 },
                { id: 'max', value: 100 },
                { id: 'color', value: { mode: 'fixed', fixedColor: QUIET } },
              ],
            },
          ],
          hidden: ['Time', 'site'],
          sortedBy: { column: 'Complete', desc: false },
        },
      ),
    )
  dashboard
    .withPanel(
      table(
        {
          id: 11,
          title: 'By contract rule',
          description: 'reject: they are dead letters. flag: they are stored, and marked in contract_flags.',
          span: counted.length > 0 ? 12 : 18,
          height: 8,
        },
        {
          query: byRuleQuery,
          columns: [
            device,
            { name: 'field', title: 'Field' },
            { name: 'issue', title: 'Rule', width: 150 },
            { name: 'policy', title: 'Policy', width: 90 },
            samples,
            ...unseen,
          ],
          hidden: ['Time'],
          noValue: 'Nothing broke its contract in this time range',
          sortedBy: { column: 'Samples', desc: true },
        },
      ),
    )
    .withPanel(
      bars(
        { id: 12, title: 'Against the contract', description: 'Samples, by rule.', span: 12, height: 7 },
        {
          targets: [influxQuery('A', againstContractQuery, { alias: '$tag_issue' })],
          axisLabel: 'samples',
          interval: '1m',
          noValue: 'Nothing broke its contract in this time range',
        },
      ),
    )
    .withPanel(
      bars(
        {
          id: 13,
          title: 'Time not sure',
          description:
            'Samples whose time was corrected when the clock was set, put between its neighbours, or that nobody vouches for.',
          span: 12,
          height: 7,
        },
        {
          targets: [influxQuery('A', timeNotSureQuery, { alias: '$tag_issue' })],
          axisLabel: 'samples',
          interval: '1m',
          noValue: 'Every time is sure in this time range',
        },
      ),
    )
    .withPanel(
      bars(
        {
          id: 14,
          title: 'Late',
          description:
            'Samples that came after their window was written; it was written again. Beyond memory: from the store.',
          span: 12,
          height: 7,
        },
        {
          targets: [influxQuery('A', lateQuery, { alias: '$tag_issue' })],
          axisLabel: 'samples',
          interval: '1m',
          noValue: 'Nothing came late in this time range',
        },
      ),
    )
    .withPanel(
      timeSeries(
        {
          id: 15,
          title: 'Late share',
          description: 'Of the readings that all processors stored.',
          span: 12,
          height: 7,
        },
        {
          targets: [influxQuery('A', lateShareQuery('GROUP BY time($__interval) fill(none)'), { alias: 'late' })],
          unit: 'percent',
          decimals: 1,
          softMin: 0,
          interval: HEALTH_INTERVAL,
          holeMsMin: 300_000,
        },
      ),
    )
  counted.forEach(({ contract, queries }, i) => {
    const alone = counted.length % 2 === 1 && i === counted.length - 1
    dashboard.withPanel(
      absenceMap(
        {
          id: 30 + i,
          title: `${kindTitle(contract.kind)}: absent by the hour`,
          description:
            'Of the samples that the interval of the contract lets expect; a device that sends more often lacks nothing. One that was silent all the time has no row.',
          span: alone ? 24 : 12,
          height: 6,
        },
        queries.map(({ absent }) => absent),
      ),
    )
  })
  dashboard
    .withPanel(
      bars(
        { id: 20, title: 'New dead letters', description: 'Readings, by stage and reason.', span: 12, height: 7 },
        {
          targets: [influxQuery('A', newLettersQuery, { alias: '$tag_stage $tag_reason' })],
          axisLabel: 'readings',
          interval: '1m',
          noValue: 'No new dead letters in this time range',
        },
      ),
    )
    .withPanel(
      table(
        {
          id: 21,
          title: 'Dead letters that wait',
          description: 'Refused and kept, whenever that was: tributary dlq list, then requeue or drop.',
          span: 12,
          height: 7,
        },
        {
          query: lettersQuery,
          columns: [
            { name: 'device', title: 'Agent', width: 130 },
            { name: 'stage', title: 'Stage', width: 90 },
            { name: 'reason', title: 'Reason' },
            { name: 'letters', title: 'Letters', unit: 'locale', width: 90 },
            { name: 'readings', title: 'Readings', unit: 'locale', width: 100 },
            site,
          ],
          hidden: ['Time'],
          noValue: 'No dead letters',
          sortedBy: { column: 'Readings', desc: true },
        },
      ),
    )
    .withPanel(
      table(
        {
          id: 22,
          title: 'Schema drift',
          description: 'Devices that send other fields than before: other firmware, or another sensor.',
          span: 24,
          height: 6,
        },
        {
          query: driftQuery,
          columns: [
            when,
            { ...device, properties: [] },
            { name: 'field', title: 'Field', width: 180 },
            { name: 'change', title: 'Change', width: 130 },
            MESSAGE,
            ...unseen,
          ],
          noValue: 'No drift in this time range',
        },
      ),
    )
  return finished(dashboard)
}

type Builder = ReturnType<typeof dashboardFrame>

function addTiles(dashboard: Builder): void {
  const tile = (id: number, title: string, description: string) => ({ id, title, description, span: 4, height: 3 })
  const worseFrom = (value: number, color: string) => [
    { value: null, color: GOOD },
    { value, color },
  ]
  const counts: readonly [title: string, description: string, query: string, colour: string][] = [
    ['Against the contract', 'Samples that broke a rule of their contract.', againstContractCountQuery, WARNING],
    ['Time not sure', 'Samples whose time was corrected, estimated, or untrusted.', timeNotSureCountQuery, WARNING],
    ['New dead letters', 'Readings refused in this time range, with their reasons.', newLettersCountQuery, WARNING],
    ['Schema drift', 'Fields that are new, gone, or of another type.', driftCountQuery, WARNING],
    ['Devices affected', 'Of any sort, in this time range.', devicesWithIssuesQuery, WARNING],
  ]
  counts.forEach(([title, description, query, colour], i) => {
    dashboard.withPanel(
      stat(tile(i + 1, title, description), {
        query,
        unit: 'locale',
        steps: worseFrom(1, colour),
        noValue: '0',
        interval: HEALTH_INTERVAL,
      }),
    )
  })
  dashboard.withPanel(
    stat(tile(6, 'Late share', 'Of the readings that all processors stored in this time range.'), {
      query: lateShareQuery(),
      unit: 'percent',
      decimals: 1,
      steps: [...worseFrom(1, WARNING), { value: 10, color: CRITICAL }],
      interval: HEALTH_INTERVAL,
    }),
  )
}
