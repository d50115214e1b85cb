import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import mqtt from 'mqtt'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import { buildAgent } from '../build.ts'
import type { AgentStatus } from './status.ts'
import {
  type AgentProcess,
  bySequence,
  freePort,
  openCable,
  startAgent,
  startAgentProcess,
  startBroker,
  startGateway,
  temporaryFolder,
  until,
} from './testing.ts'

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

let bundle = ''
beforeAll(async () => {
  bundle = await buildAgent(join(temporaryFolder(), 'agent'))
})

function writeConfig(config: unknown): string {
  const file = join(temporaryFolder(), 'agent.yaml')
  writeFileSync(file, typeof config === 'string' ? config : stringify(config))
  return file
}
function run(options: readonly string[], environment: Record<string, string> = {}): AgentProcess {
  const agent = startAgentProcess(bundle, options, environment)
  cleanUps.push(async () => {
    agent.child.kill('SIGKILL')
    await agent.exited
  })
  return agent
}
const baseConfig = (gatewayPort: number, adminPort: number, inputs: unknown[]) => ({
  agent: 'pi-1',
  spool: { folder: join(temporaryFolder(), 'spool'), budget: '64MiB', free_disk: '1MiB' },
  gateway: { url: `mqtt://127.0.0.1:${gatewayPort}` },
  admin: { listen: `127.0.0.1:${adminPort}` },
  inputs,
})
async function gatewayOf() {
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  return gateway
}
const statusOf = async (adminPort: number): Promise<AgentStatus | undefined> =>
  fetch(`http://127.0.0.1:${adminPort}/status`)
    .then(async (response) => (await response.json()) as AgentStatus)
    .catch(() => undefined)

