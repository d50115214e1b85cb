/** What `/status` answers, and what the health samples say. */

import type { Clock, Metrics, Stage } from '@tributary/runtime'
import { VERSION } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'
import type { Admission } from './admission.ts'
import type { Broker } from './broker.ts'
import type { GatewayConfig } from './config.ts'
import type { Forwarder } from './forwarder.ts'
import type { HealthSample } from './health.ts'
import type { Marks } from './marks.ts'
import type { NatsLink } from './nats-link.ts'
import type { Refusals } from './refusals.ts'
import type { Resend } from './resend.ts'
import type { Stream } from './stream.ts'
import type { StreamPace } from './stream-pace.ts'

export interface AgentStatus {
  readonly agent: string
  readonly connected: boolean
  /** The epoch heard of last. */
  readonly epoch: string
  /** No sequence of the epoch up to here is known to be missing. */
  readonly receivedThrough: number
  readonly storedThrough: number
  /** Since the process started, like the three that follow. */
  readonly batches: number
  readonly readings: number
  readonly repeated: number
  readonly unreadable: number
  readonly lastSeenMs: number
}

/** In one word, the worst of what holds. Draining: more waits than can be on its way at once. */
export type GatewayState = 'live' | 'draining' | 'offline'

export interface GatewayStatus {
  readonly gateway: string
  readonly site: string
  readonly version: string
  readonly uptimeSeconds: number
  readonly state: GatewayState
  readonly natsConnected: boolean
  readonly streamReady: boolean
  readonly spool: {
    readonly epoch: string
    readonly nextSequence: number
    readonly sentThrough: number
    readonly trimmedThrough: number
    readonly bytesUsed: number
    readonly bytesMax: number
    readonly failing: string | null
  }
  /** What JetStream has not confirmed, the time until it is gone, and what may be in flight in each lane. */
  readonly backlog: {
    readonly batches: number
    readonly bytes: number
    readonly drainSeconds: number
    readonly window: { readonly live: number; readonly backlog: number; readonly inFlight: number }
    /** How long a batch waits in the stream; PUBACKs of agents' backlog that are held for it now. */
    readonly streamWaitSeconds: number
    readonly pubacksHeld: number
  }
  readonly forwarded: number
  readonly retries: number
  readonly resent: number
  readonly agents: readonly AgentStatus[]
  /** By reason. */
  readonly refused: Readonly<Record<string, number>>
}

export interface GatewayCondition {
  readonly config: { readonly nats: Pick<GatewayConfig['nats'], 'in_flight'> }
  readonly link: Pick<NatsLink, 'connected'>
  readonly stream: Pick<Stream, 'ready'>
  readonly forwarder: { readonly lanes: Pick<Forwarder['lanes'], 'backlogRecords'> }
}

export interface GatewayParts {
  readonly config: GatewayConfig
  readonly spool: Spool
  readonly admission: Admission
  readonly marks: Marks
  readonly link: NatsLink
  readonly stream: Stream
  readonly pace: StreamPace
  readonly stage: Pick<Stage, 'take'>
  readonly forwarder: Forwarder
  readonly resend: Resend
  readonly broker: Broker
  readonly refusals: Refusals
  readonly clock: Clock
}

export function gatewayStateOf({ config, link, stream, forwarder }: GatewayCondition): GatewayState {
  if (!(link.connected && stream.ready)) return 'offline'
  return forwarder.lanes.backlogRecords > config.nats.in_flight ? 'draining' : 'live'
}

