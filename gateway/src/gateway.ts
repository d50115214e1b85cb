/** The wiring: what the gateway is made of, in the order in which it starts. */
import { dirname, resolve } from 'node:path'
import {
  parseControlMessage,
  resendRequest,
  resendSubject,
  storedSubject,
  watermarkQuestion,
  watermarkSubject,
} from '@tributary/protocol'
import {
  type Clock,
  createAdminServer,
  createStage,
  every,
  type KernelClock,
  type Logger,
  type Metrics,
  readKernelClock,
  runInOrder,
  type Service,
} from '@tributary/runtime'
import { openSpool } from '@tributary/spool'
import { createAdmission } from './admission.ts'
import { createAgentCommands } from './agent-commands.ts'
import { createBroker } from './broker.ts'
import { createClockServer } from './clock-server.ts'
import { type GatewayConfig, INGEST_BYTES_MAX } from './config.ts'
import { createCredentials } from './credentials.ts'
import { createForwarder } from './forwarder.ts'
import { createHealth } from './health.ts'
import { createMarks, marksPath } from './marks.ts'
import { createNatsLink } from './nats-link.ts'
import { recoverReceived } from './recover.ts'
import { createRefusals } from './refusals.ts'
import { createResend } from './resend.ts'
import { createHealthSample, createStatus, type GatewayStatus } from './status.ts'
import { createStoredIndex } from './stored.ts'
import { createStoredRelay } from './stored-relay.ts'
import { createStream } from './stream.ts'
import { createStreamPace } from './stream-pace.ts'
import { createTrim } from './trim.ts'
import { createWaiting } from './waiting.ts'

export interface Gateway extends Service {
  readonly mqttPort: number
  readonly adminPort: number
  status(): GatewayStatus
  /** Reads credentials and the TLS certificate again. */
  reload(): Promise<void>
}

const CREDENTIALS_CHECK_MS = 2_000

