/** How the pipeline is: how long each stage takes, how much goes through, what waits, what wears out, what it costs. */
import { BigValueTextMode } from '@grafana/grafana-foundation-sdk/common'
import { type Dashboard, TextBoxVariableBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contracts } from '@tributary/protocol'
import { dashboardFrame, finished, siteVariable } from './dashboard-frame.ts'
import { thresholdSteps } from './field-style.ts'
import { influxQuery, refIdOf } from './influx-query.ts'
import { PIPELINE_UID } from './overview-uids.ts'
import { stat, timeSeries } from './panels.ts'
import { type Chart, chartSections, type Limited, type Tile, tiles } from './pipeline-panels.ts'
import { cardsTable, freshnessTable } from './pipeline-tables.ts'
import { withRunbook } from './runbook.ts'
import { section } from './text-panel.ts'

/** Processes say how they are every ten seconds. */
const INTERVAL = '10s'
const HOLE_MS_MIN = 60_000
/** Terabytes: what a card of 32 GB for surveillance cameras is said to take. */
const ENDURANCE = '30'

export function pipelineDashboard(contracts: Contracts): Dashboard {
  const dashboard = dashboardFrame({
    uid: PIPELINE_UID,
    title: 'Pipeline health',
    description: 'How long readings take, how many go through, what waits, what wears out, and what it costs.',
    tag: 'overview',
  })
    .withVariable(siteVariable('account'))
    .withVariable(
      new TextBoxVariableBuilder('endurance')
        .label('Card endurance, TB written')
        .description('What a card takes before it wears out, by its data sheet.')
        .defaultValue(ENDURANCE)
        .current({ text: ENDURANCE, value: ENDURANCE, selected: true }),
    )
  for (const [i, one] of tiles.entries()) dashboard.withPanel(tile(1 + i, one, contracts))
  for (const [i, { title, charts }] of chartSections.entries()) {
    dashboard.withRow(section(100 + i, title))
    for (const [j, one] of charts.entries()) dashboard.withPanel(chart(10 * (i + 1) + j, one, contracts))
    if (title === 'Throughput and errors')
      dashboard.withPanel(withRunbook(freshnessTable({ id: 90, title: 'Freshness', span: 6, height: 7 }), 'silent'))
    if (title === 'Spools and cards')
      dashboard.withPanel(
        cardsTable({
          ...{ id: 91, title: 'Life of the cards', span: 8, height: 7 },
          description:
            'How long a new card of the endurance above lasts at the pace of this time range. The file system writes some more.',
        }),
      )
  }
  return finished(dashboard)
}

/** The contract's limits, if it has any. */
function limitsOf({ limits }: Limited, contracts: Contracts, normal: string) {
  const contract = limits && contracts.get(limits[0])
  return contract && limits[1] in contract.fields
    ? thresholdSteps(contract, limits[1], normal)
    : [{ value: null, color: normal }]
}

function tile(id: number, { title, description, runbook, atGateways, ...options }: Tile, contracts: Contracts) {
  const steps = limitsOf(options, contracts, 'text')
  const panel = stat({ id, title, description, span: 4, height: 3 }, { steps, interval: INTERVAL, ...options })
  if (atGateways)
    panel
      .targets([
        influxQuery('A', options.query, { alias: 'agents' }),
        influxQuery('B', atGateways, { alias: 'gateways' }),
      ])
      .textMode(BigValueTextMode.ValueAndName)
  return withRunbook(panel, runbook)
}

function chart(
  id: number,
  { title, description, runbook, span = 8, height = 7, lines, ...options }: Chart,
  contracts: Contracts,
) {
  const panel = timeSeries(
    { id, title, span, height, ...(description ? { description } : {}) },
    {
      ...{ softMin: 0, interval: INTERVAL, holeMsMin: HOLE_MS_MIN, bands: limitsOf(options, contracts, 'transparent') },
      ...options,
      targets: lines.map(([alias, query], i) => influxQuery(refIdOf(i), query, { alias })),
    },
  )
  return runbook ? withRunbook(panel, runbook) : panel
}
