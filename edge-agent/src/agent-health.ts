/** The agent's own health as samples of kind `agent_health`, sent along the same path as everything else. */
import { type Clock, every, type Logger, type Metrics, type Service } from '@tributary/runtime'
import type { AcknowledgeStage } from './acknowledge-stage.ts'
import type { BatchWriter } from './batch-writer.ts'
import { emptyDelivery, type FieldValue, readSample } from './sample.ts'
import type { AgentStatus } from './status.ts'
import type { Uplink } from './uplink.ts'

const INTERVAL_MS = 10_000
/** The name under which health stands where inputs do. */
const HEALTH_INPUT = 'agent-health'

export interface AgentHealthDependencies {
  readonly writer: BatchWriter
  readonly uplink: Uplink
  readonly stage: Pick<AcknowledgeStage, 'take'>
  readonly status: () => AgentStatus
  readonly spoolBytesMax: number
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

export function createAgentHealth(dependencies: AgentHealthDependencies): Service {
  const { writer, clock, log } = dependencies
  const stopping = new AbortController()
  let running: Promise<void> | undefined
  return {
    name: 'agent health',
    async start() {
      const measure = createHealthMeter(dependencies)
      const take = async () => {
        try {
          const measured = await measure()
          const delivery = emptyDelivery(clock.wallMs())
          readSample(measured, { device: dependencies.status().agent, kind: 'agent_health' }, delivery)
          if (!writer.accept(HEALTH_INPUT, delivery)) writer.shed(HEALTH_INPUT, delivery)
        } catch (error) {
          log.warn({ err: error }, 'the health of the agent could not be measured; it is tried again')
        }
      }
      running = every(INTERVAL_MS, take, { clock, signal: stopping.signal })
    },
    async stop(signal) {
      stopping.abort(new DOMException('the agent stops', 'AbortError'))
      await running
      await writer.flush(signal).catch(() => undefined)
    },
  }
}

function createHealthMeter({ writer, uplink, stage, status, spoolBytesMax, clock, metrics }: AgentHealthDependencies) {
  let cpuBefore = process.cpuUsage()
  let atBefore = clock.monotonicMs()
  return async (): Promise<Record<string, FieldValue | undefined>> => {
    const now = status()
    const cpu = process.cpuUsage(cpuBefore)
    const elapsedMs = clock.monotonicMs() - atBefore
    cpuBefore = process.cpuUsage()
    atBefore = clock.monotonicMs()
    const acknowledged = stage.take()
    const written = await metrics.registry.getSingleMetric('tributary_spool_bytes_written_total')?.get()
    return {
      state: now.state,
      acknowledged_p50_ms: acknowledged.p50,
      acknowledged_p99_ms: acknowledged.p99,
      readings_produced_total: now.producedReadings,
      samples_total: writer.totals.samples,
      samples_repeated_total: now.repeatedSamples,
      batches_total: now.nextSequence - 1,
      batches_sent_total: now.sentThrough,
      bytes_sent_total: uplink.bytesSent,
      dead_letters_total: now.deadLetters,
      shed_readings_total: now.shedReadings,
      backlog_batches: now.backlogBatches,
      backlog_bytes: now.backlogBytes,
      drain_seconds: now.drainSeconds,
      spool_bytes_used: now.spoolBytesUsed,
      spool_used_percent: Math.round((1_000 * now.spoolBytesUsed) / spoolBytesMax) / 10,
      spool_bytes_written_total: written?.values[0]?.value,
      connected: now.connected,
      reconnects_total: uplink.reconnects,
      inputs_down: now.inputs.filter(({ state }) => state === 'down').length,
      clock_trusted: now.clock.trusted,
      clock_offset_ms: now.clock.offsetMs ?? undefined,
      readings_corrected_total: now.clock.correctedReadings,
      readings_estimated_total: now.clock.estimatedReadings,
      readings_untrusted_total: now.clock.untrustedReadings,
      memory_rss_bytes: process.memoryUsage.rss(),
      cpu_percent: elapsedMs > 0 ? Math.round((cpu.user + cpu.system) / elapsedMs) / 10 : undefined,
      uptime_s: Math.floor(now.uptimeSeconds),
      epoch: now.epoch,
      version: now.version,
    }
  }
}
