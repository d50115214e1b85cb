/** How the pipeline is: how long each stage takes, how much goes through, what waits, what wears out, what it costs. */
import type { Dashboard, Threshold } from '@grafana/grafana-foundation-sdk/dashboard'
import { TextBoxVariableBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contracts } from '@tributary/protocol'
import { totalRateQuery } from './account-queries.ts'
import { cardsTable, freshnessTable } from './pipeline-tables.ts'
import { dashboardFrame, finished, siteVariable } from './dashboard-frame.ts'
import { thresholdSteps } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { PIPELINE_UID } from './overview-uids.ts'
import { type PanelPlace, type StatOptions, stat, type TimeSeriesOptions, timeSeries } from './panels.ts'
import { gauge, gaugeOfAll, growthOfAll, newestOfAll, PROCESSES, SPOOLS, writtenADay } from './pipeline-queries.ts'
import { type RunbookSection, withRunbook } from './runbook.ts'
import { section } from './text-panel.ts'

/** Processes say how they are every ten seconds. */
const INTERVAL = '10s'
/** Over less, what a spool writes comes in lumps. */
const WEAR_INTERVAL = '1m'
const HOLE_MS_MIN = 60_000
const ENDURANCE_TB = '30'

type Lines = readonly (readonly [alias: string, query: string])[]
const BY_PROCESS = '$tag_device'

