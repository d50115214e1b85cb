/**
 * The bundled agent on simulated devices at 1,000 readings/s, as its systemd unit runs it: memory and CPU with a gateway,
 * then memory over an outage of the gateway; and whether everything that the devices measured is at the gateway in the end.
 */
import { strict as assert } from 'node:assert'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildAgent } from '@tributary/edge-agent/build'
import { loadScenario } from '@tributary/firmware-sim'
import { hashPassword } from '@tributary/gateway'
import { systemClock } from '@tributary/runtime'
import {
  type AgentFigures,
  agentConfig,
  answers,
  askJson,
  createManagedProcess,
  createNatsServer,
  findServer,
  freePort,
  type ManagedProcess,
  type SimulatorStatus,
  tributaryProgram,
} from '@tributary/stack'
import { stringify } from 'yaml'
import { mebibytes, type Report } from '../report.ts'

const clock = systemClock
const AGENT = 'agent-1'
const RATE = 1_000
const WARM_UP_MS = 15_000
const SECONDS = 60
const OUTAGE_MINUTES_SHORT = 0
const LOOK_MS = 500

export async function agentAlone(folder: string, report: Report): Promise<void> {
  await mkdir(folder)
  const parts = await createParts(folder)
  const { nats, gateway, simulator, agent } = parts
  try {
    for (const part of [nats, gateway, simulator, agent]) await part.start()
    await clock.sleep(WARM_UP_MS)
    const connected = await watch(agent, SECONDS * 1000, () => report.progress('agent with its gateway'))
    const what = `agent's bundle, ${RATE} readings/s of eight devices`
    report.figure({
      what: `${what}: RSS`,
      value: mebibytes(connected.rssBytesMax),
      unit: 'MiB at most',
      budget: 75,
      beside: `${mebibytes(connected.rssBytesMean).toFixed(1)} on average`,
    })
    report.figure({ what: `${what}: CPU`, value: connected.cpuPercent, unit: '% of a core', budget: 4 })
    const minutes = report.options.long ? report.options.minutes : OUTAGE_MINUTES_SHORT
    if (minutes > 0) await outage(minutes, parts, report)
    await settle(parts)
    report.print(`everything that was measured is at the gateway: ${await produced(parts)} readings`)
  } finally {
    for (const part of [agent, simulator, gateway, nats]) await part.stop()
  }
}

interface Parts {
  readonly nats: ManagedProcess
  readonly gateway: ManagedProcess
  readonly simulator: ManagedProcess
  readonly agent: ManagedProcess
  readonly simulatorUrl: string
  readonly agentUrl: string
}

async function createParts(folder: string): Promise<Parts> {
  const [sensors, simulatorPort, agentPort, gatewayMqtt, gatewayPort] = (await Promise.all(
    Array.from({ length: 5 }, () => freePort()),
  )) as [number, number, number, number, number]
  const nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  const { devices } = await loadScenario('steady')
  const file = (name: string) => join(folder, name)
  await writeFile(file('agents.passwd'), `${AGENT}:${hashPassword('bench')}\n`, { mode: 0o600 })
  await writeFile(
    file('gateway.yaml'),
    stringify({
      gateway: 'gateway-1',
      site: 'bench',
      mqtt: { listen: `127.0.0.1:${gatewayMqtt}` },
      credentials_file: 'agents.passwd',
      nats: { url: nats.url },
      spool: { folder: 'gateway-spool', free_disk: '64MiB' },
      admin: { listen: `127.0.0.1:${gatewayPort}` },
    }),
  )
  await writeFile(
    file('agent.yaml'),
    agentConfig({
      folder,
      agent: AGENT,
      devices,
      adminPort: agentPort,
      gatewayUrl: `mqtt://127.0.0.1:${gatewayMqtt}`,
      sensorBrokerUrl: `mqtt://127.0.0.1:${sensors}`,
      withHost: true,
    }),
  )
  const bundle = await buildAgent(file('bundle'))
  const admin = (port: number) => `http://127.0.0.1:${port}`
  const node = (name: string, args: readonly string[], ready: string, environment: Record<string, string> = {}) =>
    createManagedProcess({
      name,
      program: process.execPath,
      arguments: args,
      environment,
      logFile: file(`${name}.log`),
      isReady: () => answers(ready),
    })
  return {
    nats,
    gateway: node(
      'gateway',
      [tributaryProgram, 'gateway', '--config', file('gateway.yaml')],
      `${admin(gatewayPort)}/readyz`,
    ),
    simulator: node(
      'simulator',
      [
        ...[tributaryProgram, 'simulate', '--scenario', 'steady', '--rate', String(RATE)],
        ...['--data-dir', file('simulator'), '--mqtt-port', String(sensors), '--admin-port', String(simulatorPort)],
      ],
      `${admin(simulatorPort)}/readyz`,
    ),
    // as the systemd unit runs it
    agent: node(
      'agent',
      [
        '--optimize-for-size',
        '--single-threaded-gc',
        '--max-semi-space-size=1',
        bundle,
        '--config',
        file('agent.yaml'),
      ],
      `${admin(agentPort)}/healthz`,
      {
        AGENT_PASSWORD: 'bench',
        MALLOC_ARENA_MAX: '1',
      },
    ),
    simulatorUrl: admin(simulatorPort),
    agentUrl: admin(agentPort),
  }
}