describe('the bundle, where there is no node_modules', () => {
  test('reads a serial port with its own native part, and stops cleanly on SIGTERM: all that was read is sent', async () => {
    const gateway = await gatewayOf()
    const cable = openCable()
    cleanUps.push(cable.unplug)
    const adminPort = await freePort()
    const serial = {
      name: 'pump',
      type: 'serial',
      path: cable.path,
      framing: { type: 'json-lines' },
      device: 'pump-1',
      kind: 'vibration',
      acknowledge: true,
    }
    const agent = run(['--config', writeConfig(baseConfig(gateway.port, adminPort, [serial]))])
    await until('the port is open', async () => (await statusOf(adminPort))?.inputs[0]?.state === 'open')
    for (let i = 0; i < 100; i++) cable.write(`{"sequence":${i},"value":${i}}\n`)
    await until('all read', async () => (await statusOf(adminPort))?.inputs[0]?.samples === 100)
    agent.child.kill('SIGTERM')
    expect(await agent.exited).toBe(0)
    expect(bySequence(gateway.batches, 'pump-1', 'value').size).toBe(100)
    expect(cable.received().toString()).toMatch(/ack (.*,)?(\d+-)?99\n/)
    expect(agent.log()).not.toMatch(/"level":"(warn|error|fatal)"/)
  })

  test('--help, --version, --check', async () => {
    const help = run(['--help'])
    expect(await help.exited).toBe(0)
    expect(help.output()).toContain('--config FILE')
    const version = run(['--version'])
    expect(await version.exited).toBe(0)
    expect(version.output()).toBe('0.1.0\n')
    const good = run(['--check', '--config', writeConfig(baseConfig(1, 1, [{ name: 'host', type: 'host' }]))])
    expect(await good.exited).toBe(0)
    const unknown = run(['--confg', 'x'])
    expect(await unknown.exited).toBe(2)
    expect(unknown.log()).toContain("'--confg'")
    const none = run([])
    expect(await none.exited).toBe(2)
    expect(none.log()).toContain('--config FILE is missing')
  })

  test('a config with three mistakes: all of them, and exit code 2', async () => {
    const file = writeConfig(
      'agent: Pi One\nspool: { folder: /tmp/x, size: 3 }\ngateway: { url: gw }\ninputs: [{ name: h, type: host }]\n',
    )
    for (const options of [
      ['--config', file],
      ['--check', '--config', file],
    ]) {
      const agent = run(options)
      expect(await agent.exited).toBe(2)
      expect(agent.log()).toContain('3 mistakes')
      expect(agent.log()).toContain('spool.size: unknown key')
    }
    const missing = run(['--config', '/nowhere/agent.yaml'])
    expect(await missing.exited).toBe(2)
    expect(missing.log()).toContain('the file does not exist')
  })

  test('an admin port that is taken: said with the setting to change, exit code 2', async () => {
    const server = createServer()
    const port = await new Promise<number>((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
    )
    cleanUps.push(() => server.close())
    const agent = run(['--config', writeConfig(baseConfig(1, port, [{ name: 'host', type: 'host' }]))])
    expect(await agent.exited).toBe(2)
    expect(agent.log()).toContain('change admin.listen in the config')
  })

  test('two agents on one spool: the second says so and stops', async () => {
    const gateway = await gatewayOf()
    const [first, second] = [await freePort(), await freePort()]
    const config = baseConfig(gateway.port, first, [{ name: 'host', type: 'host' }])
    run(['--config', writeConfig(config)])
    await until('the first runs', async () => (await statusOf(first)) !== undefined)
    const agent = run(['--config', writeConfig({ ...config, admin: { listen: `127.0.0.1:${second}` } })])
    expect(await agent.exited).toBe(2)
    expect(await statusOf(second)).toBeUndefined()
  })
})

test('killed again and again under load: what was acknowledged to the sensors is at the gateway, each once', async () => {
  const gateway = await gatewayOf()
  const broker = await startBroker()
  cleanUps.push(broker.stop)
  const cable = openCable()
  cleanUps.push(cable.unplug)
  const adminPort = await freePort()
  const inputs = [
    {
      name: 'pump',
      type: 'serial',
      path: cable.path,
      framing: { type: 'json-lines' },
      device: 'pump-1',
      kind: 'vibration',
      acknowledge: true,
    },
    {
      name: 'workshop',
      type: 'mqtt',
      url: `mqtt://127.0.0.1:${broker.port}`,
      topics: [{ pattern: 'sensors/{device}/sample', kind: 'climate' }],
    },
  ]
  const config = writeConfig(baseConfig(gateway.port, adminPort, inputs))

  // The ledger: what was measured; the serial device keeps what was not acknowledged and sends it again.
  const unacknowledged = new Map<number, { line: string; sentAtMs: number }>()
  const published = new Set<number>()
  let measured = 0
  let read = 0
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`)
  cleanUps.push(() => client.endAsync(true))
  const measure = () => {
    const sequence = measured++
    const line = `{"sequence":${sequence},"time_ms":${1_700_000_000_000 + sequence},"value":${sequence / 7}}\n`
    unacknowledged.set(sequence, { line, sentAtMs: Number.NEGATIVE_INFINITY })
    client.publish('sensors/probe-1/sample', line, { qos: 1 }, (error) => {
      if (!error) published.add(sequence)
    })
  }
  const talk = () => {
    const text = cable.received().toString()
    for (const [, ranges = ''] of text.slice(read).matchAll(/ack ([\d,-]+)\n/g))
      for (const range of ranges.split(',')) {
        const [first = 0, last = first] = range.split('-').map(Number)
        for (let i = first; i <= last; i++) unacknowledged.delete(i)
      }
    read = text.lastIndexOf('\n') + 1
    const nowMs = systemClock.monotonicMs()
    for (const entry of unacknowledged.values()) {
      if (nowMs - entry.sentAtMs < 1_000) continue
      if (cable.write(entry.line) < entry.line.length) break
      entry.sentAtMs = nowMs
    }
  }
  for (let round = 0; round < 5; round++) {
    const agent = run(['--config', config])
    await until('started', async () => {
      talk()
      const inputs = (await statusOf(adminPort))?.inputs
      // The broker keeps messages from the first subscription on.
      return round === 0 ? inputs?.every(({ state }) => state === 'open') === true : inputs !== undefined
    })
    const untilMs = systemClock.monotonicMs() + 500 + round * 217
    while (systemClock.monotonicMs() < untilMs) {
      for (let i = 0; i < 5; i++) measure()
      talk()
      await systemClock.sleep(10)
    }
    agent.child.kill('SIGKILL')
    expect(await agent.exited).toBe(null)
  }
  run(['--config', config])
  const values = (device: string) => bySequence(gateway.batches, device, 'value')
  await until(
    'everything acknowledged and at the gateway',
    () => {
      talk()
      return unacknowledged.size === 0 && values('pump-1').size === measured && values('probe-1').size === measured
    },
    40_000,
  )
  expect(measured).toBeGreaterThan(500)
  expect(published.size).toBe(measured)
  for (const device of ['pump-1', 'probe-1'])
    for (const [sequence, { value, count }] of values(device))
      expect([device, sequence, value, count]).toEqual([device, sequence, sequence / 7, 1])

  // One epoch, no hole, no sequence twice with other content, and running totals without a gap.
  const headers = gateway.batches.map(({ header }) => header).sort((a, b) => a.sequence - b.sequence)
  expect(new Set(headers.map(({ epoch }) => epoch)).size).toBe(1)
  expect(headers.map(({ sequence }) => sequence)).toEqual(headers.map((_, i) => i + 1))
  let total = 0
  let promised = 0
  let promisedByTrusted = 0
  for (const { readingCount, readingsTotal, completeThroughMs, clockQuality } of headers) {
    total += readingCount
    expect(readingsTotal).toBe(total)
    // What was closed before the gateway told the time is corrected by a measurement of its own, right to a round trip.
    expect(completeThroughMs).toBeGreaterThanOrEqual(promised - 5)
    if (clockQuality === 'trusted') {
      expect(completeThroughMs).toBeGreaterThanOrEqual(promisedByTrusted)
      promisedByTrusted = completeThroughMs
    }
    promised = Math.max(promised, completeThroughMs)
  }
}, 90_000)

test('its own health and that of the host travel like everything else, within their contracts', async () => {
  const { readContracts, checkBlock } = await import('@tributary/protocol')
  const contracts = await readContracts(join(import.meta.dirname, '../../contracts'))
  const gateway = await gatewayOf()
  const agent = await startAgent({
    folder: temporaryFolder(),
    gatewayPort: gateway.port,
    inputs: [{ name: 'host', type: 'host', interval: '100ms' }],
  })
  cleanUps.push(() => agent.stop())
  const blocks = () => gateway.batches.flatMap((batch) => batch.blocks)
  await until('both kinds', () =>
    ['host', 'agent_health'].every((kind) => blocks().some((block) => block.kind === kind)),
  )
  for (const block of blocks()) {
    const contract = contracts.get(block.kind)
    expect(block.device).toBe('pi-1')
    expect(contract && checkBlock(contract, block, () => undefined)).toEqual([])
  }
  const health = blocks().find(({ kind }) => kind === 'agent_health')
  expect(health?.columns.map(({ field }) => field)).toEqual(
    expect.arrayContaining([
      'readings_produced_total',
      'spool_bytes_written_total',
      'memory_rss_bytes',
      'connected',
      'epoch',
      'version',
    ]),
  )
  expect(await agent.status()).toMatchObject({
    agent: 'pi-1',
    state: 'live',
    connected: true,
    version: '0.1.0',
    spoolProblem: null,
    shedReadings: 0,
  })
  expect(await agent.metrics()).toMatch(/tributary_agent_connected\{.*\} 1/)
})

test('health that cannot be measured once costs that sample, nothing else', async () => {
  const gateway = await gatewayOf()
  const rss = vi.spyOn(process.memoryUsage, 'rss').mockImplementationOnce(() => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })
  })
  cleanUps.push(() => rss.mockRestore())
  const agent = await startAgent({
    folder: temporaryFolder(),
    gatewayPort: gateway.port,
    inputs: [{ name: 'host', type: 'host' }],
  })
  cleanUps.push(() => agent.stop())
  await until('said', () => agent.log.some(({ msg }) => String(msg).includes('health')))
  const health = () => gateway.batches.flatMap(({ blocks }) => blocks.filter(({ kind }) => kind === 'agent_health'))
  await until('the next one', () => health().length > 0)
  const columnOf = (name: string) => health()[0]?.columns.find(({ field }) => field === name)?.values[0]
  expect(columnOf('state')).toBe('live')
  // By then the host's samples of the first seconds were acknowledged.
  expect(columnOf('acknowledged_p50_ms')).toBeGreaterThan(0)
  expect(columnOf('acknowledged_p99_ms')).toBeLessThan(10_000)
}, 30_000)

test('the unit that ships starts what is built', () => {
  const unit = readFileSync(join(import.meta.dirname, '../../deploy/edge-agent/tributary-agent.service'), 'utf8')
  expect(unit).toMatch(
    /^ExecStart=.*--optimize-for-size --single-threaded-gc --max-semi-space-size=1 .*agent\.cjs --config \/etc\/tributary\/agent\.yaml$/m,
  )
  expect(unit).toMatch(/^Type=notify$/m)
  expect(unit).toMatch(/^NotifyAccess=all$/m)
  expect(unit).toMatch(/^SupplementaryGroups=dialout$/m)
})
