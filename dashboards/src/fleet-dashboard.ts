/** All sites, agents and devices at a glance: what is wrong first. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { type Contract, type Contracts, FLEET_DASHBOARD_UID, kindUid } from '@tributary/protocol'
import {
  agentRateQuery,
  newestStoredQuery,
  openAlertsQuery,
  totalQuery,
  totalRateQuery,
  waitingLettersQuery,
} from './account-queries.ts'
import { attentionTable } from './attention.ts'
import { dashboardFrame, finished, siteVariable } from './dashboard-frame.ts'
import { openAlertsTable } from './events.ts'
import { CRITICAL, GOOD, kindTitle, QUIET, shownFields, WARNING } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { isHealth, newestTable } from './newest-table.ts'
import { type StatOptions, stat, stateTimeline, timeSeries } from './panels.ts'
import { stateQuery } from './pipeline-queries.ts'
import { STATE_OR_SILENT_MAPPINGS } from './process-states.ts'
import { type RunbookSection, withRunbook } from './runbook.ts'

/** Columns of a kind's table: its own dashboard has the rest. Numbers with their units are wider than states. */
const TABLE_FIELDS_MAX = 4
const TABLE_NUMBERS_MAX = 3
/** Of what is on the first screen: the table of concerns beside two lines of tiles, and the open alerts below. */
const TOP_HEIGHT = 6
const ACCOUNT_INTERVAL = '5s'
/** Processes speak every ten seconds: who says nothing for so long is silent. */
const SILENCE_INTERVAL = '1m'
/** What tells whether an agent is well; its state is above, where a silent one is not called live. */
const AGENT_FIELDS = ['backlog_batches', 'drain_seconds', 'spool_used_percent', 'clock_offset_ms']

export function fleetDashboard(contracts: Contracts): Dashboard {
  const dashboard = dashboardFrame({
    uid: FLEET_DASHBOARD_UID,
    title: 'Fleet',
    description: 'All sites and devices at a glance.',
    tag: 'overview',
  }).withVariable(siteVariable('account'))
  dashboard.withPanel(
    attentionTable(
      {
        ...{ id: 2, title: 'What needs a person', span: 12, height: TOP_HEIGHT },
        description: 'Only what is not all right now, whatever time range the dashboard shows.',
      },
      contracts,
    ),
  )
  for (const [i, [title, description, options, runbook]] of tiles.entries()) {
    const tile = { id: 30 + i, title, description, span: 4, height: TOP_HEIGHT / 2 }
    const at = { x: 12 + 4 * (i % 3), y: i < 3 ? 0 : tile.height, w: tile.span, h: tile.height }
    dashboard.withPanel(withRunbook(stat(tile, options).gridPos(at), ...runbook))
  }
  dashboard
    .withPanel(
      openAlertsTable({ id: 8, title: 'Open alerts', span: 24, height: TOP_HEIGHT }, contracts).gridPos({
        ...{ x: 0, y: TOP_HEIGHT, w: 24, h: TOP_HEIGHT },
      }),
    )
    .withPanel(
      withRunbook(
        stateTimeline(
          {
            ...{ id: 15, title: 'Agents and gateways', span: 14, height: 7 },
            description:
              'Silent: no word of it in the store for a minute; what it measured meanwhile waits in its spool. Before it ever reported it is shown as silent too.',
          },
          {
            query: stateQuery('agent_health'),
            interval: SILENCE_INTERVAL,
            mappings: STATE_OR_SILENT_MAPPINGS,
            holeMsMin: 60_000,
          },
        ).withTarget(influxQuery('B', stateQuery('gateway_health'), { alias: '$tag_device' })),
        'silent',
        'connection',
      ),
    )
    .withPanel(
      timeSeries(
        { id: 7, title: 'Readings a second by agent', span: 10, height: 7 },
        {
          targets: [influxQuery('A', agentRateQuery('produced'), { alias: '$tag_device' })],
          unit: 'short',
          decimals: 0,
          softMin: 0,
          axisLabel: 'readings/s',
          interval: ACCOUNT_INTERVAL,
          holeMsMin: 60_000,
        },
      ),
    )
  const agents = contracts.get('agent_health')
  if (agents)
    dashboard.withPanel(
      newestTable({ id: 14, title: 'Agents', span: 24, height: 5 }, agents, AGENT_FIELDS, {
        linkTo: deviceLink(agents),
        siteOnly: true,
      }),
    )
  const kinds = [...contracts.values()].filter((contract) => !isHealth(contract.kind)).sort(byKind)
  kinds.forEach((contract, i) => {
    const alone = kinds.length % 2 === 1 && i === kinds.length - 1
    dashboard.withPanel(
      newestTable(
        { id: 40 + i, title: kindTitle(contract.kind), span: alone ? 24 : 12, height: 5 },
        contract,
        telling(contract),
        { linkTo: deviceLink(contract), siteOnly: true },
      ),
    )
  })
  return finished(dashboard)
}

const plain = [{ value: null, color: 'text' }]
const worseFrom1 = (color: string) => [
  { value: null, color: GOOD },
  { value: 1, color },
]
const tiles: readonly (readonly [title: string, description: string, options: StatOptions, RunbookSection[]])[] = [
  [
    'Readings a second',
    'Stored in InfluxDB, all agents together.',
    {
      ...{ query: totalRateQuery('stored'), unit: 'short', decimals: 0, steps: [{ value: null, color: QUIET }] },
      ...{ sparkline: true, interval: ACCOUNT_INTERVAL },
    },
    ['backlog'],
  ],
  [
    'Newest stored',
    'When InfluxDB last confirmed a reading.',
    { query: newestStoredQuery, unit: 'dateTimeFromNow', steps: plain, column: 'Time' },
    ['silent'],
  ],
  [
    'Open alerts',
    'Episodes that people were told of and that are not over.',
    { query: openAlertsQuery, steps: worseFrom1(CRITICAL), noValue: '0' },
    ['openAlerts'],
  ],
  [
    'Missing',
    'Readings that were announced and are nowhere. Must be 0.',
    { query: totalQuery('missing'), unit: 'locale', steps: worseFrom1(CRITICAL) },
    ['missing'],
  ],
  [
    'In dead letters',
    'Readings refused with a reason that wait to be requeued or dropped: tributary dlq list.',
    { query: waitingLettersQuery, unit: 'locale', steps: worseFrom1(WARNING), noValue: '0' },
    ['deadLetters'],
  ],
  [
    'In flight',
    'Readings produced that are on their way: in a spool, in the stream or in the processor.',
    { query: totalQuery('in_flight'), unit: 'locale', steps: plain },
    ['backlog'],
  ],
]

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
