/** The wiring: which parts there are, and in which order they start. Stopped in reverse. */
import { setMaxListeners } from 'node:events'
import { dirname, join, resolve } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { Msg, NatsConnection } from '@nats-io/transport-node'
import {
  keptWatermark,
  parseControlMessage,
  resendRequest,
  resendSubject,
  storedSubject,
  storedWatermarks,
  watermarkQuestion,
  watermarkSubject,
} from '@tributary/protocol'
import {
  type Clock,
  createAdminServer,
  every,
  Gauge,
  type Logger,
  type Metrics,
  messageOf,
  retry,
  runInOrder,
  type Service,
} from '@tributary/runtime'
import { acceptContracts, readHashKey } from './accept-contracts.ts'
import { createAccountLines } from './account-lines.ts'
import { createAlertEngine, createDesk } from './alerts/index.ts'
import type { StepContext } from './batch-scope.ts'
import { createCheckpointBucket } from './checkpoint-bucket.ts'
import type { ProcessorConfig } from './config.ts'
import { createPartitionConsumer } from './consumer.ts'
import { type ContextSource, createContextSource } from './contexts.ts'
import { createContractSource } from './contract-source.ts'
import { createDeviceRegistry } from './device-registry.ts'
import { createFigures, type Partition } from './figures.ts'
import { createFileCheckpointStore } from './file-checkpoint.ts'
import type { AskWatermark } from './gap-requests.ts'
import { createHealthReporter, lostReports } from './health.ts'
import { createInfluxQuery } from './influx-query.ts'
import { createInfluxSink, PartialWriteError } from './influx-sink.ts'
import { createJetStreamCheckpointStore } from './jetstream-checkpoint.ts'
import { createPartitionLoop } from './loop.ts'
import { connectNats, ensureStreams } from './nats.ts'
import { createNotifiers, createOutbox } from './notifiers/index.ts'
import { answerOperators } from './operator-desk.ts'
import { createOwner } from './owner.ts'
import { createPrivacy } from './privacy.ts'
import { createRepairList } from './repair-list.ts'
import { createRepairer, type Repairer } from './repairer.ts'
import { runTicks } from './ticker.ts'
import { createViolationLimits } from './violation-watch.ts'

export interface Processor extends Service {
  readonly adminPort: number
  /** Reads the contracts again at once. */
  reloadContracts(): Promise<void>
}

export interface ProcessorDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** A partition cannot go on (it was taken over, or its state is of a later version): the processor should be stopped. */
  readonly onFatal: (error: unknown) => void
}

const NOTIFICATIONS_PER_RECEIVER_MAX = 1_000
const HEALTH_EVERY_MS = 10_000
const ACCOUNT_EVERY_MS = 5_000
const WATERMARK_ANSWER_MS = 2_000

