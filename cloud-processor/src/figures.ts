/** What the processor says of itself: `/status`, `/account`, metrics, and its health as a kind. */
import { type Clock, createLatencies, Gauge, type Metrics, VERSION } from '@tributary/runtime'
import { type Account, type AgentAccount, totalAccount } from './account.ts'
import type { AlertEngine, Episode } from './alerts/index.ts'
import type { ContractSource } from './contract-source.ts'
import type { DeviceRegistry } from './device-registry.ts'
import type { StoredAges } from './effect-writer.ts'
import type { HealthValues } from './health.ts'
import type { InfluxSink } from './influx-sink.ts'
import type { PartitionLoop } from './loop.ts'
import type { Outbox, ReceiverWatch } from './notifiers/index.ts'
import type { RepairList } from './repair-list.ts'
import type { Repairer } from './repairer.ts'
import { type DirtyWindow, openWindowCount, type PartitionState, type RecordedAnomaly } from './state.ts'

const DIRTY_LISTED_MAX = 10_000

export interface Partition {
  readonly loop: PartitionLoop
  readonly outbox: Outbox
  readonly repairs: RepairList
  /** Messages of the stream that wait. */
  pending(): number
  disconnected(): void
  reconnected(): void
}

export interface Figures {
  status(natsConnected: boolean): object
  /** With the version of the contracts by which new batches are judged. */
  account(): Account & { readonly contractsVersion: string }
  /** Windows that the store must recompute; at most so many are listed. */
  dirty(): { windows: DirtyWindow[]; count: number }
  openAlerts(): Episode[]
  /** The newest hundred. */
  anomalies(): RecordedAnomaly[]
  /** Rates are over the time since the last call. */
  health(): HealthValues
  readonly onStored: (readings: number, ages: StoredAges) => void
}

