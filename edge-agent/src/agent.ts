/** The wiring: the only place that names concrete parts. */
import {
  type Clock,
  createAdminServer,
  createLogger,
  createMetrics,
  EXIT_USER_ERROR,
  type KernelClock,
  type Logger,
  loadConfig,
  type Metrics,
  readKernelClock,
  reportFatal,
  runInOrder,
  runUntilSignal,
  type Service,
  systemClock,
  VERSION,
} from '@tributary/runtime'
import { openSpool, type PumpLane, type Spool } from '@tributary/spool'
import { createAcknowledgeStage } from './acknowledge-stage.ts'
import { createAgentHealth } from './agent-health.ts'
import { agentStateOf } from './agent-state.ts'
import { createBatchWriter } from './batch-writer.ts'
import { bootTimesPath, openBootTimes } from './boot-times.ts'
import { createClockSync } from './clock-sync.ts'
import { createCompleteThrough } from './complete-through.ts'
import { type AgentConfig, agentConfigSchema, durabilityMs, type InputConfig } from './config.ts'
import { eventClock } from './event-time.ts'
import { readBootId } from './identity.ts'
import { createHostInput } from './inputs/host.ts'
import { createIntake, type Input } from './inputs/input.ts'
import { createMqttInput } from './inputs/mqtt.ts'
import { createSerialInput } from './inputs/serial.ts'
import { tombstonesFor } from './losses.ts'
import { createAgentMeters } from './meters.ts'
import { createRecordClaims, UNCERTAIN_RECORDS } from './record-claims.ts'
import { recover } from './recover.ts'
import { createRepeatGuard } from './repeat-guard.ts'
import { createRetention, finishGivingUp } from './retention.ts'
import { createStamper } from './stamper.ts'
import type { AgentStatus } from './status.ts'
import { createUplink } from './uplink.ts'

export interface AgentDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly readKernel?: () => Promise<KernelClock>
}

export function createAgent(config: AgentConfig, dependencies: AgentDependencies): Service {
  let spool: Spool | undefined
  let parts: Service | undefined
  return {
    name: 'agent',
    async start(signal) {
      const { folder, budget, segment, free_disk } = config.spool
      const options = {
        segmentBytesMax: segment,
        bytesMax: budget,
        durabilityMs: durabilityMs(config),
        freeBytesMin: free_disk,
      }
      spool = await openSpool(folder, options, dependencies)
      parts = await createParts(config, spool, dependencies)
      await parts.start(signal)
    },
    async stop(signal) {
      await parts?.stop(signal)
      await spool?.close()
    },
  }
}

