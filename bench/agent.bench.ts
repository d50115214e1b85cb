/**
 * The bundled agent alone on simulated devices at 1,000 readings/s, its gateway not reachable: resident memory and CPU, and whether
 * everything that the devices measured is in its spool.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildAgent } from '@tributary/edge-agent/build'
import { loadScenario } from '@tributary/firmware-sim'
import { systemClock } from '@tributary/runtime'
import {
  type AgentFigures,
  agentConfig,
  answers,
  askJson,
  createManagedProcess,
  freePort,
  type SimulatorStatus,
  tributaryProgram,
} from '@tributary/stack'

const RATE = 1_000
const SECONDS = 40
const RSS_MIB_AIM = 75
const CPU_PERCENT_AIM = 4

export async function run(print: (line: string) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-agent-'))
  await mkdir(join(folder, 'logs'))
  const [sensorPort, simulatorPort, adminPort, gatewayPort] = (await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ])) as [number, number, number, number]
  const bundle = await buildAgent(join(folder, 'bundle'))
  const { devices } = await loadScenario('steady')
  // Everything is written as for a pipeline, but there is nothing behind the agent.
  await writeFile(
    join(folder, 'agent.yaml'),
    agentConfig({
      folder,
      agent: 'agent-1',
      devices,
      adminPort,
      gatewayUrl: `mqtt://127.0.0.1:${gatewayPort}`,
      sensorBrokerUrl: `mqtt://127.0.0.1:${sensorPort}`,
      withHost: true,
    }),
  )
  const simulator = createManagedProcess({
    name: 'simulator',
    program: process.execPath,
    arguments: [
      tributaryProgram,
      'simulate',
      '--scenario',
      'steady',
      '--rate',
      String(RATE),
      '--data-dir',
      join(folder, 'simulator'),
      '--mqtt-port',
      String(sensorPort),
      '--admin-port',
      String(simulatorPort),
    ],
    logFile: join(folder, 'logs', 'simulator.log'),
    isReady: () => answers(`http://127.0.0.1:${simulatorPort}/readyz`),
  })
  const agent = createManagedProcess({
    name: 'agent',
    program: process.execPath,
    arguments: ['--max-semi-space-size=1', bundle, '--config', join(folder, 'agent.yaml')],
    // as the systemd unit sets it
    environment: { AGENT_PASSWORD: 'unused', MALLOC_ARENA_MAX: '1' },
    logFile: join(folder, 'logs', 'agent.log'),
    isReady: () => answers(`http://127.0.0.1:${adminPort}/healthz`),
  })
  try {
    await simulator.start()
    await agent.start()
    await systemClock.sleep(5_000)
    const cpuBefore = (await agent.cpuSeconds()) ?? 0
    const startMs = systemClock.monotonicMs()
    let rssMax = 0
    while (systemClock.monotonicMs() - startMs < SECONDS * 1000) {
      rssMax = Math.max(rssMax, (await agent.rssBytes()) ?? 0)
      await systemClock.sleep(500)
    }
    const seconds = (systemClock.monotonicMs() - startMs) / 1000
    const cpuPercent = ((((await agent.cpuSeconds()) ?? 0) - cpuBefore) / seconds) * 100
    const rss = (await agent.rssBytes()) ?? 0
    await simulator.kill('SIGUSR2')
    let status: SimulatorStatus | undefined
    for (let i = 0; i < 100 && status?.unacknowledgedSamples !== 0; i++) {
      await systemClock.sleep(200)
      status = await askJson<SimulatorStatus>(`http://127.0.0.1:${simulatorPort}/status`)
    }
    const figures = await askJson<AgentFigures>(`http://127.0.0.1:${adminPort}/status`)
    if (status?.unacknowledgedSamples !== 0 || !figures || figures.producedReadings < status.producedReadings)
      throw new Error(
        `the agent has ${figures?.producedReadings} readings of ${status?.producedReadings}, ${status?.unacknowledgedSamples} samples are unacknowledged`,
      )
    const mib = (bytes: number) => (bytes / 1024 ** 2).toFixed(1)
    print(
      `bundled agent alone, ${RATE} readings/s for ${Math.round(seconds)} s, 8 devices, no gateway; ${figures.producedReadings} readings in its spool, none missing`,
    )
    print(`RSS ${mib(rss)} MiB at the end, ${mib(rssMax)} MiB at most (aim ${RSS_MIB_AIM})`)
    print(`CPU ${cpuPercent.toFixed(1)} % of a core (aim ${CPU_PERCENT_AIM})`)
  } finally {
    await agent.stop()
    await simulator.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
