import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { storedSubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { createManagedProcess, freePort, type ManagedProcess } from '@tributary/stack'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkGateway } from './run.ts'
import type { GatewayStatus } from './status.ts'
import {
  connectAgent,
  EPOCH,
  gatewayConfigText,
  makeBatch,
  PASSWORD,
  publishBatch,
  sayToGateway,
  sequencesOf,
  startNats,
  startProcessor,
  temporaryFolder,
  until,
  writeCredentials,
} from './testing.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const ARGUMENTS = ['--import', 'tsx', MAIN]
const AGENTS = ['agent-1', 'agent-2']

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let config: string
let mqttPort: number
let adminPort: number
const ending: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  folder = await temporaryFolder()
  config = join(folder.path, 'gateway.yaml')
  mqttPort = await freePort()
  adminPort = await freePort()
  await writeCredentials(folder.path, AGENTS)
})
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
  await folder.remove()
})

const writeConfig = (natsUrl: string, sections: Record<string, Record<string, unknown>> = {}) =>
  writeFile(config, gatewayConfigText({ folder: folder.path, natsUrl, mqttPort, adminPort, sections }))
const ask = async (path: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${adminPort}${path}`)).json()
const status = () => ask('/status') as Promise<GatewayStatus>
function gatewayProcess(): ManagedProcess {
  const gateway = createManagedProcess({
    name: 'gateway',
    program: process.execPath,
    arguments: [...ARGUMENTS, '--config', config],
    logFile: join(folder.path, 'gateway.log'),
    isReady: async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok,
  })
  ending.push(() => gateway.stop())
  return gateway
}
/** Runs it to its end. */
const run = (...more: string[]): Promise<{ code: number; output: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [...ARGUMENTS, ...more], { timeout: 20_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
    )
  })

test('P1: whatever was acknowledged arrives, although the gateway is killed again and again under load', async () => {
  const nats = await startNats(folder.path)
  ending.push(() => nats.stop())
  await writeConfig(nats.url)
  const gateway = gatewayProcess()
  await gateway.start()

  const acknowledged = new Map<string, Set<number>>(AGENTS.map((agent) => [agent, new Set()]))
  let loading = true
  const load = async (agent: string, client: MqttClient) => {
    let sequence = 0
    const worker = async () => {
      while (loading) {
        sequence += 1
        const mine = sequence
        const batch = makeBatch(agent, mine, {}, 50)
        // MQTT.js sends again by itself, but gives up now and then what was under way as the connection broke.
        while (!acknowledged.get(agent)?.has(mine))
          await publishBatch(client, agent, batch).then(
            () => acknowledged.get(agent)?.add(mine),
            () => systemClock.sleep(20),
          )
      }
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    return sequence
  }
  const clients = await Promise.all(
    AGENTS.map((agent) =>
      connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
        username: agent,
        password: PASSWORD,
        reconnectPeriod: 50,
        clean: false,
        clientId: agent,
      }),
    ),
  )
  for (const client of clients) client.on('error', () => undefined)
  const total = () => [...acknowledged.values()].reduce((sum, set) => sum + set.size, 0)
  const loads = AGENTS.map((agent, i) => load(agent, clients[i] as MqttClient))
  for (const delayMs of [300, 40, 170]) {
    const before = total()
    await until('batches are acknowledged', () => total() > before + 100)
    await systemClock.sleep(delayMs)
    await gateway.kill()
    await gateway.start()
  }
  const before = total()
  await until('batches are acknowledged again', () => total() > before + 100)
  loading = false
  const lasts = await Promise.all(loads)
  await Promise.all(clients.map((client) => client.endAsync()))
  // What waited while the gateway was down is a backlog, and goes as fast as somebody takes it.
  const processor = startProcessor(nats.url)
  await until('all were forwarded and taken', async () => {
    const { spool } = await status()
    const isAllTaken = AGENTS.every(
      (agent, i) => new Set(sequencesOf(processor.messages, agent)).size >= (lasts[i] as number),
    )
    return isAllTaken && spool.sentThrough === spool.nextSequence - 1
  })
  await processor.stop()
  const { messages } = processor
  for (const [i, agent] of AGENTS.entries()) {
    const arrived = new Set(sequencesOf(messages, agent))
    expect([...(acknowledged.get(agent) as Set<number>)].filter((sequence) => !arrived.has(sequence))).toEqual([])
    expect(arrived.size).toBe(lasts[i])
  }
  expect(total()).toBeGreaterThan(400)
  const { refused } = await status()
  expect(Object.keys(refused).filter((reason) => reason !== 'link_error')).toEqual([])
}, 60_000)

test('what was trimmed is still known after a kill: its repeat is acknowledged and not stored again', async () => {
  const nats = await startNats(folder.path)
  ending.push(() => nats.stop())
  await writeConfig(nats.url)
  const gateway = gatewayProcess()
  await gateway.start()
  const publishAll = async () => {
    const client = await connectAgent(mqttPort, 'agent-1')
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => publishBatch(client, 'agent-1', makeBatch('agent-1', i + 1))),
    )
    await client.endAsync()
  }
  await publishAll()
  const health = (await status()).agents.find(({ agent }) => agent === 'gw-1')
  await until('all are trimmed', async () => {
    const watermarks = [
      { agent: 'agent-1', epoch: EPOCH, sequence: 100 },
      { agent: 'gw-1', epoch: health?.epoch, sequence: 1 },
    ]
    await sayToGateway(nats.url, storedSubject('workshop'), { site: 'workshop', watermarks })
    return (await status()).spool.trimmedThrough >= 101
  })
  // The spool writes its cursor a second later; from then on the records are gone for good.
  await systemClock.sleep(1_500)
  await gateway.kill()
  await gateway.start()
  const readAtStart = (await readFile(gateway.logFile, 'utf8'))
    .split('\n')
    .filter((line) => line.includes('the spool was read'))
  expect(JSON.parse(readAtStart.at(-1) as string).batches, 'records at the second start').toBeLessThanOrEqual(1)
  await publishAll()
  expect((await status()).agents.find(({ agent }) => agent === 'agent-1')).toMatchObject({ batches: 0, repeated: 100 })
})

describe('the program', () => {
  test('starts without NATS, answers, reads its credentials again at SIGHUP, stops in order', async () => {
    await writeConfig('nats://127.0.0.1:1')
    const gateway = gatewayProcess()
    await gateway.start()
    expect(await status()).toMatchObject({
      gateway: 'gw-1',
      site: 'workshop',
      state: 'offline',
      natsConnected: false,
      spool: { failing: null },
      refused: {},
    })
    expect(await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()).toMatch(
      /tributary_gateway_nats_connected\{process="gateway"\} 0/,
    )

    const connectAs = async (agent: string) =>
      (
        await connectAsync(
          `mqtt://127.0.0.1:${mqttPort}`,
          { username: agent, password: PASSWORD, reconnectPeriod: 0 },
          false,
        )
      ).endAsync()
    await expect(connectAs('agent-9')).rejects.toThrow()
    await writeCredentials(folder.path, [...AGENTS, 'agent-9'])
    await gateway.kill('SIGHUP')
    await until('agent-9 may come in', () =>
      connectAs('agent-9').then(
        () => true,
        () => false,
      ),
    )

    const second = await run('--config', config)
    expect(second.code, 'the spool belongs to one process').toBe(2)
    expect(await gateway.stop()).toBe(0)
    const log = await readFile(gateway.logFile, 'utf8')
    expect(log).toContain('start nats-server with JetStream')
    expect(log).toContain('wrong password for')
  })

  test('says what is wrong with its config, all at once', async () => {
    await writeFile(config, 'gateway: GW\nmqtt: { listen: nowhere }\nspool: { folder: s, budget: 1KiB }\n')
    const mistakes = await checkGateway(config).catch((error: Error) => error.message)
    const { code, output } = await run('--config', config)
    expect(code).toBe(2)
    for (const path of ['gateway:', 'site:', 'mqtt.listen:', 'credentials_file:', 'nats:', 'spool.budget:']) {
      expect(mistakes).toContain(path)
      expect(output).toContain(path)
    }
  })

  test('checks, helps, and knows what is missing', async () => {
    await writeConfig('nats://127.0.0.1:1')
    expect(await run('--config', config, '--check')).toMatchObject({
      code: 0,
      output: expect.stringContaining('2 agents. No mistakes.'),
    })
    expect(await run('--help')).toMatchObject({ code: 0, output: expect.stringContaining('--config FILE') })
    expect(await run()).toMatchObject({ code: 2, output: expect.stringContaining('--config FILE is missing') })
    await writeFile(config, (await readFile(config, 'utf8')).replace('agents.passwd', 'elsewhere.passwd'))
    await expect(checkGateway(config)).rejects.toMatchObject({
      hint: expect.stringContaining('tributary gateway passwd'),
    })
  })

  test('an occupied port is said with what to do', async () => {
    const occupant = createServer().listen(mqttPort, '127.0.0.1')
    await writeConfig('nats://127.0.0.1:1')
    const { code, output } = await run('--config', config)
    occupant.close()
    expect(code).toBe(2)
    expect(output).toContain(`127.0.0.1:${mqttPort} is in use`)
    expect(output).toContain('mqtt.listen')
  })
})