/** Opens the spool, so that nothing but the ports can still fail. @throws UserError */
export async function createGateway(
  config: GatewayConfig,
  {
    clock,
    log,
    metrics,
    readKernel = readKernelClock,
  }: { clock: Clock; log: Logger; metrics: Metrics; readKernel?: () => Promise<KernelClock> },
): Promise<Gateway> {
  const dependencies = { clock, log, metrics }
  const credentials = createCredentials(config.credentials_file, { log })
  await credentials.reload()
  const spool = await openSpool(
    config.spool.folder,
    {
      segmentBytesMax: config.spool.segment,
      bytesMax: config.spool.budget,
      durabilityMs: config.spool.durability,
      freeBytesMin: config.spool.free_disk,
      queueBytesMax: INGEST_BYTES_MAX * 2,
    },
    dependencies,
  )
  const marks = createMarks(marksPath(config.spool.folder), spool.epoch, { log })
  const index = createStoredIndex()
  const refusals = createRefusals(dependencies)
  const waiting = createWaiting()
  const stage = createStage()
  const link = createNatsLink(config.nats, config.gateway, dependencies)
  const stream = createStream(link, config.stream, config.site, marks, dependencies)
  const pace = createStreamPace(stream.depth, dependencies)
  const admission = createAdmission({
    spool,
    marks,
    index,
    waiting,
    stage,
    onReceived: (agent, epoch) => relay.received(agent, epoch),
    holdBack: pace.holdBack,
    ...dependencies,
  })
  const broker = createBroker(config, admission.admit, credentials, { ...dependencies, refusals })
  const relay = createStoredRelay({
    gatewayEpoch: spool.epoch,
    knownThrough: marks.latest,
    isConnected: broker.isConnected,
    publish: (agent, payload) => broker.publish(agent, 'stored', payload),
    clock,
  })
  const commands = createAgentCommands((agent, payload) => broker.publish(agent, 'command', payload), dependencies)
  const forwarder = createForwarder(
    spool,
    stream,
    { pace, waiting, stage, inFlightMax: config.nats.in_flight },
    dependencies,
  )
  const resend = createResend(spool, index, stream, {
    onGone(agent, epoch, fromSequence, toSequence) {
      marks.lost(agent, epoch, fromSequence, toSequence)
      commands.askAgain(agent, epoch, fromSequence, toSequence)
    },
    mayDrain: pace.mayDrain,
    backlogOf: forwarder.backlogOf,
    ...dependencies,
  })
  const trimming = {
    site: config.site,
    everyMs: config.spool.trim_every,
    onStuck: () => resend.requestAll(false),
  }
  const trim = createTrim(spool, index, marks, relay, trimming, dependencies)
  const clockServer = createClockServer(config.clock.trusted, broker, readKernel, dependencies)
  const parts = {
    config,
    spool,
    admission,
    marks,
    link,
    stream,
    pace,
    stage,
    forwarder,
    resend,
    broker,
    refusals,
    clock,
  }
  const status = createStatus(parts)
  const health = createHealth(
    config.gateway,
    config.health.interval,
    admission,
    createHealthSample(parts, metrics),
    () => clockServer.trusted,
    dependencies,
  )
  const admin = createAdminServer(config.admin.listen, {
    metrics,
    ready: () => admission.failing === undefined || `the spool takes nothing: ${admission.failing}`,
    routes: { '/status': status },
  })
  link.subscribe(storedSubject(config.site), trim.onStored)
  link.subscribe(resendSubject(config.site), (payload) => {
    const request = parseControlMessage(resendRequest, payload)
    if (request) resend.request(request)
    else log.warn({ bytes: payload.length }, 'a resend request could not be read')
  })
  link.subscribe(watermarkSubject(config.site), (payload, respond) => {
    const question = parseControlMessage(watermarkQuestion, payload)
    const kept = question && marks.watermark(question.agent, question.epoch)
    if (kept) respond(JSON.stringify(kept))
  })
  stream.onLost(() => resend.requestAll(true))
  broker.onSubscribed((agent, channel) => (channel === 'stored' ? relay.subscribed(agent) : undefined))
  credentials.onRevoked((agents) => broker.disconnect(agents, 'its line in credentials_file changed or went'))

  const reload = async () => {
    await credentials.reload({ force: true })
    await broker.reloadCertificate()
  }
  const recovery: Service = {
    name: 'spool',
    async start(signal) {
      await marks.load()
      await recoverReceived(spool, { marks, index, waiting, log }, signal)
    },
    async stop() {
      await spool.close()
      await admission.idle()
    },
  }
  const watching = new AbortController()
  let watch: Promise<void> = Promise.resolve()
  const credentialsWatch: Service = {
    name: 'credentials watch',
    async start() {
      watch = every(CREDENTIALS_CHECK_MS, () => credentials.reload(), { clock, signal: watching.signal })
    },
    async stop() {
      watching.abort()
      await watch
    },
  }
  const services = [
    recovery,
    trim,
    stream,
    link,
    pace,
    forwarder,
    resend,
    credentialsWatch,
    clockServer,
    relay,
    broker,
    health,
    admin,
  ]
  const running = runInOrder(`gateway ${config.gateway}`, services, log)
  return {
    ...running,
    get mqttPort() {
      return broker.port
    },
    get adminPort() {
      return admin.port
    },
    status,
    reload,
  }
}

/** Paths in a config file are relative to its folder. */
export function resolvePaths(config: GatewayConfig, configFile: string): GatewayConfig {
  const from = (path: string) => resolve(dirname(configFile), path)
  const { mqtt, nats, spool } = config
  return {
    ...config,
    credentials_file: from(config.credentials_file),
    spool: { ...spool, folder: from(spool.folder) },
    mqtt: mqtt.tls ? { ...mqtt, tls: { cert: from(mqtt.tls.cert), key: from(mqtt.tls.key) } } : mqtt,
    nats: {
      ...nats,
      ...(nats.credentials_file === undefined ? {} : { credentials_file: from(nats.credentials_file) }),
      ...(nats.tls_ca_file === undefined ? {} : { tls_ca_file: from(nats.tls_ca_file) }),
    },
  }
}