export function createFigures(
  processor: string,
  partitions: () => readonly Partition[],
  {
    contracts,
    engine,
    repairer,
    sink,
    clock,
    metrics,
    registry,
    receivers,
  }: {
    contracts: ContractSource
    engine: () => AlertEngine
    repairer: () => Repairer | undefined
    sink: InfluxSink
    clock: Clock
    metrics: Metrics
    registry: Pick<DeviceRegistry, 'status'>
    receivers: Pick<ReceiverWatch, 'failing'>
  },
): Figures {
  const startedAtMs = clock.monotonicMs()
  const latencies = createLatencies()
  const inStream = createLatencies()
  const storedReadings = metrics.counter('readings_stored_total', 'Readings stored since the process started.')
  const uptimeSeconds = () => Math.floor((clock.monotonicMs() - startedAtMs) / 1000)
  const states = () => partitions().map(({ loop }) => loop.state)
  const sumOf = (pick: (state: PartitionState) => number) => states().reduce((sum, state) => sum + pick(state), 0)
  const account = () => ({
    contractsVersion: contracts.current.version,
    ...totalAccount(partitions().flatMap(({ loop }) => loop.account())),
  })
  const openAlerts = () => states().flatMap(({ alerts }) => engine().open(alerts))
  const lag = () => partitions().reduce((sum, { pending }) => sum + pending(), 0)
  const waitingNotifications = () =>
    sumOf(({ outbox }) => Object.values(outbox.queues).reduce((sum, queue) => sum + queue.length, 0))
  const totals = {
    readings: () => sumOf(({ counters }) => counters.readings),
    deadLetters: () => sumOf(({ counters }) => counters.deadLetters),
    anomalies: () => sumOf(({ counters }) => counters.anomalies),
    windows: () => sumOf(({ counters }) => counters.windowsWritten),
    series: () => sumOf((state) => state.seriesCount),
    dirty: () => partitions().reduce((sum, { loop, repairs }) => sum + dirtyIn(loop.state) + repairs.writing, 0),
    repaired: () => sumOf(({ counters }) => counters.windowsRepaired),
    kept: () => sumOf(({ counters }) => counters.windowsKept),
    flagged: () => sumOf((state) => Object.values(state.contracts.flagged).reduce((sum, count) => sum + count, 0)),
    drifts: () => sumOf((state) => state.contracts.driftCount),
    peersBeyond: () => sumOf(({ counters }) => counters.peersBeyond),
    lateBeyondMemory: () => sumOf(({ counters }) => counters.lateBeyondMemory),
  }
  const oldestDirtySeconds = () =>
    Math.round(Math.max(0, ...partitions().map(({ repairs }) => repairs.oldestWaitMs)) / 1000)
  exportGauges(metrics, {
    lag_batches: ['Batches that wait in the stream.', lag],
    dead_letters: ['Dead letters since the state was new.', totals.deadLetters],
    anomalies: ['Anomalies since the state was new.', totals.anomalies],
    windows_written: ['Windows written since the state was new.', totals.windows],
    series: ['Series in memory.', totals.series],
    dirty_windows: ['Windows to be recomputed from the store.', totals.dirty],
    dirty_oldest_seconds: ['For how long a window has been waiting to be recomputed.', oldestDirtySeconds],
    windows_repaired: ['Windows recomputed from the store since the state was new.', totals.repaired],
    windows_kept: ['Dirty windows whose row in the store stands.', totals.kept],
    late_beyond_memory_readings: ['Readings too late for their window, stored raw.', totals.lateBeyondMemory],
    peers_beyond_windows: ['Windows of devices beyond those that are compared with their peers.', totals.peersBeyond],
    flagged_readings: ['Readings stored and marked by a contract since the state was new.', totals.flagged],
    schema_drifts: ['New, changed and vanished fields told since the state was new.', totals.drifts],
    contract_reloads: ['Contracts read again since the process started.', () => contracts.reloads],
    contract_refusals: ['Changed contracts refused since the process started.', () => contracts.refusals],
    contracts_ok: ['1 while the contracts in force are those in the folder.', () => (contracts.fault ? 0 : 1)],
    lines_written: ['Lines that InfluxDB took since the process started.', () => sink.linesWritten],
    influx_retries: ['Writes tried again since the process started.', () => sink.retries],
    influx_ok: ['1 while InfluxDB takes writes.', () => (sink.status().ok ? 1 : 0)],
    notifications_waiting: ['Notifications not yet delivered.', waitingNotifications],
    alerts_open: ['Pending and firing alerts.', () => openAlerts().length],
    readings_missing: ['Readings in gaps that did not close in time.', () => account().total.missing],
    gaps_open: ["Gaps in agents' sequences.", () => account().agents.reduce((sum, { gaps }) => sum + gaps.length, 0)],
    agents_waiting: [
      'Agents whose newest batch said that a backlog waits.',
      () => account().agents.filter(({ waiting }) => waiting !== null).length,
    ],
    readings_in_flight: [
      'Readings that agents have produced and that have not arrived.',
      () => account().total.inFlight,
    ],
  })
  let before = { readings: 0, cpu: process.cpuUsage(), atMs: clock.monotonicMs(), fresh: true }

  return {
    account,
    dirty: () => ({
      windows: states()
        .flatMap(({ dirty }) => [...dirty.values()])
        .slice(0, DIRTY_LISTED_MAX),
      count: totals.dirty(),
    }),
    openAlerts,
    onStored(readings, { measuredMs, inStreamMs }) {
      storedReadings.inc(readings)
      for (const ageMs of measuredMs) latencies.add(ageMs)
      for (const ageMs of inStreamMs) inStream.add(ageMs)
    },
    anomalies: () =>
      states()
        .flatMap(({ anomalies }) => anomalies)
        .sort((a, b) => b.timeMs - a.timeMs)
        .slice(0, 100),
    status: (natsConnected) => ({
      processor,
      version: VERSION,
      uptimeSeconds: uptimeSeconds(),
      natsConnected,
      influx: sink.status(),
      registry: registry.status(),
      contracts: contractsStatus(contracts, states()),
      partitions: partitions().map(({ loop, pending }) => ({
        partition: loop.partition,
        pending: pending(),
        streamSequence: loop.state.streamSequence,
        agents: loop.state.agents.size,
        series: loop.state.seriesCount,
        gaps: gapsOfPartition(loop.account()),
        contracts: loop.state.contracts.version,
        dirtyWindows: dirtyIn(loop.state),
        checkpointMs: Math.round(loop.checkpoint.lastMs * 10) / 10,
        checkpointBytes: loop.checkpoint.lastBytes,
      })),
      readingsTotal: totals.readings(),
      linesWritten: sink.linesWritten,
      deadLetters: totals.deadLetters(),
      windows: totals.windows(),
      repair: {
        waiting: totals.dirty(),
        oldestSeconds: oldestDirtySeconds(),
        repaired: totals.repaired(),
        kept: totals.kept(),
        lastBatchMs: Math.round(repairer()?.lastBatchMs ?? 0),
        error: repairer()?.error ?? null,
      },
      lateBeyondMemory: totals.lateBeyondMemory(),
      anomalies: totals.anomalies(),
      openAlerts: openAlerts().length,
      series: totals.series(),
      latencyMs: { p50: latencies.quantile(0.5) ?? null, p99: latencies.quantile(0.99) ?? null },
      notifications: partitions().flatMap(({ outbox }) => outbox.status()),
      failingReceivers: receivers.failing(),
    }),
    health() {
      const atMs = clock.monotonicMs()
      const readings = totals.readings()
      const seconds = Math.max(0.001, (atMs - before.atMs) / 1000)
      const used = process.cpuUsage(before.cpu)
      const perSecond = before.fresh ? 0 : Math.max(0, readings - before.readings) / seconds
      const cpuPercent = (used.user + used.system) / 1e4 / seconds
      before = { readings, cpu: process.cpuUsage(), atMs, fresh: false }
      const stored = inStream.take()
      return {
        readings_stored_total: readings,
        readings_per_s: perSecond,
        batches_stored_total: sumOf(({ counters }) => counters.batches - counters.duplicates),
        batches_repeated_total: sumOf(({ counters }) => counters.duplicates),
        batches_missing: account().agents.reduce(
          (sum, { gaps }) => sum + gaps.reduce((batches, gap) => batches + gap.toSequence - gap.fromSequence + 1, 0),
          0,
        ),
        dead_letters_total: totals.deadLetters(),
        dead_letter_readings_total: sumOf(({ counters }) => counters.deadLetterReadings),
        readings_late_total: sumOf(({ counters }) => counters.late + counters.lateBeyondMemory),
        lag_batches: lag(),
        latency_p50_ms: latencies.quantile(0.5),
        latency_p99_ms: latencies.quantile(0.99),
        stored_p50_ms: stored.p50,
        stored_p99_ms: stored.p99,
        influx_write_ms: sink.lastWriteMs,
        influx_retries_total: sink.retries,
        checkpoint_ms: Math.max(0, ...partitions().map(({ loop }) => loop.checkpoint.lastMs)),
        checkpoint_bytes: partitions().reduce((sum, { loop }) => sum + loop.checkpoint.lastBytes, 0),
        series_count: totals.series(),
        windows_open: sumOf(openWindowCount),
        windows_written_total: totals.windows(),
        windows_revised_total: sumOf(({ counters }) => counters.windowsRevised),
        anomalies_total: totals.anomalies(),
        alerts_open: openAlerts().length,
        notifications_sent_total: sumOf(({ outbox }) =>
          Object.values(outbox.counts).reduce((sum, { delivered }) => sum + delivered, 0),
        ),
        notifications_waiting: waitingNotifications(),
        receivers_failing: receivers.failing().length,
        memory_rss_bytes: process.memoryUsage.rss(),
        cpu_percent: cpuPercent,
        uptime_s: uptimeSeconds(),
        version: VERSION,
      }
    },
  }
}