/** @param configPath paths in the config are relative to its folder */
export function createProcessor(
  configPath: string,
  config: ProcessorConfig,
  { clock, log, metrics, onFatal }: ProcessorDependencies,
): Processor {
  const at = (path: string) => resolve(dirname(configPath), path)
  const stopping = new AbortController()
  const giveUp = new AbortController()
  setMaxListeners(0, stopping.signal, giveUp.signal) // as many as partitions wait
  const registry = createDeviceRegistry(
    {
      file: config.registry && at(config.registry),
      bucket: config.registry_bucket,
      copy: join(at(config.checkpoint.folder ?? config.registry_copy), `registry-${config.processor}.json`),
    },
    { clock, log },
  )
  const { timeout, lines_per_request, rollup_retention, ...influx } = config.influx
  const query = createInfluxQuery({ ...influx, timeoutMs: timeout })
  const sink = createInfluxSink(
    { ...influx, timeoutMs: timeout, linesPerRequest: lines_per_request, rollupRetention: rollup_retention },
    { clock, log },
  )
  const receivers = config.notifiers.map(({ name }) => name)
  const alertsFile = config.alerts && at(config.alerts)
  let hashKey: string | undefined
  const contracts = createContractSource(at(config.contracts), {
    clock,
    log,
    alertsFile,
    accept: (set) => acceptContracts(set, { alertsFile, receivers, hashKey }),
  })
  const contexts: ContextSource = createContextSource(
    () => contracts.current,
    (set): StepContext => {
      const engine = createAlertEngine(set.rules.rules, set.contracts)
      return {
        contracts: set.contracts,
        contractsVersion: set.version,
        contractsSource: set.source,
        privacy: createPrivacy(set.contracts, { hashKey, keepOriginals: config.sensitive.keep_originals }),
        registry,
        engine,
        violationLimit: createViolationLimits(set.rules),
        desk: createDesk(set.rules, {
          receivers,
          outboxLimits: { notificationsPerReceiverMax: NOTIFICATIONS_PER_RECEIVER_MAX },
          ruleNamed: engine.ruleNamed,
        }),
        memoryMs: config.windows.memory,
        punctualMemoryMs: config.windows.punctual_memory,
        missingAfterMs: config.gaps.missing_after,
      }
    },
    log,
  )
  const notifiers = createNotifiers(config.notifiers, { clock, log })
  let nats: NatsConnection | undefined
  let natsConnected = false
  let partitions: Partition[] = []
  let repairer: Repairer | undefined
  let running: Promise<void>[] = []
  const health = createHealthReporter(config.site, config.processor, clock)
  const figures = createFigures(config.processor, () => partitions, {
    repairer: () => repairer,
    contracts,
    engine: () => contexts.current.engine,
    sink,
    clock,
    metrics,
    registry,
  })
  const inBackground = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      if (stopping.signal.aborted) return
      stopping.abort(error)
      onFatal(error)
    })

  const files: Service = {
    name: 'contracts, rules, registry',
    async start() {
      hashKey = await readHashKey(config.sensitive, at)
      await contracts.load()
      await registry.load()
    },
    stop: async () => undefined,
  }

  const connection: Service = {
    name: 'NATS',
    async start(signal) {
      nats = await retry(() => connectNats(configPath, config), {
        clock,
        signal,
        backoff: { firstMs: 250, maxMs: 5_000 },
        onFailure: (error, attempt, delayMs) =>
          log.warn(
            {
              url: config.nats.url,
              attempt,
              delayMs: Math.round(delayMs),
              hint: /auth/i.test(messageOf(error)) ? 'correct the credentials under nats in the config' : undefined,
              reason: messageOf(error),
            },
            'NATS cannot be reached',
          ),
      })
      natsConnected = true
      void inBackground(follow(nats))
    },
    async stop() {
      await nats?.drain().catch(() => nats?.close())
      natsConnected = false
    },
  }
  async function follow(connected: NatsConnection): Promise<void> {
    for await (const { type } of connected.status()) {
      if (type === 'disconnect') log.warn({ url: config.nats.url }, 'NATS is gone; trying to reach it again')
      if (type === 'reconnect') log.info({ url: config.nats.url }, 'NATS is back')
      if (type === 'disconnect' || type === 'reconnect') natsConnected = type === 'reconnect'
      for (const partition of partitions)
        if (type === 'disconnect') partition.disconnected()
        else if (type === 'reconnect') partition.reconnected()
    }
  }

  const work: Service = {
    name: 'partitions',
    async start(signal) {
      if (nats === undefined) throw new Error('started out of order')
      await sink.prepare(signal)
      partitions = await createPartitions(nats)
      const lists = partitions.map(({ repairs }) => repairs)
      repairer = createRepairer(config.repair, { query, lists, clock, log })
      answerOperators(nats, {
        processor: config.processor,
        site: config.site,
        loops: () => partitions.map(({ loop }) => loop),
        engine: () => contexts.current.engine,
        notifiers,
        clock,
      })
      const registryWatch = inBackground(registry.watch(nats, stopping.signal))
      await registry.settled(signal)
      running = [
        registryWatch,
        ...partitions.map(({ loop }) => loop.run(stopping.signal, giveUp.signal)),
        repairer.run(stopping.signal),
        followOwnHealth(nats),
        contracts.watch(stopping.signal),
        reportHealth(nats),
        writeAccount(),
        runTicks(() => partitions.map(({ loop }) => loop), { client: jetstream(nats), clock, log }, stopping.signal),
      ].map(inBackground)
      while (!partitions.every(({ loop }) => loop.ready) && !stopping.signal.aborted) await clock.sleep(10, signal)
    },
    async stop(signal) {
      signal.addEventListener('abort', () => giveUp.abort(signal.reason), { once: true })
      if (signal.aborted) giveUp.abort(signal.reason)
      stopping.abort(new DOMException('stopped', 'AbortError'))
      await Promise.all(running)
      await Promise.all([sink.close(), query.close()])
    },
  }

  async function createPartitions(connected: NatsConnection): Promise<Partition[]> {
    const client = jetstream(connected)
    const manager = await jetstreamManager(connected, { checkAPI: false })
    const outboxMetrics = shared(metrics)
    const requested = metrics.counter('resend_requests_total', 'Requests to gateways to send a gap again.')
    const askWatermark: AskWatermark = async (site, question) => {
      const { data } = await connected.request(watermarkSubject(site), JSON.stringify(question), {
        timeout: WATERMARK_ANSWER_MS,
      })
      return parseControlMessage(keptWatermark, data)
    }
    const owner = createOwner(config.processor, clock)
    const { folder } = config.checkpoint
    return config.partitions.map((partition) => {
      const consumer = createPartitionConsumer(partition, { client, manager, owner, clock, log })
      const outbox = createOutbox(notifiers, { clock, log, metrics: outboxMetrics })
      const repairs = createRepairList(config.repair.rest, clock.monotonicMs)
      const loop = createPartitionLoop(
        {
          partition,
          owner,
          lingerMs: config.linger,
          checkpointIntervalMs: config.checkpoint.interval,
          resendAfterMs: config.gaps.resend_after,
        },
        {
          consumer,
          sink,
          checkpoints:
            folder === undefined
              ? createJetStreamCheckpointStore(createCheckpointBucket(partition, { client, manager }), partition, {
                  owner,
                  clock,
                  log,
                })
              : createFileCheckpointStore(at(folder), partition, { owner, log }),
          client,
          ensureStreams: () => ensureStreams(manager),
          publish: (subject, bytes) => connected.publish(subject, bytes),
          askWatermark,
          onResendRequest: () => requested.inc(),
          outbox,
          repairs,
          contexts,
          clock,
          log,
          processor: config.processor,
          onStored: figures.onStored,
        },
      )
      const { disconnected, reconnected } = consumer
      return { loop, outbox, repairs, pending: () => consumer.pending, disconnected, reconnected }
    })
  }

  async function reportHealth(connected: NatsConnection): Promise<void> {
    const client = jetstream(connected)
    const report = async () => {
      const { subject, bytes } = health.next(figures.health(), lostReports(figures.account().agents, health, clock))
      // A report that is lost is a gap in the account: it is tried until the stream has it. No id: JetStream remembers those of
      // messages that it has dropped, and would take the next try for a repeat.
      await retry(() => client.publish(subject, bytes), {
        clock,
        signal: stopping.signal,
        backoff: { firstMs: 500, maxMs: 10_000 },
      })
    }
    await every(HEALTH_EVERY_MS, report, { clock, signal: stopping.signal })
  }

  /** Of its own reports the processor is the gateway: it keeps them, is told what is stored, and sends again what is asked for. */
  async function followOwnHealth(connected: NatsConnection): Promise<void> {
    const on = (subject: string, take: (message: Msg) => void) =>
      connected.subscribe(subject, { callback: (error, message) => (error ? undefined : take(message)) })
    on(storedSubject(config.site), ({ data }) => health.stored(parseControlMessage(storedWatermarks, data)))
    on(watermarkSubject(config.site), (message) => {
      const kept = health.watermark(parseControlMessage(watermarkQuestion, message.data))
      if (kept) message.respond(JSON.stringify(kept))
    })
    on(resendSubject(config.site), ({ data }) => {
      for (const { subject, bytes } of health.again(parseControlMessage(resendRequest, data)))
        jetstream(connected)
          .publish(subject, bytes)
          .catch((error: unknown) => log.debug({ reason: messageOf(error) }, 'a report was not sent again'))
    })
  }

  async function writeAccount(): Promise<void> {
    const lines = createAccountLines()
    const write = async () => {
      const changed = lines.next(figures.account().agents, Math.floor(clock.wallMs()))
      if (changed.count === 0) return
      await sink.write(changed, 'raw', stopping.signal).catch((error: unknown) => {
        if (!(error instanceof PartialWriteError)) throw error
        log.error({ reason: [...error.rejected.values()][0]?.detail }, 'InfluxDB refused the account')
      })
    }
    await every(ACCOUNT_EVERY_MS, write, { clock, signal: stopping.signal })
  }

  const admin = createAdminServer(config.admin.listen, {
    metrics,
    ready: () => {
      if (!natsConnected) return 'NATS is not connected'
      const { ok, error } = sink.status()
      if (!ok) return `InfluxDB does not take writes: ${error}`
      if (partitions.length === 0 || !partitions.every(({ loop }) => loop.ready))
        return 'the partitions are being loaded'
      return true
    },
    routes: {
      '/status': () => figures.status(natsConnected),
      '/account': () => figures.account(),
      '/dirty': () => figures.dirty(),
      '/alerts': () => figures.openAlerts(),
      '/anomalies': () => figures.anomalies(),
    },
  })
  const service = runInOrder('processor', [files, admin, connection, work], log)
  return {
    name: service.name,
    start: service.start,
    stop: service.stop,
    reloadContracts: () => contracts.reload(),
    get adminPort() {
      return admin.port
    },
  }
}

/** Each partition has an outbox of its own; they count into the same metrics. The gauge of what waits is the sum, see figures.ts. */
function shared(metrics: Metrics): Metrics {
  const counters = new Map<string, ReturnType<Metrics['counter']>>()
  return {
    ...metrics,
    counter: ((name, help, labels) => {
      const counter = counters.get(name) ?? metrics.counter(name, help, labels)
      counters.set(name, counter)
      return counter
    }) as Metrics['counter'],
    gauge: ((name, help, labels = []) =>
      new Gauge({ name, help, labelNames: [...labels], registers: [] })) as Metrics['gauge'],
  }
}
