/** What the agent counts, a batch at a time. */
import type { Metrics } from '@tributary/runtime'
import type { BatchContent } from './batcher.ts'
import type { AgentStatus } from './status.ts'

export function createAgentMeters(metrics: Metrics) {
  const samples = metrics.counter('agent_samples_total', 'Samples on disk.')
  const readings = metrics.counter('agent_readings_total', 'Readings on disk, dead-lettered ones among them.')
  const batches = metrics.counter('agent_batches_total', 'Batches on disk.')
  const bytes = metrics.counter('agent_batch_bytes_total', 'Bytes of the batches on disk.')
  const sent = metrics.counter('agent_batches_sent_total', 'Batches that the gateway acknowledged.')
  const sentBytes = metrics.counter('agent_bytes_sent_total', 'Bytes of the batches that the gateway acknowledged.')
  const givenUp = metrics.counter(
    'agent_given_up_readings_total',
    'Readings rolled up or shed because the spool was nearly full.',
    ['reason'],
  )
  const refusals = metrics.counter('agent_dead_letters_total', 'What an input had to refuse.', ['input', 'reason'])
  const gauges: [keyof AgentStatus, string, string][] = [
    ['connected', 'agent_connected', '1 while the gateway is connected.'],
    ['backlogBatches', 'agent_backlog_batches', 'Batches that the gateway has not acknowledged.'],
    ['backlogBytes', 'agent_backlog_bytes', 'Their bytes, estimated.'],
    ['drainSeconds', 'agent_drain_seconds', 'Seconds until the backlog is gone at the present pace.'],
    [
      'resentBatches',
      'agent_resent_batches',
      'Batches sent again, because the gateway asked for them or lost its disk.',
    ],
    ['goneBatches', 'agent_gone_batches', 'Batches that the gateway asked for and that are not in the spool any more.'],
    ['repeatedSamples', 'agent_repeated_samples', 'Samples that came again, and were stored once.'],
    ['shedReadings', 'agent_shed_readings', 'Readings shed because the spool was full.'],
  ]
  return {
    batchStored(content: BatchContent, encodedBytes: number) {
      samples.inc(content.sampleCount)
      readings.inc(content.readingCount)
      batches.inc()
      bytes.inc(encodedBytes)
    },
    batchSent(encodedBytes: number) {
      sent.inc()
      sentBytes.inc(encodedBytes)
    },
    givenUp: (reason: string, readings: number) => givenUp.inc({ reason }, readings),
    refused: (input: string, reason: string) => refusals.inc({ input, reason }),
    /** Gauges are read from the status when someone asks. */
    watch(status: () => AgentStatus) {
      const watched = gauges.map(([key, name, help]) => ({ key, gauge: metrics.gauge(name, help) }))
      const first = watched[0]
      if (!first) return
      // One of them is asked first, and sets them all.
      const collecting = first.gauge as unknown as { collect: () => void }
      collecting.collect = () => {
        const now = status()
        for (const { key, gauge } of watched) gauge.set(Number(now[key]))
      }
    },
  }
}
