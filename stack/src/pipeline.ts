/**
 * The whole pipeline on this machine (devices on serial ports belong to agent-1, those on MQTT to agent-2), each part its own process: nats-server, influxd, gateway, processor, simulator,
 * agents, viewer. What `npm start` shows and what the end-to-end tests break.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInfluxQuery, type InfluxQuery } from '@tributary/cloud-processor'
import { loadScenario, type SimulatorState } from '@tributary/firmware-sim'
import { hashPassword } from '@tributary/gateway'
import { systemClock, UserError } from '@tributary/runtime'
import { createAgentOutages } from './agent-outages.ts'
import { agentConfig, alertsConfig, gatewayConfig, processorConfig } from './configs.ts'
import { freePort } from './free-port.ts'
import { createGrafanaServer, findGrafana } from './grafana-server.ts'
import { createInfluxServer } from './influx-server.ts'
import { answers, createManagedProcess, type ManagedProcess } from './managed-process.ts'
import { createNatsServer } from './nats-server.ts'
import { repositoryFolder, tributaryProgram } from './repository.ts'
import { findServer } from './servers.ts'

export interface PipelineOptions {
  /** An empty or new folder; everything the run writes lies in it. */
  readonly dataFolder: string
  readonly scenarioFile: string
  readonly seed: number
  /** Readings a second of all devices together; undefined: as the scenario says. */
  readonly ratePerSecond?: number | undefined
  /** Port of the dashboards, 0 for a free one: Grafana's when it is on PATH, else the viewer's. Undefined: no dashboards. */
  readonly viewerPort?: number | undefined
  /** The page for the technician on site, as a child of the gateway. */
  readonly siteView?: boolean
  /** Where a run puts a relay of its own between two parts: the port that the one sees instead of the other's. */
  readonly seenPorts?: {
    readonly natsByGateway?: number
    readonly natsByProcessor?: number
    readonly influxByProcessor?: number
  }
  /** An agent that lives elsewhere than the rest, such as in a network namespace, or behind a preloaded library. */
  readonly agentPlace?: (agent: string) => AgentPlace
  /** Of the processor. Default: those of the repository. */
  readonly contractsFolder?: string
  /** How much must stay free on the disks of the spools. */
  readonly freeDisk?: string
  /** Whether agents may set their times by the gateway. Default: as the kernel says. */
  readonly gatewayClockTrusted?: 'always'
  /** Alerts are posted there. */
  readonly alertWebhookUrl?: string
  /** Of `alerts.yaml`, beside what `alertsConfig` says. */
  readonly alertRules?: object
  readonly say?: (text: string) => void
  /** Told of the scenario's outages as they come. Default: `say`. */
  readonly onOutage?: (text: string) => void
}

export interface AgentPlace {
  /** Under which address its admin server is reached. Default: 127.0.0.1. */
  readonly host?: string
  /** Under which address it reaches this machine. Default: 127.0.0.1. */
  readonly machine?: string
  /** The port that it sees instead of the gateway's. */
  readonly gatewayPort?: number
  /** A program with arguments that starts another one in its own place, such as `ip netns exec NAME`. */
  readonly wrapper?: readonly string[]
  readonly environment?: Record<string, string>
  /** Its own clock is wrong, whatever the kernel says. */
  readonly clockTrusted?: 'never'
}

export interface Pipeline {
  readonly nats: ManagedProcess & { url: string }
  readonly influx: ManagedProcess & { url: string }
  readonly gateway: ManagedProcess
  readonly processor: ManagedProcess
  readonly simulator: ManagedProcess
  readonly agents: readonly ManagedProcess[]
  readonly viewer: ManagedProcess | undefined
  /** In starting order. */
  readonly processes: readonly ManagedProcess[]
  readonly urls: {
    nats: string
    influx: string
    gateway: string
    processor: string
    simulator: string
    agents: string[]
    viewer: string | undefined
    /** Undefined: none was asked for. */
    siteView: string | undefined
    siteTap: string | undefined
    gatewayMqttPort: number
  }
  readonly versions: Record<string, string>
  readonly ledgerFolder: string
  readonly siteViewFolder: string
  /** Of the processor. */
  readonly contractsFolder: string
  query: InfluxQuery
  start(signal: AbortSignal): Promise<void>
  /** Downstream last: simulator, agents, gateway, processor, viewer, servers. */
  stop(): Promise<void>
}