export function pipelineDashboard(contracts: Contracts): Dashboard {
  const limits = (kind: string, field: string, normal: string): Threshold[] => {
    const contract = contracts.get(kind)
    return contract && field in contract.fields
      ? thresholdSteps(contract, field, normal)
      : [{ value: null, color: normal }]
  }
  const tile = (
    at: Pick<PanelPlace, 'id' | 'title' | 'description'>,
    options: StatOptions,
    runbook: RunbookSection,
  ) => withRunbook(stat({ ...at, span: 4, height: 3 }, options), runbook)
  const chart = (
    at: PanelPlace,
    lines: Lines,
    options: Partial<TimeSeriesOptions> & { readonly unit: string },
    runbook?: RunbookSection,
  ) => {
    const targets = lines.map(([alias, query], i) => influxQuery(String.fromCharCode(65 + i), query, { alias }))
    const panel = timeSeries(at, { softMin: 0, interval: INTERVAL, holeMsMin: HOLE_MS_MIN, ...options, targets })
    return runbook ? withRunbook(panel, runbook) : panel
  }
  const bands = (kind: string, field: string) => ({ bands: limits(kind, field, 'transparent') })

  const dashboard = dashboardFrame({
    uid: PIPELINE_UID,
    title: 'Pipeline health',
    description: 'How long readings take, how many go through, what waits, what wears out, and what it costs.',
    tag: 'overview',
  })
    .withVariable(siteVariable('account'))
    .withVariable(
      new TextBoxVariableBuilder('endurance')
        .label('Card endurance, TB')
        .description('Terabytes that a card takes before it wears out, by its data sheet.')
        .defaultValue(ENDURANCE_TB),
    )
  dashboard
    .withPanel(
      tile(
        { id: 1, title: 'Measured to stored', description: 'p99 of the readings of the last interval, worst processor.' },
        {
          query: gaugeOfAll('processor_health', 'latency_p99_ms', 'max'),
          ...{ unit: 'ms', steps: limits('processor_health', 'latency_p99_ms', 'text'), sparkline: true, interval: INTERVAL },
        },
        'backlog',
      ),
    )
    .withPanel(
      tile(
        { id: 2, title: 'Readings a second', description: 'Stored in InfluxDB.' },
        {
          query: totalRateQuery('stored'),
          ...{ decimals: 0, steps: [{ value: null, color: 'text' }], sparkline: true, interval: INTERVAL },
        },
        'backlog',
      ),
    )
    .withPanel(
      tile(
        { id: 3, title: 'Backlog', description: 'Batches that wait in the spools of agents and gateways.' },
        { query: newestOfAll(SPOOLS, 'backlog_batches', 'sum'), unit: 'locale', steps: [{ value: null, color: 'text' }] },
        'backlog',
      ),
    )
    .withPanel(
      tile(
        { id: 4, title: 'Time to drain', description: 'Of the spool that takes longest, at its present pace.' },
        { query: newestOfAll(SPOOLS, 'drain_seconds', 'max'), unit: 's', steps: limits('agent_health', 'drain_seconds', 'text') },
        'backlog',
      ),
    )
    .withPanel(
      tile(
        { id: 5, title: 'Fullest spool', description: 'Of its budget. When it is full, something is lost or held back.' },
        {
          query: newestOfAll(SPOOLS, 'spool_used_percent', 'max'),
          ...{ unit: 'percent', decimals: 1, steps: limits('agent_health', 'spool_used_percent', 'text') },
        },
        'spoolFull',
      ),
    )
    .withPanel(
      tile(
        { id: 6, title: 'InfluxDB write', description: 'The newest write of the slowest processor.' },
        {
          query: newestOfAll(['processor_health'], 'influx_write_ms', 'max'),
          ...{ unit: 'ms', steps: limits('processor_health', 'influx_write_ms', 'text') },
        },
        'influxSlow',
      ),
    )

  const stages = (quantile: 'p50' | 'p99', aggregate: 'mean' | 'max'): Lines => [
    ['measured → acknowledged', gaugeOfAll('agent_health', `acknowledged_${quantile}_ms`, aggregate)],
    ['received → forwarded', gaugeOfAll('gateway_health', `forwarded_${quantile}_ms`, aggregate)],
    ['in the stream → stored', gaugeOfAll('processor_health', `stored_${quantile}_ms`, aggregate)],
    ['measured → stored', gaugeOfAll('processor_health', `latency_${quantile}_ms`, aggregate)],
  ]
  const ofProcesses = (
    id: number,
    title: string,
    description: string,
    kind: string,
    field: string,
  ) => chart({ id, title, description, span: 8, height: 6 }, [[BY_PROCESS, gauge([kind], field, 'max')]], { unit: 'ms' })
  dashboard
    .withRow(section(100, 'Latency'))
    .withPanel(
      chart(
        { id: 10, title: 'By stage, p50', description: 'Mean of all processes. Live readings alone.', span: 12, height: 7 },
        stages('p50', 'mean'),
        { unit: 'ms' },
        'backlog',
      ),
    )
    .withPanel(
      chart(
        { id: 11, title: 'By stage, p99', description: 'The slowest process of each stage. Live readings alone.', span: 12, height: 7 },
        stages('p99', 'max'),
        { unit: 'ms' },
        'backlog',
      ),
    )
    .withPanel(ofProcesses(12, 'Measured → acknowledged, p99', 'By agent.', 'agent_health', 'acknowledged_p99_ms'))
    .withPanel(ofProcesses(13, 'Received → forwarded, p99', 'By gateway.', 'gateway_health', 'forwarded_p99_ms'))
    .withPanel(ofProcesses(14, 'In the stream → stored, p99', 'By processor.', 'processor_health', 'stored_p99_ms'))

    .withRow(section(101, 'Throughput and errors'))
    .withPanel(
      chart(
        { id: 20, title: 'Throughput', description: 'Of all agents, gateways and processors.', span: 9, height: 7 },
        [
          ['produced', totalRateQuery('produced')],
          ['received by gateways', growthOfAll('gateway_health', 'readings_received_total')],
          ['stored', totalRateQuery('stored')],
        ],
        { unit: 'short', axisLabel: 'readings/s' },
        'backlog',
      ),
    )
    .withPanel(
      chart(
        { id: 21, title: 'Errors', description: 'What was refused or had to be tried again. None of it is lost.', span: 9, height: 7 },
        [
          ['batches refused', growthOfAll('gateway_health', 'batches_refused_total')],
          ['logins refused', growthOfAll('gateway_health', 'logins_refused_total')],
          ['forwarding tried again', growthOfAll('gateway_health', 'forward_retries_total')],
          ['InfluxDB tried again', growthOfAll('processor_health', 'influx_retries_total')],
          ['readings in dead letters', totalRateQuery('dead_lettered')],
        ],
        { unit: 'short', axisLabel: 'a second' },
        'deadLetters',
      ),
    )
    .withPanel(withRunbook(freshnessTable({ id: 22, title: 'Freshness', span: 6, height: 7 }), 'silent'))

    .withRow(section(102, 'What waits'))
    .withPanel(
      chart(
        { id: 30, title: 'Backlog', description: 'Batches in the spool of an agent or gateway.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(SPOOLS, 'backlog_batches')]],
        { unit: 'short', axisLabel: 'batches' },
        'backlog',
      ),
    )
    .withPanel(
      chart(
        { id: 31, title: 'Time to drain', description: 'Until the backlog is sent, at the present pace.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(SPOOLS, 'drain_seconds')]],
        { unit: 's', ...bands('agent_health', 'drain_seconds') },
        'backlog',
      ),
    )
    .withPanel(
      chart(
        { id: 32, title: 'Waiting in the stream', description: 'For a processor.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(['processor_health'], 'lag_batches')]],
        { unit: 'short', axisLabel: 'batches', ...bands('processor_health', 'lag_batches') },
        'backlog',
      ),
    )

    .withRow(section(103, 'Spools and cards'))
    .withPanel(
      chart(
        { id: 40, title: 'Spool used', description: 'Of its budget.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(SPOOLS, 'spool_used_percent')]],
        { unit: 'percent', softMax: 100, ...bands('agent_health', 'spool_used_percent') },
        'spoolFull',
      ),
    )
    .withPanel(
      chart(
        {
          ...{ id: 41, title: 'Written in a day', span: 8, height: 7 },
          description: 'By a spool at the pace of each minute, its overhead included, that of the file system not.',
        },
        [[BY_PROCESS, writtenADay]],
        { unit: 'decbytes', interval: WEAR_INTERVAL, holeMsMin: 5 * HOLE_MS_MIN },
      ),
    )
    .withPanel(
      cardsTable({
        ...{ id: 42, title: 'Life of the cards', span: 8, height: 7 },
        description:
          'How long a new card with the endurance above lasts at the pace of this time range. The file system writes some more (docs/capacity.md).',
      }),
    )

    .withRow(section(104, 'Machines'))
    .withPanel(
      chart(
        { id: 50, title: 'Offset of the clock', description: "An agent's to its gateway's.", span: 8, height: 7 },
        [[BY_PROCESS, gauge(['agent_health'], 'clock_offset_ms', 'mean')]],
        { unit: 'ms', ...bands('agent_health', 'clock_offset_ms') },
        'clock',
      ),
    )
    .withPanel(
      chart(
        { id: 51, title: 'CPU', description: 'Of one core, by process.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(PROCESSES, 'cpu_percent', 'mean')]],
        { unit: 'percent' },
      ),
    )
    .withPanel(
      chart(
        { id: 52, title: 'Memory', description: 'By process.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(PROCESSES, 'memory_rss_bytes', 'mean')]],
        { unit: 'bytes' },
      ),
    )
    .withPanel(
      chart(
        { id: 53, title: 'InfluxDB write', description: 'How long the newest write of a processor took.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(['processor_health'], 'influx_write_ms', 'max')]],
        { unit: 'ms', ...bands('processor_health', 'influx_write_ms') },
        'influxSlow',
      ),
    )
    .withPanel(
      chart(
        { id: 54, title: 'CPU of the computers', description: 'All cores.', span: 8, height: 7 },
        [[BY_PROCESS, gauge(['host'], 'cpu_percent', 'mean')]],
        { unit: 'percent', softMax: 100, ...bands('host', 'cpu_percent') },
      ),
    )
    .withPanel(
      chart(
        { id: 55, title: 'Memory of the computers', span: 8, height: 7 },
        [[BY_PROCESS, gauge(['host'], 'memory_used_percent', 'mean')]],
        { unit: 'percent', softMax: 100, ...bands('host', 'memory_used_percent') },
      ),
    )
  return finished(dashboard)
}
