/** Everything is accounted for: where each reading that was produced is now. */
import { type Dashboard, MappingType, type ValueMapping } from '@grafana/grafana-foundation-sdk/dashboard'
import {
  type AccountField,
  agentGaugeQuery,
  agentRateQuery,
  spoolGaugeQuery,
  totalQuery,
  totalRateQuery,
  writtenADayQuery,
} from './account-queries.ts'
import { dashboardFrame, deviceVariable, finished, siteVariable } from './dashboard-frame.ts'
import { CRITICAL, GOOD, WARNING } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { lastQuery, rawMeanQuery, SITE_AND_DEVICE as WHERE } from './influxql.ts'
import { type PanelPlace, stat, stateTimeline, table, timeSeries } from './panels.ts'

const INTERVAL = '5s'
const HEALTH_INTERVAL = '10s'
/** Over less, what a spool writes comes in lumps. */
const WEAR_INTERVAL = '1m'
const TRUST: ValueMapping[] = [
  {
    type: MappingType.ValueToText,
    options: {
      true: { text: 'trusted', color: GOOD, index: 0 },
      false: { text: 'not trusted', color: WARNING, index: 1 },
    },
  },
]

export function accountDashboard(): Dashboard {
  const dashboard = dashboardFrame({
    uid: 'tributary-account',
    title: 'Account',
    description: 'produced = stored + dead-lettered + shed + in flight, for each agent, to the reading.',
    tag: 'overview',
  })
    .withVariable(siteVariable('account'))
    .withVariable(deviceVariable('account', 'Agent'))
  const worseFrom1 = (color: string) => [
    { value: null, color: GOOD },
    { value: 1, color },
  ]
  const plain = [{ value: null, color: 'text' }]
  const tiles: [AccountField, string, string, { value: number | null; color: string }[]][] = [
    ['produced', 'Produced', 'Readings that agents took in from devices.', plain],
    ['stored', 'Stored', 'Readings that InfluxDB confirmed.', plain],
    ['dead_lettered', 'Dead-lettered', 'Refused with a reason and kept: tributary dlq list.', worseFrom1(WARNING)],
    ['shed', 'Shed', 'Discarded on purpose under a limit, with a tombstone.', worseFrom1(WARNING)],
    ['in_flight', 'In flight', 'Produced and on their way to the store.', plain],
    ['missing', 'Missing', 'Announced and nowhere to be found. Must be 0.', worseFrom1(CRITICAL)],
  ]
  tiles.forEach(([field, title, description, steps], i) => {
    dashboard.withPanel(
      stat(
        { id: i + 1, title, description, span: 4, height: 3 },
        { query: totalQuery(field, WHERE), unit: 'locale', steps },
      ),
    )
  })
  const series = (
    at: PanelPlace,
    queries: [string, string][],
    holeMsMin = 60_000,
    interval = INTERVAL,
    unit = 'short',
  ) =>
    timeSeries(at, {
      targets: queries.map(([alias, query], i) => influxQuery('ABCD'[i] as string, query, { alias })),
      unit,
      softMin: 0,
      interval,
      holeMsMin,
    })
  dashboard
    .withPanel(agentsTable({ id: 10, title: 'By agent', span: 24, height: 6 }))
    .withPanel(
      series(
        { id: 11, title: 'Readings a second', span: 12, height: 8, description: 'All selected agents together.' },
        [
          ['produced', totalRateQuery('produced', WHERE)],
          ['stored', totalRateQuery('stored', WHERE)],
        ],
      ),
    )
    .withPanel(
      series({ id: 12, title: 'In flight', span: 12, height: 8, description: 'Readings on their way, an agent.' }, [
        ['$tag_device', agentGaugeQuery('in_flight', WHERE)],
      ]),
    )
    .withPanel(deadLettersTable({ id: 13, title: 'Dead letters by reason', span: 12, height: 7 }))
    .withPanel(shedTable({ id: 22, title: 'Shed by reason', span: 12, height: 7 }))
    .withPanel(
      series({ id: 14, title: 'Dead-lettered', span: 12, height: 7, description: 'Readings, an agent.' }, [
        ['$tag_device', agentGaugeQuery('dead_lettered', WHERE)],
      ]),
    )
    .withPanel(
      series({ id: 18, title: 'Missing', span: 12, height: 7, description: 'Readings, an agent.' }, [
        ['$tag_device', agentGaugeQuery('missing', WHERE)],
      ]),
    )
  dashboard
    .withPanel(
      series(
        {
          id: 15,
          title: 'Backlog',
          span: 8,
          height: 7,
          description: 'Batches that wait in the spool of an agent or gateway.',
        },
        [['$tag_device', spoolGaugeQuery('backlog_batches', WHERE)]],
        60_000,
        HEALTH_INTERVAL,
      ),
    )
    .withPanel(
      series(
        {
          id: 16,
          title: 'Time to drain',
          span: 8,
          height: 7,
          description: 'Until the backlog is sent, at the present pace.',
        },
        [['$tag_device', spoolGaugeQuery('drain_seconds', WHERE)]],
        60_000,
        HEALTH_INTERVAL,
        's',
      ),
    )
    .withPanel(
      series(
        { id: 17, title: 'Produced by agent', span: 8, height: 7, description: 'Readings a second.' },
        [['$tag_device', agentRateQuery('produced', WHERE)]],
        60_000,
      ),
    )
    .withPanel(
      series(
        {
          id: 19,
          title: 'Written to the card in a day',
          span: 8,
          height: 7,
          description:
            'At the present pace of the spool of an agent, its overhead included, that of the file system not.',
        },
        [['$tag_device', writtenADayQuery(WHERE)]],
        300_000,
        WEAR_INTERVAL,
        'decbytes',
      ),
    )
    .withPanel(
      stateTimeline(
        {
          id: 20,
          title: 'Clock',
          span: 8,
          height: 7,
          description: 'Whether an agent trusts its clock; times taken before it does are corrected and marked.',
        },
        { query: lastQuery('agent_health', 'clock_trusted'), interval: HEALTH_INTERVAL, mappings: TRUST },
      ),
    )
    .withPanel(
      series(
        { id: 21, title: 'Offset of the clock', span: 8, height: 7, description: "To the gateway's clock." },
        [['$tag_device', rawMeanQuery('agent_health', 'clock_offset_ms')]],
        60_000,
        HEALTH_INTERVAL,
        'ms',
      ),
    )
  return finished(dashboard)
}