async function watch(agent: ManagedProcess, durationMs: number, onLook: () => void) {
  const startMs = clock.monotonicMs()
  const cpuBefore = (await agent.cpuSeconds()) ?? 0
  let rssBytesMax = 0
  let sum = 0
  let looks = 0
  while (clock.monotonicMs() - startMs < durationMs) {
    await clock.sleep(LOOK_MS)
    const rss = (await agent.rssBytes()) ?? 0
    rssBytesMax = Math.max(rssBytesMax, rss)
    sum += rss
    looks += 1
    onLook()
  }
  const seconds = (clock.monotonicMs() - startMs) / 1000
  const cpuPercent = ((((await agent.cpuSeconds()) ?? 0) - cpuBefore) / seconds) * 100
  return { rssBytesMax, rssBytesMean: sum / looks, cpuPercent }
}

/** Memory while the gateway is away. The first third is left out of the slope: tables that have a limit fill up. */
async function outage(minutes: number, { agent, gateway, agentUrl }: Parts, report: Report): Promise<void> {
  await gateway.kill('SIGKILL')
  const means: number[] = [mebibytes((await agent.rssBytes()) ?? 0)]
  let rssBytesMax = 0
  let cpuPercent = 0
  for (let minute = 1; minute <= minutes; minute++) {
    const seen = await watch(agent, 60_000, () => report.progress(`minute ${minute} of ${minutes} without a gateway`))
    means.push(mebibytes(seen.rssBytesMean))
    rssBytesMax = Math.max(rssBytesMax, seen.rssBytesMax)
    cpuPercent += seen.cpuPercent / minutes
  }
  const figures = await askJson<AgentFigures>(`${agentUrl}/status`)
  const perMinute = slope(means.slice(Math.ceil(means.length / 3)))
  report.print(
    `RSS in an outage of ${minutes} min, MiB, at its start and the mean of each minute: ${means.map((m) => m.toFixed(1)).join(' ')}`,
  )
  report.figure({
    what: `agent's bundle, an outage of ${minutes} min: RSS`,
    value: mebibytes(rssBytesMax),
    unit: 'MiB at most',
    budget: 75,
    beside: `CPU ${cpuPercent.toFixed(1)} %, ${figures?.backlogBatches} batches wait`,
  })
  report.figure({
    what: "agent's bundle, growth of its RSS in the last two thirds of the outage",
    value: perMinute * 60,
    unit: 'MiB/h',
    budget: 5,
  })
  await gateway.start()
}

/** Least squares, a step. */
function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  let [above, below] = [0, 0]
  for (const [i, value] of values.entries()) {
    above += (i - middle) * (value - mean)
    below += (i - middle) ** 2
  }
  return below === 0 ? 0 : above / below
}

const produced = async ({ simulatorUrl }: Parts) =>
  (await askJson<SimulatorStatus>(`${simulatorUrl}/status`))?.producedReadings ?? Number.NaN

/** Devices stop, what they measured is acknowledged, and the gateway has all of it. @throws when that does not come about */
async function settle({ simulator, simulatorUrl, agentUrl }: Parts): Promise<void> {
  await simulator.kill('SIGUSR2')
  let devices: SimulatorStatus | undefined
  let agent: AgentFigures | undefined
  for (let i = 0; i < 600; i++) {
    devices = await askJson<SimulatorStatus>(`${simulatorUrl}/status`)
    agent = await askJson<AgentFigures>(`${agentUrl}/status`)
    if (devices?.measuring === false && devices.unacknowledgedSamples === 0 && (agent?.backlogBatches ?? 9) <= 1) break
    await clock.sleep(200)
  }
  assert.equal(devices?.unacknowledgedSamples, 0, 'the agent has acknowledged every sample')
  assert((agent?.backlogBatches ?? 9) <= 1, `${agent?.backlogBatches} batches still wait for the gateway`)
  assert((agent?.producedReadings ?? 0) >= (devices?.producedReadings ?? Number.NaN), 'the agent has every reading')
}
