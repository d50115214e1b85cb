/** Everything is accounted for: where each reading that was produced is now. */
import { type Dashboard, MappingType, type ValueMapping } from '@grafana/grafana-foundation-sdk/dashboard'
import { type AccountField, agentGaugeQuery, totalQuery, totalRateQuery } from './account-queries.ts'
import { agentsTable, deadLettersTable, tombstonesTable } from './account-tables.ts'
import { dashboardFrame, deviceVariable, finished, siteVariable } from './dashboard-frame.ts'
import { CRITICAL, GOOD, WARNING } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { SITE_AND_DEVICE as WHERE } from './influxql.ts'
import { ACCOUNT_UID } from './overview-uids.ts'
import { type PanelPlace, stat, timeSeries } from './panels.ts'
import { type RunbookSection, withRunbook } from './runbook.ts'
import { text } from './text-panel.ts'

const INTERVAL = '5s'
const HEALTH_INTERVAL = '10s'
/** Longer than a processor takes to write the account again. */
const HOLE_MS_MIN = 60_000

const WORDS = `Each reading that an agent took from a device is counted, and is in exactly one of these places:
**stored**, in the database; **in flight**, on its way there; **dead-lettered**, refused with a reason and kept aside; **shed**, given up on
purpose when there was no room, and noted; **missing**, announced and not found. What is late moves from missing to stored when it arrives.`

/** Of the number of missing readings. */
const VERDICT: ValueMapping[] = [
  {
    type: MappingType.RangeToText,
    options: { from: 0, to: 0, result: { text: 'Nothing is missing', color: GOOD, index: 0 } },
  },
  {
    type: MappingType.RangeToText,
    options: { from: 1, to: 1e15, result: { text: 'Readings are missing', color: CRITICAL, index: 1 } },
  },
]

export function accountDashboard(): Dashboard {
  const dashboard = dashboardFrame({
    uid: ACCOUNT_UID,
    title: 'Account',
    description: 'produced = stored + dead-lettered + shed + in flight + missing, for each agent, to the reading.',
    tag: 'overview',
  })
    .withVariable(siteVariable('account'))
    .withVariable(deviceVariable('account', 'Agent'))
  const worseFrom1 = (color: string) => [
    { value: null, color: GOOD },
    { value: 1, color },
  ]
  const plain = [{ value: null, color: 'text' }]
  const tiles: [AccountField, string, string, { value: number | null; color: string }[], RunbookSection?][] = [
    ['produced', 'Produced', 'Readings that agents took in from devices.', plain],
    ['stored', '= Stored', 'Readings that InfluxDB confirmed.', plain],
    ['in_flight', '+ In flight', 'On their way: in a spool, in the stream or in the processor.', plain, 'backlog'],
    [
      'dead_lettered',
      '+ Dead-lettered',
      'Refused with a reason and kept: tributary dlq list.',
      worseFrom1(WARNING),
      'deadLetters',
    ],
    ['shed', '+ Shed', 'Given up on purpose under a limit, with a tombstone.', worseFrom1(WARNING), 'spoolFull'],
    ['missing', '+ Missing', 'Announced and nowhere to be found. Must be 0.', worseFrom1(CRITICAL), 'missing'],
  ]
  tiles.forEach(([field, title, description, steps, runbook], i) => {
    const at = { id: i + 1, title, description, span: 4, height: 3 }
    const panel = stat(at, { query: totalQuery(field, WHERE), unit: 'locale', steps })
    dashboard.withPanel(runbook ? withRunbook(panel, runbook) : panel)
  })
  const lines = (
    at: PanelPlace,
    axisLabel: string,
    queries: readonly [alias: string, query: string][],
    interval = INTERVAL,
  ) =>
    timeSeries(at, {
      targets: queries.map(([alias, query], i) => influxQuery('AB'[i] as string, query, { alias })),
      ...{ unit: 'short', softMin: 0, axisLabel, interval, holeMsMin: HOLE_MS_MIN },
    })
  const gauge = (at: PanelPlace, field: AccountField) =>
    lines(at, 'readings', [['$tag_device', agentGaugeQuery(field, WHERE)]])
  dashboard
    .withPanel(
      withRunbook(
        stat(
          { id: 7, title: 'The balance', span: 9, height: 4 },
          { query: totalQuery('missing', WHERE), steps: plain, mappings: VERDICT },
        ),
        'missing',
      ),
    )
    .withPanel(text({ id: 8, title: 'In words', span: 15, height: 4 }, WORDS))
    .withPanel(agentsTable({ id: 10, title: 'By agent', span: 24, height: 7 }))
    .withPanel(
      lines(
        { id: 11, title: 'Readings a second', span: 8, height: 7, description: 'All selected agents together.' },
        'readings/s',
        [
          ['produced', totalRateQuery('produced', WHERE)],
          ['stored', totalRateQuery('stored', WHERE)],
        ],
      ),
    )
    .withPanel(withRunbook(gauge({ id: 12, title: 'In flight', span: 8, height: 7 }, 'in_flight'), 'backlog'))
    .withPanel(withRunbook(gauge({ id: 18, title: 'Missing', span: 8, height: 7 }, 'missing'), 'missing'))
    .withPanel(
      withRunbook(
        lines(
          {
            ...{ id: 23, title: 'Gaps', span: 8, height: 7 },
            description:
              'Batches that should have come before others did, at all agents of a processor; asked for again until they come.',
          },
          'batches',
          [['$tag_device', GAPS]],
          HEALTH_INTERVAL,
        ),
        'gap',
      ),
    )
    .withPanel(
      withRunbook(gauge({ id: 14, title: 'Dead-lettered', span: 8, height: 7 }, 'dead_lettered'), 'deadLetters'),
    )
    .withPanel(withRunbook(gauge({ id: 24, title: 'Shed', span: 8, height: 7 }, 'shed'), 'spoolFull'))
    .withPanel(
      withRunbook(deadLettersTable({ id: 13, title: 'Dead letters by reason', span: 12, height: 7 }), 'deadLetters'),
    )
    .withPanel(
      withRunbook(tombstonesTable({ id: 22, title: 'Tombstones: what was shed', span: 12, height: 7 }), 'spoolFull'),
    )
  return finished(dashboard)
}

/** A processor is at no site of its agents. */
const GAPS =
  'SELECT max("batches_missing") AS "batches" FROM "processor_health" WHERE $timeFilter GROUP BY time($__interval), "device" fill(none)'
