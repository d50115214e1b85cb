/**
 * What Grafana watches on the pipeline itself: a second pair of eyes, which go on when the processor and its notifiers
 * do not. Sensors are the processor's own matter (docs/alerts.md); nothing here looks at one.
 *
 * A dead link is not a dead sensor, and a dead store is not a thousand dead agents: a rule looks for something bad that was
 * written, so what is absent is well (`noDataState: OK`). One rule stands for silence: that of the processor. Agents and gateways
 * are silent only while a processor speaks.
 */

import type { RunbookSection } from './runbook.ts'

export type Reducer = 'last' | 'min'
export type Evaluator =
  | { readonly type: 'gt' | 'lt'; readonly params: readonly [number] }
  | { readonly type: 'outside_range'; readonly params: readonly [number, number] }

export interface PipelineRule {
  /** 40 characters at most; part of bookmarks and silences. */
  readonly uid: string
  readonly title: string
  readonly group: 'agents' | 'gateways' | 'processors' | 'account'
  readonly severity: 'critical' | 'warning'
  /** InfluxQL; one number or series of numbers for each that the alert is about, by its tags. */
  readonly query: string
  /** What `$timeFilter` covers. */
  readonly rangeSeconds: number
  readonly reducer: Reducer
  readonly evaluator: Evaluator
  /** Fires only while this has a point, and one above 0. */
  readonly onlyWhile?: string
  /** For so long the condition must hold. */
  readonly holds: string
  readonly noDataState: 'OK' | 'Alerting'
  /** What is wrong and what to do, in Go's template language. `$labels` would do, `.Labels` does in every version. */
  readonly summary: string
  readonly runbook: RunbookSection
}

const MINUTE = 60
const DAY = 86_400
/** Whoever was heard of in this time is missed. As long as the processor tells of an agent that it was given up. */
const MISSED_FOR = 7 * DAY
const BY_DEVICE = 'GROUP BY "site", "device"'
const WHO = '{{ .Labels.device }} at {{ .Labels.site }}'
const VALUE = (format: string) => `{{ printf "${format}" .Values.B.Value }}`

/** Samples of the last five minutes of each process; 0 of one that was heard of before, within the range. */
const heardQuery = (kind: string): string =>
  `SELECT sum("heard") AS "heard" FROM (SELECT count("uptime_s") AS "heard" FROM "${kind}" WHERE time > now() - 5m ${BY_DEVICE}), ` +
  `(SELECT last("uptime_s") * 0 AS "heard" FROM "${kind}" WHERE $timeFilter ${BY_DEVICE}) WHERE $timeFilter ${BY_DEVICE}`
const A_PROCESSOR_SPEAKS = 'SELECT count("uptime_s") AS "heard" FROM "processor_health" WHERE time > now() - 5m'

const gauge = (kind: string, field: string, aggregate: 'min' | 'mean' | 'median') =>
  `SELECT ${aggregate}("${field}") AS "value" FROM "${kind}" WHERE $timeFilter ${BY_DEVICE}`

const silent = (group: 'agents' | 'gateways', kind: string, who: string): PipelineRule => ({
  uid: `tributary-${who}-silent`,
  title: `${who === 'agent' ? 'Agent' : 'Gateway'} silent`,
  group,
  severity: 'critical',
  query: heardQuery(kind),
  rangeSeconds: MISSED_FOR,
  reducer: 'last',
  evaluator: { type: 'lt', params: [1] },
  onlyWhile: A_PROCESSOR_SPEAKS,
  holds: '2m',
  noDataState: 'OK',
  summary:
    `Nothing was stored of ${who} ${WHO} for 5 minutes. Its readings wait in its spool; they are not lost. ` +
    `On that machine: systemctl status tributary-${who}, then its log.`,
  runbook: 'silent',
})

const backlog = (group: 'agents' | 'gateways', kind: string, who: string): PipelineRule => ({
  uid: `tributary-${who}-backlog`,
  title: `Backlog of ${who === 'agent' ? 'an agent' : 'a gateway'} does not drain`,
  group,
  severity: 'warning',
  query: gauge(kind, 'drain_seconds', 'min'),
  rangeSeconds: 15 * MINUTE,
  reducer: 'last',
  evaluator: { type: 'gt', params: [900] },
  holds: '0s',
  noDataState: 'OK',
  summary:
    `The backlog of ${who} ${WHO} would have taken ${VALUE('%.0f')} s or more to drain throughout the last 15 minutes. ` +
    'Nothing is lost. tributary status: find the first hop that does not pass on.',
  runbook: 'backlog',
})