/** Stopped in reverse: first the inputs, each with its last acknowledgements, then what carries away, then what shows. */
async function createParts(config: AgentConfig, spool: Spool, dependencies: AgentDependencies): Promise<Service> {
  const { log, metrics, readKernel = readKernelClock } = dependencies
  const startedAtMs = dependencies.clock.monotonicMs()
  const meters = createAgentMeters(metrics)
  const guard = createRepeatGuard()
  const recovered = await recover(spool, guard, log)
  // Before anything is sent.
  await finishGivingUp(spool, recovered.tombstones, log)
  const boots = await openBootTimes(bootTimesPath(config.spool.folder), await readBootId(), dependencies.clock, { log })
  for (const [bootId, { monotonicMs, timeline }] of recovered.boots) boots.seen(bootId, monotonicMs, timeline)
  const clockOptions = { trusted: config.clock.trusted, holdMs: config.clock.hold }
  const clockSync = createClockSync(clockOptions, boots, readKernel, dependencies)
  const { eventTime, bootId } = clockSync
  // From here on there is no other wall clock: what it says is event time.
  const clock = eventClock(dependencies.clock, eventTime)
  const stamper = createStamper()
  for (const last of recovered.stamps.values())
    if (last.bootId === bootId) stamper.stamp(last.device, last.kind, last.monotonicMs + eventTime.timeline.offsetMs)
  const inputs: Input[] = []
  // In flight: the live lane, and three times as much of a backlog.
  const claims = createRecordClaims(spool, clock, Math.max(UNCERTAIN_RECORDS, 8 * config.gateway.in_flight))
  const losses = () => tombstonesFor(spool, writer.totals.readingsTotal)
  const { budget: bytesMax, segment: segmentBytesMax, keep_last: keepLast } = config.spool
  const retention = createRetention(
    { bytesMax, segmentBytesMax, keepLast, bootId },
    { spool, claims, losses, eventTime, corrected: clockSync.corrected, log, onGivenUp: meters.givenUp },
  )
  const stage = createAcknowledgeStage(clock)
  const writer = createBatchWriter(
    {
      agent: config.agent,
      bootId,
      ageMs: config.batch.age,
      readings: config.batch.readings,
      durabilityMs: durabilityMs(config),
      readingsTotal: recovered.readingsTotal,
      completeThroughMs: recovered.completeThroughMs,
    },
    {
      spool,
      guard,
      stamper,
      completeThrough: createCompleteThrough(config.batch.lateness, recovered.completeThroughMs),
      eventTime,
      pendingSinceMs: () => inputs.flatMap((input) => input.pendingSinceMs() ?? []),
      tombstones: losses,
      retention,
      clock,
      log,
      onBatch(content, bytes, header) {
        meters.batchStored(content, bytes)
        stage.stored(content, header)
      },
    },
  )
  const onSent = (sequence: number, bytes: number, lane: PumpLane) => {
    meters.batchSent(bytes)
    stage.acknowledged(sequence, lane)
  }
  const uplink = createUplink(config, { spool, claims, time: clockSync, clock, log, onSent })
  inputs.push(
    ...config.inputs.map((input) => {
      const intake = createIntake(input.name, writer, (reason) => meters.refused(input.name, reason))
      return createInput(input, { agent: config.agent, writer, intake, clock, log })
    }),
  )
  const status = (): AgentStatus => ({
    agent: config.agent,
    epoch: spool.epoch,
    version: VERSION,
    uptimeSeconds: Math.round((clock.monotonicMs() - startedAtMs) / 1_000),
    state: agentStateOf({
      connected: uplink.connected,
      clockTrusted: clockSync.status().trusted,
      backlogBatches: uplink.lanes.backlogRecords,
      inFlightMax: config.gateway.in_flight,
    }),
    connected: uplink.connected,
    uplink: uplink.detail,
    nextSequence: spool.nextSequence,
    sentThrough: spool.sentThrough,
    backlogBatches: uplink.lanes.backlogRecords,
    backlogBytes: uplink.lanes.backlogBytes,
    drainSeconds: uplink.lanes.drainSeconds,
    window: { live: config.gateway.in_flight, backlog: uplink.lanes.window, inFlight: uplink.lanes.inFlight },
    retain: config.spool.retain,
    storedThrough: uplink.storedThrough ?? null,
    gatewayEpoch: uplink.gatewayEpoch ?? null,
    resentBatches: uplink.batchesResent,
    goneBatches: uplink.batchesGone,
    producedReadings: writer.totals.readingsTotal,
    deadLetteredReadings: writer.totals.deadLetteredReadings,
    deadLetters: writer.totals.deadLetters,
    repeatedSamples: writer.totals.repeatedSamples,
    shedReadings: writer.totals.shedReadings,
    spoolBytesUsed: spool.bytesUsed,
    spoolProblem: spool.failing ?? (writer.fullSinceMs === undefined ? null : 'the spool is full'),
    clock: clockSync.status(),
    inputs: inputs.map((input) => input.status()),
  })
  meters.watch(status)
  const admin = createAdminServer(config.admin.listen, {
    metrics,
    ready: () => status().spoolProblem ?? true,
    routes: { '/status': status },
  })
  const health = createAgentHealth({
    writer,
    uplink,
    stage,
    status,
    spoolBytesMax: config.spool.budget,
    clock,
    log,
    metrics,
  })
  const writing: Service = { name: 'batch writer', start: async () => undefined, stop: async () => writer.stop() }
  return runInOrder('agent', [admin, clockSync, uplink, writing, health, ...inputs], log)
}

function createInput(
  config: InputConfig,
  dependencies: Parameters<typeof createMqttInput>[1] & { readonly agent: string },
): Input {
  switch (config.type) {
    case 'serial':
      return createSerialInput(config, dependencies)
    case 'mqtt':
      return createMqttInput(config, dependencies)
    case 'host':
      return createHostInput(config, dependencies)
  }
}

/**
 * Reads the config and runs until SIGINT or SIGTERM.
 * @returns the exit code: 0 stopped on request, 1 failed, 2 a person must mend something
 */
export async function runAgent(configPath: string): Promise<number> {
  let config: AgentConfig
  try {
    config = await loadConfig(configPath, agentConfigSchema)
  } catch (error) {
    reportFatal(error, createLogger('agent', 'info'))
    return EXIT_USER_ERROR
  }
  const log = createLogger(config.agent, config.log.level)
  const metrics = createMetrics(config.agent)
  return runUntilSignal(createAgent(config, { clock: systemClock, log, metrics }), { log })
}
