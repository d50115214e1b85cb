/** All sites and devices at a glance. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { type Contract, type Contracts, FLEET_DASHBOARD_UID, kindUid } from '@tributary/protocol'
import {
  agentRateQuery,
  mostWrittenADayQuery,
  openAlertsQuery,
  spoolQuery,
  totalQuery,
  totalRateQuery,
} from './account-queries.ts'
import { dashboardFrame, finished, siteVariable } from './dashboard-frame.ts'
import { newestAnomaliesTable, openAlertsTable } from './events.ts'
import { CRITICAL, GOOD, kindTitle, QUIET, shownFields, WARNING } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { isHealth, newestTable } from './newest-table.ts'
import { stat, timeSeries } from './panels.ts'

/** Columns of a kind's table: its own dashboard has the rest. Numbers with their units are wider than states. */
const TABLE_FIELDS_MAX = 4
const TABLE_NUMBERS_MAX = 3
const ACCOUNT_INTERVAL = '5s'
const WEAR_INTERVAL = '1m'
/** What tells whether an agent is well. */
const AGENT_FIELDS = [
  'connected',
  'backlog_batches',
  'drain_seconds',
  'spool_used_percent',
  'clock_trusted',
  'clock_offset_ms',
]

export function fleetDashboard(contracts: Contracts): Dashboard {
  const dashboard = dashboardFrame({
    uid: FLEET_DASHBOARD_UID,
    title: 'Fleet',
    description: 'All sites and devices at a glance.',
    tag: 'overview',
  }).withVariable(siteVariable('account'))
  const plain = [{ value: null, color: 'text' }]
  const worseFrom = (value: number, color: string, normal = GOOD) => [
    { value: null, color: normal },
    { value, color },
  ]
  const tile = (id: number, title: string, description: string) => ({ id, title, description, span: 4, height: 3 })
  const wide = (id: number, title: string, description: string) => ({ id, title, description, span: 6, height: 3 })
  dashboard
    .withPanel(
      stat(tile(1, 'Readings a second', 'Stored in InfluxDB, all agents together.'), {
        query: totalRateQuery('stored'),
        unit: 'short',
        decimals: 0,
        steps: [{ value: null, color: QUIET }],
        sparkline: true,
        interval: ACCOUNT_INTERVAL,
      }),
    )
    .withPanel(
      stat(tile(2, 'Stored', 'Readings that InfluxDB confirmed, since each agent began.'), {
        query: totalQuery('stored'),
        steps: plain,
      }),
    )
    .withPanel(
      stat(
        tile(3, 'In flight', 'Readings produced that are on their way: in a spool, in the stream or in the processor.'),
        {
          query: totalQuery('in_flight'),
          steps: plain,
        },
      ),
    )
    .withPanel(
      stat(
        tile(4, 'Dead-lettered', 'Readings refused with a reason, kept with their original bytes: tributary dlq list.'),
        {
          query: totalQuery('dead_lettered'),
          steps: worseFrom(1, WARNING),
        },
      ),
    )
    .withPanel(
      stat(tile(5, 'Missing', 'Readings that were announced and are nowhere. Must be 0.'), {
        query: totalQuery('missing'),
        steps: worseFrom(1, CRITICAL),
      }),
    )
    .withPanel(
      stat(tile(6, 'Alerts firing', 'Episodes that people were told of and that are not resolved.'), {
        query: openAlertsQuery,
        steps: worseFrom(1, CRITICAL),
        noValue: '0',
      }),
    )
    .withPanel(
      stat(wide(10, 'Backlog', 'Batches that wait in the spools of agents and gateways.'), {
        query: spoolQuery('backlog_batches', 'sum'),
        steps: plain,
      }),
    )
    .withPanel(
      stat(wide(11, 'Time to drain', 'Of the spool that takes longest, at its present pace.'), {
        query: spoolQuery('drain_seconds', 'max'),
        unit: 's',
        steps: worseFrom(900, WARNING, 'text'),
      }),
    )
    .withPanel(
      stat(
        wide(
          12,
          'Written to a card in a day',
          'By the spool of the agent that writes most, at the pace of this time range.',
        ),
        {
          query: mostWrittenADayQuery,
          unit: 'decbytes',
          steps: plain,
          interval: WEAR_INTERVAL,
        },
      ),
    )
    .withPanel(
      stat(wide(13, 'Shed', 'Readings given up on purpose under a limit, each run with a tombstone.'), {
        query: totalQuery('shed'),
        steps: worseFrom(1, WARNING),
      }),
    )
    .withPanel(
      timeSeries(
        { id: 7, title: 'Readings a second by agent', span: 12, height: 7 },
        {
          targets: [influxQuery('A', agentRateQuery('produced'), { alias: '$tag_device' })],
          unit: 'short',
          decimals: 0,
          softMin: 0,
          interval: ACCOUNT_INTERVAL,
          holeMsMin: 60_000,
        },
      ),
    )
    .withPanel(openAlertsTable({ id: 8, title: 'Open alerts', span: 12, height: 7 }))
  const kinds = [...contracts.values()].filter((contract) => !isHealth(contract.kind)).sort(byKind)
  kinds.forEach((contract, i) => {
    const alone = kinds.length % 2 === 1 && i === kinds.length - 1
    dashboard.withPanel(
      newestTable(
        { id: 20 + i, title: kindTitle(contract.kind), span: alone ? 24 : 12, height: 5 },
        contract,
        telling(contract),
        { linkTo: deviceLink(contract), siteOnly: true },
      ),
    )
  })
  const agents = contracts.get('agent_health')
  if (agents)
    dashboard.withPanel(
      newestTable({ id: 14, title: 'Agents', span: 24, height: 5 }, agents, AGENT_FIELDS, {
        linkTo: deviceLink(agents),
        siteOnly: true,
      }),
    )
  dashboard.withPanel(newestAnomaliesTable({ id: 9, title: 'Latest anomalies', span: 24, height: 7 }))
  return finished(dashboard)
}

function telling(contract: Contract): string[] {
  const fields = shownFields(contract)
  const isNumber = ([, field]: (typeof fields)[number]) => field.type === 'float' || field.type === 'integer'
  const numbers = fields.filter(isNumber).slice(0, TABLE_NUMBERS_MAX)
  return fields
    .filter((field) => !isNumber(field) || numbers.includes(field))
    .slice(0, TABLE_FIELDS_MAX)
    .map(([name]) => name)
}

const byKind = (a: Contract, b: Contract): number => (a.kind < b.kind ? -1 : 1)

const deviceLink = ({ kind }: Contract): string =>
  `/d/${kindUid(kind)}/${kind.replaceAll('_', '-')}?var-site=\${__data.fields.site}&var-device=\${__data.fields.device}&\${__url_time_range}`
