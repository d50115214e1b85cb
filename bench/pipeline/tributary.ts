/** Tributary from the broker of the sensors to the database, as it is shipped: agent's bundle, gateway, nats-server, processor, influxd. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildCommand } from '@tributary/cli/build'
import { createInfluxQuery } from '@tributary/cloud-processor'
import { buildAgent } from '@tributary/edge-agent/build'
import { hashPassword } from '@tributary/gateway'
import {
  answers,
  askJson,
  createInfluxServer,
  createManagedProcess,
  createNatsServer,
  findServer,
  freePort,
  repositoryFolder,
} from '@tributary/stack'
import { stringify } from 'yaml'
import type { StoragePath } from './storage-path.ts'
import { KIND, SITE } from './workload.ts'

const AGENT = 'agent-1'
const PASSWORD = 'bench'

export interface TributaryOptions {
  readonly brokerUrl: string
  /** As in the agent's config; undefined: its default. */
  readonly batchAge?: string
  /** The agent runs as `docs/capacity.md` has it for many readings, not as the unit for a Pi has it. */
  readonly isFast?: boolean
  /** CPU profiles of agent, gateway and processor are written there as they end. */
  readonly profileFolder?: string | undefined
  /** Who is told of alerts, and the content of `alerts.yaml`. Default: the log, by the contracts. */
  readonly alerts?: { readonly webhookUrl: string; readonly rules: object }
}

export interface Bundles {
  readonly agent: string
  readonly command: string
}

export async function buildBundles(folder: string): Promise<Bundles> {
  return { agent: await buildAgent(join(folder, 'agent')), command: await buildCommand(join(folder, 'command')) }
}

export async function createTributary(
  folder: string,
  bundles: Bundles,
  { brokerUrl, batchAge, isFast, profileFolder, alerts }: TributaryOptions,
): Promise<StoragePath> {
  await mkdir(folder, { recursive: true })
  const file = (name: string) => join(folder, name)
  const nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  const ports = { http: await freePort(), rpc: await freePort() }
  const influx = await createInfluxServer(await findServer('influxd'), folder, ports)
  const [mqttPort, gatewayPort, processorPort, agentPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ]
  const listen = (port: number) => ({ listen: `127.0.0.1:${port}` })
  await writeFile(file('agents.passwd'), `${AGENT}:${hashPassword(PASSWORD)}\n`, { mode: 0o600 })
  const configs = {
    gateway: {
      gateway: 'gateway-1',
      site: SITE,
      mqtt: listen(mqttPort),
      credentials_file: 'agents.passwd',
      nats: { url: nats.url },
      spool: { folder: 'gateway-spool', free_disk: '64MiB' },
      admin: listen(gatewayPort),
    },
    processor: {
      processor: 'processor-1',
      nats: { url: nats.url },
      influx: { url: influx.url, database: 'tributary' },
      contracts: join(repositoryFolder, 'contracts'),
      checkpoint: { folder: 'checkpoints' },
      notifiers: alerts
        ? [{ name: 'people', type: 'webhook', url: alerts.webhookUrl }]
        : [{ name: 'log', type: 'log' }],
      ...(alerts ? { alerts: 'alerts.yaml' } : {}),
      admin: listen(processorPort),
    },
    agent: {
      agent: AGENT,
      spool: { folder: file('agent-spool'), free_disk: '64MiB' },
      ...(batchAge === undefined ? {} : { batch: { age: batchAge } }),
      gateway: { url: `mqtt://127.0.0.1:${mqttPort}`, password: PASSWORD },
      clock: { trusted: 'always' },
      admin: listen(agentPort),
      inputs: [
        {
          name: 'sensors',
          type: 'mqtt',
          url: brokerUrl,
          topics: [{ pattern: 'sensors/{device}/sample', kind: KIND, payload: 'json' }],
        },
      ],
    },
  }
  if (alerts) await writeFile(file('alerts.yaml'), stringify(alerts.rules))
  for (const [name, config] of Object.entries(configs)) await writeFile(file(`${name}.yaml`), stringify(config))

  const admin = (port: number) => `http://127.0.0.1:${port}`
  const node = (
    name: keyof typeof configs,
    args: readonly string[],
    isReady: () => Promise<boolean>,
    environment: Record<string, string> = {},
  ) =>
    createManagedProcess({
      name,
      program: process.execPath,
      arguments: [
        ...(profileFolder
          ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`, `--cpu-prof-name=${name}.cpuprofile`]
          : []),
        ...args,
        ...['--config', file(`${name}.yaml`)],
      ],
      environment,
      logFile: file(`${name}.log`),
      isReady,
    })
  // as the systemd units run them
  const gateway = node('gateway', [bundles.command, 'gateway'], () => answers(`${admin(gatewayPort)}/readyz`), {
    NODE_OPTIONS: '--max-semi-space-size=1',
    MALLOC_MMAP_THRESHOLD_: '1048576',
  })
  const processor = node('processor', [bundles.command, 'processor'], () => answers(`${admin(processorPort)}/readyz`))
  const agent = node(
    'agent',
    [...(isFast ? [] : ['--optimize-for-size']), '--single-threaded-gc', '--max-semi-space-size=1', bundles.agent],
    async () => {
      const status = await askJson<{ inputs: { state: string }[] }>(`${admin(agentPort)}/status`)
      return status?.inputs[0]?.state === 'open'
    },
    { MALLOC_ARENA_MAX: '1' },
  )
  const query = createInfluxQuery({ url: influx.url, version: '1', database: 'tributary' })
  return {
    name: 'Tributary',
    influx,
    processes: [agent, gateway, nats, processor, influx],
    query,
    async start() {
      await Promise.all([nats.start(), influx.start()])
      await Promise.all([gateway.start(), processor.start()])
      await agent.start()
    },
    async stop() {
      await query.close()
      for (const part of [agent, gateway, processor, nats, influx]) await part.stop()
    },
  }
}