/** A stretch of time counts as one. */
const dirtyIn = ({ dirty, dirtySpans, dirtyOverflow }: PartitionState): number =>
  dirty.size + dirtySpans.size + dirtyOverflow
const DRIFTS_LISTED_MAX = 100

function contractsStatus({ current, reloads, refusals, fault }: ContractSource, states: readonly PartitionState[]) {
  const flagged: Record<string, number> = {}
  for (const { contracts } of states)
    for (const [reason, count] of Object.entries(contracts.flagged)) flagged[reason] = (flagged[reason] ?? 0) + count
  return {
    version: current.version,
    kinds: [...current.contracts.values()].map(({ kind, version }) => ({ kind, version })),
    reloads,
    refusals,
    fault: fault ?? null,
    flagged,
    drifts: states.reduce((sum, { contracts }) => sum + contracts.driftCount, 0),
    newestDrifts: states
      .flatMap(({ contracts }) => contracts.drifts)
      .sort((a, b) => b.timeMs - a.timeMs)
      .slice(0, DRIFTS_LISTED_MAX),
  }
}

/** Gaps, and how often they were asked for. Those of an agent that says where its batches are stand beside them. */
function gapsOfPartition(agents: readonly AgentAccount[]) {
  const gaps = agents.flatMap((agent) => agent.gaps)
  return {
    open: gaps.length,
    missing: gaps.filter(({ missing }) => missing).length,
    requested: gaps.reduce((sum, { requested }) => sum + requested, 0),
    agentsWaiting: agents.filter(({ waiting }) => waiting !== null).length,
  }
}

function exportGauges(
  metrics: Metrics,
  gauges: Readonly<Record<string, readonly [help: string, read: () => number]>>,
): void {
  for (const [name, [help, read]] of Object.entries(gauges))
    new Gauge({
      name: `tributary_${name}`,
      help,
      registers: [metrics.registry],
      collect() {
        this.set(read())
      },
    })
}
