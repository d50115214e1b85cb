/** What the dashboard of the pipeline's health shows: its tiles, and its charts by section. */
import { totalRateQuery } from './account-queries.ts'
import { growthOfAll } from './growth.ts'
import type { StatOptions, TimeSeriesOptions } from './panels.ts'
import { gauge, gaugeOfAll, newestOfAll, PROCESSES, SPOOLS, writtenADay } from './pipeline-queries.ts'
import type { RunbookSection } from './runbook.ts'

export interface Limited {
  /** Kind and field whose limits in the contract are its thresholds. */
  readonly limits?: readonly [kind: string, field: string]
}
export interface Tile extends Limited, Omit<StatOptions, 'steps'> {
  readonly title: string
  readonly description: string
  readonly runbook: RunbookSection
  /** The same of gateways, where `query` is of agents: both numbers are shown. */
  readonly atGateways?: string
}
export interface Chart extends Limited, Omit<TimeSeriesOptions, 'targets' | 'bands'> {
  readonly title: string
  readonly description?: string
  readonly span?: number
  readonly height?: number
  readonly lines: Lines
  readonly runbook?: RunbookSection
}
type Lines = readonly (readonly [alias: string, query: string])[]

/** Over less, what a spool writes comes in lumps. */
const WEAR = { interval: '1m', holeMsMin: 300_000 }

export const tiles: readonly Tile[] = [
  {
    title: 'Measured to stored',
    description: 'p99 of live readings, of the slowest processor.',
    query: gaugeOfAll('processor_health', 'latency_p99_ms', 'max'),
    unit: 'ms',
    sparkline: true,
    limits: ['processor_health', 'latency_p99_ms'],
    runbook: 'backlog',
  },
  {
    title: 'Readings a second',
    description: 'Stored in InfluxDB.',
    query: totalRateQuery('stored'),
    decimals: 0,
    sparkline: true,
    runbook: 'backlog',
  },
  {
    title: 'Backlog',
    description: 'Batches that wait in the spools of agents and gateways.',
    query: newestOfAll('agent_health', 'backlog_batches', 'sum'),
    atGateways: newestOfAll('gateway_health', 'backlog_batches', 'sum'),
    unit: 'locale',
    runbook: 'backlog',
  },
  {
    title: 'Time to drain',
    description: 'Of the spool that takes longest, at its present pace.',
    query: newestOfAll('agent_health', 'drain_seconds', 'max'),
    atGateways: newestOfAll('gateway_health', 'drain_seconds', 'max'),
    unit: 's',
    limits: ['agent_health', 'drain_seconds'],
    runbook: 'backlog',
  },
  {
    title: 'Fullest spool',
    description: 'Of its budget. A full one holds devices back, or loses what they measure.',
    query: newestOfAll('agent_health', 'spool_used_percent', 'max'),
    atGateways: newestOfAll('gateway_health', 'spool_used_percent', 'max'),
    unit: 'percent',
    decimals: 1,
    limits: ['agent_health', 'spool_used_percent'],
    runbook: 'spoolFull',
  },
  {
    title: 'InfluxDB write',
    description: 'The newest write of the slowest processor.',
    query: newestOfAll('processor_health', 'influx_write_ms', 'max'),
    unit: 'ms',
    limits: ['processor_health', 'influx_write_ms'],
    runbook: 'influxSlow',
  },
]

const stages = (quantile: 'p50' | 'p99', aggregate: 'mean' | 'max'): Lines => [
  ['measured → acknowledged', gaugeOfAll('agent_health', `acknowledged_${quantile}_ms`, aggregate)],
  ['received → forwarded', gaugeOfAll('gateway_health', `forwarded_${quantile}_ms`, aggregate)],
  ['in the stream → stored', gaugeOfAll('processor_health', `stored_${quantile}_ms`, aggregate)],
  ['measured → stored', gaugeOfAll('processor_health', `latency_${quantile}_ms`, aggregate)],
]
/** Of each process a line. */
const each = (kinds: readonly string[], field: string, aggregate?: 'last' | 'max' | 'mean'): Lines => [
  ['$tag_device', gauge(kinds, field, aggregate)],
]
const slowest = (title: string, kind: string, stage: string): Chart => ({
  title: `${title}, p99`,
  unit: 'ms',
  height: 6,
  lines: each([kind], `${stage}_p99_ms`, 'max'),
})

