import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { readLedgerEvents } from './ledger-reader.ts'
import { loadScenario } from './scenario.ts'
import { openTestHost, type TestHost } from './test-host.ts'
import {
  expectTrue,
  folder,
  host,
  MQTT,
  opened,
  SERIAL,
  samplesOf,
  sequences,
  simulate,
  subscriber,
  until,
  upTo,
} from './test-site.ts'

it('20,000 readings a second over ports and MQTT for two seconds, without falling behind', async () => {
  const simulator = await simulate(await loadScenario('steady'), { rate: 20_000, durationMs: 2_000 })
  const hosts: [string, TestHost][] = []
  for (const name of Object.keys(simulator.state.ports)) hosts.push([name, await host(simulator, name)])
  const agent = await subscriber(simulator.state.mqttUrl)
  await agent.subscribe()
  await until('the end', () => !simulator.status().measuring)
  expect(simulator.status()).toMatchObject({ producedSamples: 8_000, producedReadings: 40_000 })
  await until('all', () => simulator.status().unacknowledgedSamples === 0, 3_000)
  for (const [name, { samples }] of hosts) {
    expect(sequences(samples)).toEqual(upTo(1_000))
    await expectTrue(name, samples.slice(0, 200))
  }
  const received = samplesOf(agent.messages)
  for (const name of ['pump-2', 'thermometer-2', 'power-2', 'tank-2'])
    expect(sequences(received.filter((s) => s.device === name))).toEqual(upTo(1_000))
  expect(simulator.status().lostSamples).toBe(0)
})

it('says what it is doing: simulator.json and /status', async () => {
  const simulator = await simulate({ devices: [...SERIAL, ...MQTT] })
  const state = JSON.parse(readFileSync(join(folder, 'simulator.json'), 'utf8'))
  expect(state).toEqual(simulator.state)
  expect(Object.keys(state.ports)).toEqual(SERIAL.map((d) => d.name))
  const status = await (await fetch(`${state.adminUrl}/status`)).json()
  expect(status).toMatchObject({ measuring: true, scenario: 'test', readingsPerSecond: 300 })
  expect((await fetch(`${state.adminUrl}/readyz`)).status).toBe(200)
  expect(await (await fetch(`${state.adminUrl}/metrics`)).text()).toContain(
    'tributary_simulator_readings_produced_total',
  )
})

it('undoes a start that fails, and says which setting to change', async () => {
  const taken = createServer()
  const port = await new Promise<number>((resolve) =>
    taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { port: number }).port)),
  )
  try {
    const options = { mqtt: { host: '127.0.0.1', port } }
    await expect(simulate({ devices: SERIAL }, options)).rejects.toThrow(`127.0.0.1:${port} is in use`)
    const tooFast = simulate({ devices: MQTT }, { rate: 1_000_000 })
    await expect(tooFast).rejects.toThrow('can make 10000 readings/s at most')
    const simulator = await simulate({ devices: SERIAL }, {})
    expect(simulator.status().measuring).toBe(true)
  } finally {
    await new Promise((resolve) => taken.close(resolve))
  }
})

it('as a process: SIGUSR2 stops measuring, SIGTERM drains and ends with 0, a wrong scenario ends with 2', async () => {
  const run = (scenario: string) => {
    const options = { scenario, dataDir: folder, admin: { host: '127.0.0.1', port: 0 } }
    const entry = new URL('./run-simulator.ts', import.meta.url).href
    const program = `import { runSimulator } from '${entry}'\nprocess.exitCode = await runSimulator(${JSON.stringify(options)})`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program])
    let said = ''
    child.stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString()
    })
    const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
    return { child, exit, said: () => said }
  }
  const wrong = run('/nowhere/scenario.yaml')
  expect(await wrong.exit).toBe(2)
  expect(wrong.said()).toContain('the file does not exist')

  const { child, exit, said } = run('steady')
  try {
    const state = () => JSON.parse(readFileSync(join(folder, 'simulator.json'), 'utf8'))
    const ask = async () => (await fetch(`${state().adminUrl}/status`)).json() as Promise<Record<string, unknown>>
    await until('ready', () => said().includes('devices measure'))
    await until('samples', async () => ((await ask())['producedSamples'] as number) > 10)
    child.kill('SIGUSR2')
    await until('no more measuring', async () => (await ask())['measuring'] === false)
    const produced = (await ask())['producedSamples'] as number
    child.kill('SIGTERM')
    const { devices } = await loadScenario('steady')
    for (const device of devices.filter((d) => d.serial))
      opened.push(await openTestHost(state().ports[device.name], device))
    const agent = await subscriber(state().mqttUrl)
    await agent.subscribe()
    expect(await exit).toBe(0)
    const events = await readLedgerEvents(join(folder, 'ledger'))
    expect(events.map((e) => e.type)).toEqual(['run', 'measuring_stopped', 'stopped'])
    expect(events[1]).toMatchObject({ why: 'SIGUSR2', samples: produced })
    expect(events[2]).toMatchObject({ unacknowledgedSamples: 0 })
  } finally {
    child.kill('SIGKILL')
  }
})