function agentsTable(at: PanelPlace) {
  const limit = (color: string) => [
    { value: null, color: 'text' },
    { value: 1, color },
  ]
  const number = { unit: 'locale' }
  return table(at, {
    query: `SELECT "produced", "stored", "dead_lettered", "shed", "in_flight", "missing" FROM "account" WHERE ${WHERE} GROUP BY "site", "device" ORDER BY time DESC LIMIT 1`,
    columns: [
      { name: 'device', title: 'Agent' },
      { name: 'site', title: 'Site' },
      { name: 'Time', title: 'As of', unit: 'dateTimeFromNow' },
      { name: 'produced', title: 'Produced', ...number },
      { name: 'stored', title: 'Stored', ...number },
      { name: 'dead_lettered', title: 'Dead-lettered', ...number, steps: limit(WARNING) },
      { name: 'shed', title: 'Shed', ...number, steps: limit(WARNING) },
      { name: 'in_flight', title: 'In flight', ...number },
      { name: 'missing', title: 'Missing', ...number, steps: limit(CRITICAL) },
    ],
    noValue: 'No agent has sent anything yet',
  })
}

function shedTable(at: PanelPlace) {
  return table(at, {
    query:
      `SELECT sum("batches") AS "batches", sum("readings") AS "readings" FROM (SELECT last("batches") AS "batches", last("readings") AS "readings" ` +
      `FROM "shed" WHERE ${WHERE} GROUP BY "site", "device", "reason") GROUP BY "device", "reason"`,
    columns: [
      { name: 'device', title: 'Agent' },
      { name: 'reason', title: 'Reason' },
      { name: 'batches', title: 'Batches', unit: 'locale' },
      { name: 'readings', title: 'Readings', unit: 'locale' },
    ],
    hidden: ['Time'],
    noValue: 'Nothing was shed',
  })
}

function deadLettersTable(at: PanelPlace) {
  return table(at, {
    query:
      `SELECT sum("letters") AS "letters", sum("readings") AS "readings" FROM (SELECT last("letters") AS "letters", last("readings") AS "readings" ` +
      `FROM "dead_letter" WHERE ${WHERE} GROUP BY "site", "device", "stage", "reason") GROUP BY "stage", "reason"`,
    columns: [
      { name: 'stage', title: 'Refused at' },
      { name: 'reason', title: 'Reason' },
      { name: 'letters', title: 'Letters', unit: 'locale' },
      { name: 'readings', title: 'Readings', unit: 'locale' },
    ],
    hidden: ['Time'],
    noValue: 'Nothing was refused',
  })
}