const spool = (
  group: 'agents' | 'gateways',
  kind: string,
  who: string,
  percent: number,
  severity: 'critical' | 'warning',
): PipelineRule => ({
  uid: `tributary-${who}-spool-${percent}`,
  title: `Spool of ${who === 'agent' ? 'an agent' : 'a gateway'} above ${percent} %`,
  group,
  severity,
  query: gauge(kind, 'spool_used_percent', 'min'),
  rangeSeconds: 2 * MINUTE,
  reducer: 'last',
  evaluator: { type: 'gt', params: [percent] },
  holds: '0s',
  noDataState: 'OK',
  summary:
    `The spool of ${who} ${WHO} is ${VALUE('%.0f')} % full. ` +
    (who === 'agent'
      ? 'When it is full, readings of devices that wait for no acknowledgement are lost. '
      : 'When it is full, agents keep their batches, and their spools fill. ') +
    'Bring back what is behind it, or raise spool.budget.',
  runbook: 'spoolFull',
})

export const pipelineRules: readonly PipelineRule[] = [
  silent('agents', 'agent_health', 'agent'),
  backlog('agents', 'agent_health', 'agent'),
  spool('agents', 'agent_health', 'agent', 80, 'warning'),
  spool('agents', 'agent_health', 'agent', 95, 'critical'),
  {
    uid: 'tributary-inputs-down',
    title: 'Input of an agent down',
    group: 'agents',
    severity: 'warning',
    query: gauge('agent_health', 'inputs_down', 'min'),
    rangeSeconds: 5 * MINUTE,
    reducer: 'last',
    evaluator: { type: 'gt', params: [0] },
    holds: '0s',
    noDataState: 'OK',
    summary: `${VALUE('%.0f')} inputs of agent ${WHO} have been down for 5 minutes. tributary status on that machine says which and why.`,
    runbook: 'inputs',
  },
  {
    uid: 'tributary-clock-off',
    title: 'Clock of an agent off',
    group: 'agents',
    severity: 'warning',
    query: gauge('agent_health', 'clock_offset_ms', 'median'),
    rangeSeconds: 10 * MINUTE,
    reducer: 'last',
    evaluator: { type: 'outside_range', params: [-5_000, 5_000] },
    holds: '0s',
    noDataState: 'OK',
    summary: `The clock of agent ${WHO} is ${VALUE('%+.0f')} ms off its gateway's. Readings keep their times; see who sets that clock: timedatectl.`,
    runbook: 'clock',
  },
  {
    uid: 'tributary-clock-not-trusted',
    title: 'Clock of an agent not trusted',
    group: 'agents',
    severity: 'warning',
    query: `SELECT count("uptime_s") AS "value" FROM "agent_health" WHERE $timeFilter AND "clock_trusted" = false ${BY_DEVICE}`,
    rangeSeconds: 10 * MINUTE,
    reducer: 'last',
    // Of sixty: more than half of the time.
    evaluator: { type: 'gt', params: [30] },
    holds: '0s',
    noDataState: 'OK',
    summary: `Nobody has vouched for the clock of agent ${WHO} for most of 10 minutes: its readings are held, or sent marked as untrusted. Is a time server within reach of it or its gateway?`,
    runbook: 'clock',
  },
  silent('gateways', 'gateway_health', 'gateway'),
  backlog('gateways', 'gateway_health', 'gateway'),
  spool('gateways', 'gateway_health', 'gateway', 80, 'warning'),
  spool('gateways', 'gateway_health', 'gateway', 95, 'critical'),
  {
    uid: 'tributary-processor-silent',
    title: 'Processor silent',
    group: 'processors',
    severity: 'critical',
    query: heardQuery('processor_health'),
    rangeSeconds: DAY,
    reducer: 'last',
    evaluator: { type: 'lt', params: [1] },
    holds: '2m',
    noDataState: 'Alerting',
    summary:
      'No word of {{ with .Labels.device }}processor {{ . }}{{ else }}any processor{{ end }} was stored for 5 minutes: its partitions are not worked on, or InfluxDB takes no writes. ' +
      'Nothing is lost, it waits in NATS and in the spools; but no alert of a sensor reaches anybody. Ask its /readyz.',
    runbook: 'processor',
  },
  {
    uid: 'tributary-processor-behind',
    title: 'Processor behind',
    group: 'processors',
    severity: 'warning',
    query: gauge('processor_health', 'lag_batches', 'min'),
    rangeSeconds: 10 * MINUTE,
    reducer: 'last',
    evaluator: { type: 'gt', params: [1_000] },
    holds: '0s',
    noDataState: 'OK',
    summary: `${VALUE('%.0f')} batches or more have waited in the stream for processor {{ .Labels.device }} for 10 minutes. InfluxDB is slow, or the processor has too little CPU: tributary_influx_ok, then its machine.`,
    runbook: 'backlog',
  },
  {
    uid: 'tributary-influxdb-slow',
    title: 'InfluxDB slow',
    group: 'processors',
    severity: 'warning',
    query: gauge('processor_health', 'influx_write_ms', 'mean'),
    rangeSeconds: 10 * MINUTE,
    reducer: 'last',
    evaluator: { type: 'gt', params: [5_000] },
    holds: '0s',
    noDataState: 'OK',
    summary: `A write of processor {{ .Labels.device }} to InfluxDB has taken ${VALUE('%.0f')} ms on average for 10 minutes. Look at the disk and memory of InfluxDB, and at who else asks it.`,
    runbook: 'influxSlow',
  },
  {
    uid: 'tributary-receivers-failing',
    title: 'Receiver takes no notifications',
    group: 'processors',
    severity: 'critical',
    query: gauge('processor_health', 'receivers_failing', 'min'),
    rangeSeconds: 5 * MINUTE,
    reducer: 'last',
    evaluator: { type: 'gt', params: [0] },
    holds: '0s',
    noDataState: 'OK',
    summary: `${VALUE('%.0f')} receivers take no notifications of processor {{ .Labels.device }}: somebody is not told of alerts. failingReceivers in its /status says which and why.`,
    runbook: 'notTold',
  },
  {
    uid: 'tributary-readings-missing',
    title: 'Readings missing',
    group: 'account',
    severity: 'critical',
    query: `SELECT last("missing") AS "value" FROM "account" WHERE $timeFilter ${BY_DEVICE}`,
    rangeSeconds: 30 * DAY,
    reducer: 'last',
    evaluator: { type: 'gt', params: [0] },
    holds: '0s',
    noDataState: 'OK',
    summary: `${VALUE('%.0f')} readings of agent ${WHO} were announced and did not arrive. This may be loss: tributary ledger names the gap.`,
    runbook: 'missing',
  },
  {
    uid: 'tributary-dead-letters',
    title: 'Dead letters grow',
    group: 'account',
    severity: 'warning',
    // Minutes in which something was refused: a burst of noise on a line is none of ten.
    query:
      `SELECT count("new") AS "value" FROM (SELECT non_negative_difference(last("dead_lettered")) AS "new" FROM "account" ` +
      `WHERE $timeFilter GROUP BY time(1m), "site", "device" fill(none)) WHERE $timeFilter AND "new" > 0 ${BY_DEVICE}`,
    rangeSeconds: 15 * MINUTE,
    reducer: 'last',
    evaluator: { type: 'gt', params: [9] },
    holds: '0s',
    noDataState: 'OK',
    summary: `Readings of agent ${WHO} were refused in ${VALUE('%.0f')} of the last 15 minutes. They are kept: tributary dlq list --agent {{ .Labels.device }} says why.`,
    runbook: 'deadLetters',
  },
  {
    uid: 'tributary-lines-refused',
    title: 'InfluxDB refuses lines',
    group: 'account',
    severity: 'warning',
    query:
      `SELECT last("letters") AS "value" FROM "dead_letter" WHERE $timeFilter AND "stage" = 'store' AND "reason" <> 'dropped' ` +
      'GROUP BY "site", "device", "reason"',
    rangeSeconds: 30 * DAY,
    reducer: 'last',
    evaluator: { type: 'gt', params: [0] },
    holds: '0s',
    noDataState: 'OK',
    summary: `InfluxDB refused ${VALUE('%.0f')} lines of agent ${WHO} ({{ .Labels.reason }}). They wait as dead letters: mend, then tributary dlq requeue --stage store.`,
    runbook: 'linesRefused',
  },
  {
    uid: 'tributary-shed',
    title: 'Readings shed',
    group: 'account',
    severity: 'critical',
    query:
      `SELECT sum("new") AS "value" FROM (SELECT non_negative_difference(last("readings")) AS "new" FROM "shed" WHERE $timeFilter ` +
      `AND "reason" <> 'sensitive' GROUP BY time(1m), "site", "device", "reason" fill(none)) WHERE $timeFilter GROUP BY "site", "device", "reason"`,
    rangeSeconds: 15 * MINUTE,
    reducer: 'last',
    evaluator: { type: 'gt', params: [0] },
    holds: '0s',
    noDataState: 'OK',
    summary: `${VALUE('%.0f')} readings of agent ${WHO} were given up in 15 minutes ({{ .Labels.reason }}): its spool is full. Bring back what is behind it, or give it room.`,
    runbook: 'spoolFull',
  },
]