export function createStatus(parts: GatewayParts): () => GatewayStatus {
  const { config, spool, admission, marks, link, stream, pace, forwarder, resend, broker, refusals, clock } = parts
  const startedMs = clock.monotonicMs()
  return () => ({
    gateway: config.gateway,
    site: config.site,
    version: VERSION,
    uptimeSeconds: Math.floor((clock.monotonicMs() - startedMs) / 1_000),
    state: gatewayStateOf(parts),
    natsConnected: link.connected,
    streamReady: stream.ready,
    spool: {
      epoch: spool.epoch,
      nextSequence: spool.nextSequence,
      sentThrough: spool.sentThrough,
      trimmedThrough: spool.trimmedThrough,
      bytesUsed: spool.bytesUsed,
      bytesMax: config.spool.budget,
      failing: admission.failing ?? null,
    },
    backlog: {
      batches: forwarder.lanes.backlogRecords,
      bytes: forwarder.lanes.backlogBytes,
      drainSeconds: forwarder.lanes.drainSeconds,
      window: { live: config.nats.in_flight, backlog: forwarder.lanes.window, inFlight: forwarder.lanes.inFlight },
      streamWaitSeconds: Math.round(pace.waitSeconds * 10) / 10,
      pubacksHeld: pace.held,
    },
    forwarded: forwarder.forwarded,
    retries: forwarder.retries,
    resent: resend.resent,
    agents: [...admission.accounts].map(([agent, account]) => {
      const latest = marks.latest(agent)
      return {
        agent,
        connected: agent === config.gateway || broker.isConnected(agent),
        epoch: latest?.epoch ?? account.epoch,
        receivedThrough: latest?.receivedThrough ?? 0,
        storedThrough: latest?.storedThrough ?? 0,
        batches: account.batches,
        readings: account.readings,
        repeated: account.repeated,
        unreadable: account.unreadable,
        lastSeenMs: account.lastSeenMs,
      }
    }),
    refused: { ...refusals.counts },
  })
}

/** Totals are of all agents but the gateway itself. */
export function createHealthSample(parts: GatewayParts, metrics: Metrics): (epoch: string) => Promise<HealthSample> {
  const { config, spool, admission, link, stage, forwarder, resend, broker, refusals, clock } = parts
  const startedMs = clock.monotonicMs()
  let before = { atMs: startedMs, cpu: process.cpuUsage() }

  return async (epoch) => {
    const accounts = [...admission.accounts].filter(([agent]) => agent !== config.gateway).map(([, account]) => account)
    const total = (of: (account: (typeof accounts)[number]) => number) =>
      accounts.reduce((sum, account) => sum + of(account), 0)
    const now = { atMs: clock.monotonicMs(), cpu: process.cpuUsage() }
    const seconds = (now.atMs - before.atMs) / 1_000
    const cpuSeconds = (now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system) / 1e6
    const first = seconds < 0.5
    before = now
    const toJetStream = stage.take()
    const written = await metrics.registry.getSingleMetric('tributary_spool_bytes_written_total')?.get()
    return {
      state: gatewayStateOf(parts),
      forwarded_p50_ms: toJetStream.p50,
      forwarded_p99_ms: toJetStream.p99,
      agents_connected: broker.agentsConnected,
      batches_received_total: total((account) => account.batches),
      readings_received_total: total((account) => account.readings),
      bytes_received_total: total((account) => account.bytes),
      batches_repeated_total: total((account) => account.repeated),
      batches_refused_total: refusals.count(
        'foreign_agent',
        'foreign_topic',
        'packet_too_large',
        'spool_full',
        'spool_failed',
        'newer_format',
      ),
      logins_refused_total: refusals.count('bad_credentials', 'too_many_clients', 'login_queue_full', 'bad_handshake'),
      nats_connected: link.connected,
      batches_forwarded_total: forwarder.forwarded,
      forward_retries_total: forwarder.retries,
      batches_resent_total: resend.resent,
      backlog_batches: forwarder.lanes.backlogRecords,
      backlog_bytes: forwarder.lanes.backlogBytes,
      drain_seconds: forwarder.lanes.drainSeconds,
      batches_not_stored: Math.max(0, spool.sentThrough - spool.trimmedThrough),
      spool_bytes_used: spool.bytesUsed,
      spool_used_percent: Math.round((spool.bytesUsed / config.spool.budget) * 1_000) / 10,
      spool_bytes_written_total: written?.values[0]?.value,
      dead_letters_total: total((account) => account.unreadable),
      memory_rss_bytes: process.memoryUsage.rss(),
      cpu_percent: first ? undefined : Math.round((cpuSeconds / seconds) * 1_000) / 10,
      uptime_s: Math.floor((now.atMs - startedMs) / 1_000),
      epoch,
      version: VERSION,
    }
  }
}