export const SITE = 'workshop'

export async function createPipeline(options: PipelineOptions): Promise<Pipeline> {
  const say = options.say ?? (() => undefined)
  const folder = options.dataFolder
  const path = (...names: string[]) => join(folder, ...names)
  await mkdir(path('logs'), { recursive: true })
  const scenario = await loadScenario(options.scenarioFile)

  const natsServer = await findServer('nats-server', say)
  const influxd = await findServer('influxd', say)
  const nats = await createNatsServer(natsServer, folder, await freePort())
  const influx = await createInfluxServer(influxd, folder, { http: await freePort(), rpc: await freePort() })
  const ports = {
    mqtt: await freePort(),
    sensorMqtt: await freePort(),
    gateway: await freePort(),
    processor: await freePort(),
    simulator: await freePort(),
  }
  const siteView = options.siteView ? { port: await freePort(), tapPort: await freePort() } : undefined
  const admin = (port: number, host = '127.0.0.1') => `http://${host}:${port}`
  const { seenPorts = {}, agentPlace = (): AgentPlace => ({}) } = options
  const seenUrl = (url: string, port: number | undefined) => {
    const seen = new URL(url)
    if (port !== undefined) seen.port = String(port)
    return `${seen.protocol}//${seen.host}`
  }

  const viewerPort = options.viewerPort === 0 ? await freePort() : options.viewerPort
  const devicesOf = (agent: string) =>
    scenario.devices.filter((device) => (device.serial !== undefined) === (agent === 'agent-1'))
  const agentNames = ['agent-1', 'agent-2'].filter((agent) => devicesOf(agent).length > 0)
  const agentPorts = await Promise.all(agentNames.map(() => freePort()))
  const placeOf = (agent: string): AgentPlace & { gatewayPort: number } => {
    const place = agentPlace(agent)
    return { ...place, gatewayPort: place.gatewayPort ?? ports.mqtt }
  }
  const outages = await createAgentOutages(scenario.outages, {
    agents: agentNames,
    placeOf,
    clock: systemClock,
    say: options.onOutage ?? say,
  })
  const contractsFolder = options.contractsFolder ?? join(repositoryFolder, 'contracts')
  const password = crypto.randomUUID()
  await writeFile(path('agents.passwd'), agentNames.map((name) => `${name}:${hashPassword(password)}\n`).join(''), {
    mode: 0o600,
  })
  await writeFile(
    path('gateway.yaml'),
    gatewayConfig({
      folder,
      site: SITE,
      mqttPort: ports.mqtt,
      adminPort: ports.gateway,
      natsUrl: seenUrl(nats.url, seenPorts.natsByGateway),
      freeDisk: options.freeDisk,
      clockTrusted: options.gatewayClockTrusted,
      siteView: siteView && { ...siteView, contracts: contractsFolder },
    }),
  )
  await writeFile(
    path('processor.yaml'),
    processorConfig({
      folder,
      contracts: contractsFolder,
      adminPort: ports.processor,
      natsUrl: seenUrl(nats.url, seenPorts.natsByProcessor),
      influxUrl: seenUrl(influx.url, seenPorts.influxByProcessor),
      alertWebhookUrl: options.alertWebhookUrl,
    }),
  )
  await writeFile(path('alerts.yaml'), alertsConfig(options.alertRules))
  await writeFile(path('devices.yaml'), await readFile(join(repositoryFolder, 'stack', 'devices.yaml')))
  const agentUrls = agentNames.map((agent, i) => admin(agentPorts[i] as number, agentPlace(agent).host))
  for (const [i, agent] of agentNames.entries()) {
    const { host = '127.0.0.1', machine = '127.0.0.1', gatewayPort, clockTrusted } = placeOf(agent)
    await writeFile(
      path(`${agent}.yaml`),
      agentConfig({
        folder,
        agent,
        devices: devicesOf(agent),
        adminPort: agentPorts[i] as number,
        adminHost: host,
        gatewayUrl: `mqtt://${machine}:${outages.portFor(agent) ?? gatewayPort}`,
        sensorBrokerUrl: `mqtt://${machine}:${ports.sensorMqtt}`,
        withHost: i === agentNames.length - 1,
        freeDisk: options.freeDisk,
        clockTrusted,
      }),
    )
  }

  const tributary = (
    name: string,
    args: readonly string[],
    isReady: () => Promise<boolean>,
    { wrapper = [], environment = {} }: AgentPlace = {},
  ) => {
    const [program, ...rest] = [...wrapper, process.execPath, tributaryProgram, ...args] as [string, ...string[]]
    return createManagedProcess({
      name,
      program,
      arguments: rest,
      environment,
      logFile: path('logs', `${name}.log`),
      isReady,
    })
  }
  const gatewayArguments = ['gateway', '--config', path('gateway.yaml'), ...(siteView ? ['--node-red'] : [])]
  const gateway = tributary('gateway', gatewayArguments, () => answers(`${admin(ports.gateway)}/healthz`))
  const processor = tributary('processor', ['processor', '--config', path('processor.yaml')], () =>
    answers(`${admin(ports.processor)}/readyz`),
  )
  const simulator = tributary(
    'simulator',
    [
      ...[
        'simulate',
        '--scenario',
        options.scenarioFile,
        '--seed',
        String(options.seed),
        '--data-dir',
        path('simulator'),
      ],
      ...['--mqtt-port', String(ports.sensorMqtt), '--admin-port', String(ports.simulator)],
      ...(options.ratePerSecond === undefined ? [] : ['--rate', String(options.ratePerSecond)]),
    ],
    () => answers(`${admin(ports.simulator)}/readyz`),
  )
  const agents = agentNames.map((name, i) => {
    const place = agentPlace(name)
    return tributary(name, ['agent', '--config', path(`${name}.yaml`)], () => answers(`${agentUrls[i]}/healthz`), {
      ...place,
      environment: { ...place.environment, AGENT_PASSWORD: password },
    })
  })
  const grafana = viewerPort === undefined ? undefined : await findGrafana()
  const viewer = grafana
    ? createGrafanaServer(grafana, folder, viewerPort as number, influx.url)
    : viewerPort === undefined
      ? undefined
      : tributary('viewer', ['viewer', '--port', String(viewerPort), '--influx', influx.url], () =>
          answers(`${admin(viewerPort)}/healthz`),
        )

  const servers = [nats, influx]
  const query = createInfluxQuery({ url: influx.url, version: '1', database: 'tributary' })
  const processes = [...servers, gateway, processor, simulator, ...agents, ...(viewer ? [viewer] : [])]
  return {
    nats,
    influx,
    gateway,
    processor,
    simulator,
    agents,
    viewer,
    processes,
    urls: {
      nats: nats.url,
      influx: influx.url,
      gateway: admin(ports.gateway),
      processor: admin(ports.processor),
      simulator: admin(ports.simulator),
      agents: agentUrls,
      viewer: viewerPort === undefined ? undefined : admin(viewerPort),
      siteView: siteView && admin(siteView.port),
      siteTap: siteView && admin(siteView.tapPort),
      gatewayMqttPort: ports.mqtt,
    },
    versions: { node: process.versions.node, 'nats-server': natsServer.version, influxd: influxd.version },
    siteViewFolder: path('site-view'),
    ledgerFolder: path('simulator', 'ledger'),
    contractsFolder,
    query,
    async start(signal) {
      await outages.start()
      await Promise.all(servers.map((server) => server.start(signal)))
      // The simulator's first readings wait for nobody: everything downstream stands before it begins to measure.
      await Promise.all([gateway.start(signal), processor.start(signal), ...(viewer ? [viewer.start(signal)] : [])])
      await simulator.start(signal)
      outages.begin()
      await Promise.all(agents.map((agent) => agent.start(signal)))
    },
    async stop() {
      await query.close()
      await simulator.stop()
      await Promise.all(agents.map((agent) => agent.stop()))
      await outages.stop()
      await gateway.stop()
      await processor.stop()
      await viewer?.stop()
      await Promise.all(servers.map((server) => server.stop()))
    },
  }
}

/** What the simulator wrote about itself when it was ready. */
export async function readSimulatorState(folder: string): Promise<SimulatorState> {
  const text = await readFile(join(folder, 'simulator', 'simulator.json'), 'utf8').catch(() => undefined)
  if (text === undefined)
    throw new UserError('the simulator has not written simulator.json', {
      hint: `see ${join(folder, 'logs', 'simulator.log')}`,
    })
  return JSON.parse(text) as SimulatorState
}