export const chartSections: readonly { readonly title: string; readonly charts: readonly Chart[] }[] = [
  {
    title: 'Latency of live readings',
    charts: [
      {
        ...{ title: 'By stage, p50', description: 'Mean of all processes of a stage.', span: 12, unit: 'ms' },
        ...{ lines: stages('p50', 'mean'), runbook: 'backlog' },
      },
      {
        ...{ title: 'By stage, p99', description: 'The slowest process of a stage.', span: 12, unit: 'ms' },
        ...{ lines: stages('p99', 'max'), runbook: 'backlog' },
      },
      slowest('Agents: measured → acknowledged', 'agent_health', 'acknowledged'),
      slowest('Gateways: received → forwarded', 'gateway_health', 'forwarded'),
      slowest('Processors: in the stream → stored', 'processor_health', 'stored'),
    ],
  },
  {
    title: 'Throughput and errors',
    charts: [
      {
        ...{ title: 'Throughput', span: 9, unit: 'short', axisLabel: 'readings/s', runbook: 'backlog' },
        lines: [
          ['produced', totalRateQuery('produced')],
          ['received by gateways', growthOfAll('gateway_health', 'readings_received_total')],
          ['stored', totalRateQuery('stored')],
        ],
      },
      {
        ...{ title: 'Errors', span: 9, unit: 'short', axisLabel: 'a second', runbook: 'deadLetters' },
        description: 'What was refused, or had to be tried again.',
        lines: [
          ['batches refused', growthOfAll('gateway_health', 'batches_refused_total')],
          ['logins refused', growthOfAll('gateway_health', 'logins_refused_total')],
          ['forwarding tried again', growthOfAll('gateway_health', 'forward_retries_total')],
          ['InfluxDB tried again', growthOfAll('processor_health', 'influx_retries_total')],
          ['readings dead-lettered', totalRateQuery('dead_lettered')],
        ],
      },
    ],
  },
  {
    title: 'What waits',
    charts: [
      {
        ...{
          title: 'Backlog',
          description: 'In the spool of an agent or gateway.',
          unit: 'short',
          axisLabel: 'batches',
        },
        ...{ lines: each(SPOOLS, 'backlog_batches'), runbook: 'backlog' },
      },
      {
        ...{ title: 'Time to drain', description: 'Until the backlog is sent, at the present pace.', unit: 's' },
        ...{ lines: each(SPOOLS, 'drain_seconds'), limits: ['agent_health', 'drain_seconds'], runbook: 'backlog' },
      },
      {
        ...{ title: 'In the stream', description: 'For a processor.', unit: 'short', axisLabel: 'batches' },
        ...{ lines: each(['processor_health'], 'lag_batches'), limits: ['processor_health', 'lag_batches'] },
        runbook: 'backlog',
      },
    ],
  },
  {
    title: 'Spools and cards',
    charts: [
      {
        ...{ title: 'Spool used', description: 'Of its budget.', unit: 'percent', softMax: 100, runbook: 'spoolFull' },
        ...{ lines: each(SPOOLS, 'spool_used_percent'), limits: ['agent_health', 'spool_used_percent'] },
      },
      {
        ...{ title: 'Written in a day', unit: 'decbytes', lines: [['$tag_device', writtenADay]], ...WEAR },
        description: 'By a spool at the pace of each minute, its overhead included, that of the file system not.',
      },
    ],
  },
  {
    title: 'Machines',
    charts: [
      {
        ...{ title: 'Offset of the clock', description: "An agent's to its gateway's.", unit: 'ms', runbook: 'clock' },
        ...{ lines: each(['agent_health'], 'clock_offset_ms', 'mean'), limits: ['agent_health', 'clock_offset_ms'] },
      },
      {
        ...{ title: 'CPU of the processes', description: 'Of one core.', unit: 'percent' },
        lines: each(PROCESSES, 'cpu_percent', 'mean'),
      },
      { title: 'Memory of the processes', unit: 'bytes', lines: each(PROCESSES, 'memory_rss_bytes', 'mean') },
      {
        ...{ title: 'InfluxDB write', description: 'The newest of a processor.', unit: 'ms', runbook: 'influxSlow' },
        ...{
          lines: each(['processor_health'], 'influx_write_ms', 'max'),
          limits: ['processor_health', 'influx_write_ms'],
        },
      },
      {
        ...{
          title: 'CPU of the computers',
          runbook: 'computer',
          description: 'All cores.',
          unit: 'percent',
          softMax: 100,
        },
        lines: each(['host'], 'cpu_percent', 'mean'),
      },
      {
        ...{ title: 'Memory of the computers', unit: 'percent', softMax: 100, runbook: 'computer' },
        ...{ lines: each(['host'], 'memory_used_percent', 'mean'), limits: ['host', 'memory_used_percent'] },
      },
    ],
  },
]
