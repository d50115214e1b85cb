/** What people and the world do wrong: each gets a clear message that says what to do, is counted, and takes nothing else with it. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectNats } from '@nats-io/transport-node'
import { readDeadLetters } from '@tributary/cloud-processor'
import { setPassword } from '@tributary/gateway'
import {
  BATCH_FORMAT_VERSION,
  type Batch,
  type DeadLetter,
  encodeBatch,
  mqttTopic,
  telemetrySubject,
} from '@tributary/protocol'
import { freePort, repositoryFolder, SITE } from '@tributary/stack'
import { connectAsync, type IClientOptions } from 'mqtt'
import { describe, expect, test } from 'vitest'
import { runTributary, startTributary, until } from './harness/run-tributary.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const folder = () => mkdtemp(join(tmpdir(), 'tributary-bad-'))

describe('a config with three mistakes', () => {
  const text =
    'agent: Pi One\nspool: { folder: spool, budget: 6MB-ish }\ngateway: { url: mqtt://127.0.0.1:1883 }\ninputz: []\ninputs: [{ name: host, type: host }]\n'

  test('`tributary check` names all of them, with line and value', async () => {
    const file = join(await folder(), 'agent.yaml')
    await writeFile(file, text)
    const { code, stdout } = await runTributary(['check', file])
    expect(code).toBe(2)
    expect(stdout).toContain('3 mistakes')
    expect(stdout).toMatch(/line 1: agent: .*\(got "Pi One"\)/)
    expect(stdout).toMatch(/line 2: spool\.budget: must be a size such as "64MiB" \(got "6MB-ish"\)/)
    expect(stdout).toMatch(/line 4: inputz: unknown key/)
  })
  test('the agent refuses to start, names all of them, and exits with 2', async () => {
    const file = join(await folder(), 'agent.yaml')
    await writeFile(file, text)
    const { code, stderr } = await runTributary(['agent', '--config', file])
    expect(code).toBe(2)
    for (const path of ['agent', 'spool.budget', 'inputz']) expect(stderr).toContain(path)
  })
  test('a folder stands for the files in it; a contract is found by the name of its file', async () => {
    const contracts = await folder()
    const tank = await readFile(join(repositoryFolder, 'contracts', 'tank.yaml'), 'utf8')
    await writeFile(join(contracts, 'tank.yaml'), tank)
    expect((await runTributary(['check', contracts])).code).toBe(0)
    await writeFile(join(contracts, 'tanks.yaml'), tank)
    await writeFile(join(contracts, 'boiler.yaml'), tank.replace('version: 1', 'version: one'))
    const { code, stdout } = await runTributary(['check', contracts])
    expect(code).toBe(2)
    expect(stdout).toMatch(/tank\.yaml: contract, no mistakes/)
    expect(stdout).toMatch(/tanks\.yaml: 1 mistake\n.*kind: call the file tank\.yaml/)
    expect(stdout).toMatch(/boiler\.yaml: 2 mistakes\n.*version: [\s\S]*kind: call the file tank\.yaml/)
  })
  test('what alert rules name is looked up in the contracts and the config that are given too', async () => {
    const at = await folder()
    const [alerts, processor] = [join(at, 'alerts.yaml'), join(at, 'processor.yaml')]
    const contracts = join(repositoryFolder, 'contracts')
    await writeFile(
      alerts,
      'rules:\n  - name: wet\n    match: { kind: climate, field: humidity }\n    notify: [poeple]\n',
    )
    const notifiers = '[{ name: people, type: log }]'
    await writeFile(
      processor,
      `processor: p\nsite: s\ncontracts: "${contracts}"\nalerts: alerts.yaml\nnotifiers: ${notifiers}\ninflux: { url: "http://127.0.0.1:8086" }\nnats: { url: "nats://127.0.0.1:4222" }\n`,
    )
    const alone = await runTributary(['check', alerts])
    expect([alone.code, alone.stdout]).toEqual([
      0,
      expect.stringContaining('were not looked up: give the contracts, too'),
    ])
    const field =
      /line 3: rules\[0\]\.match\.field: .* of climate; "humidity" matches none; did you mean humidity_percent\?/
    for (const more of [[contracts], ['--contracts', contracts]]) {
      const { code, stdout } = await runTributary(['check', alerts, ...more])
      expect([code, stdout]).toEqual([2, expect.stringMatching(field)])
      expect(stdout).not.toContain('rules[0].notify')
    }
    const whole = await runTributary(['check', processor, alerts])
    expect([whole.code, whole.stdout]).toEqual([2, expect.stringMatching(field)])
    expect(whole.stdout).toMatch(/line 4: rules\[0\]\.notify: must name notifiers of the config \(people\)/)
    const nowhere = await runTributary(['check', alerts, '--contracts', join(at, 'none')])
    expect([nowhere.code, nowhere.stdout]).toEqual([2, expect.stringContaining('the folder does not exist')])
  })
  test('--json gives the same as data', async () => {
    const file = join(await folder(), 'agent.yaml')
    await writeFile(file, text)
    const { stdout } = await runTributary(['check', '--json', file, join(await folder(), 'absent.yaml')])
    const { files } = JSON.parse(stdout) as { files: { kind: string; mistakes: { path: string }[] }[] }
    expect(files.map((f) => [f.kind, f.mistakes.length])).toEqual([
      ['agent', 3],
      ['unknown', 1],
    ])
  })
})

describe('the command line', () => {
  test('an unknown command or a missing option is told, with where to find help', async () => {
    const unknown = await runTributary(['agnet'])
    expect(unknown.code).toBe(2)
    expect(unknown.stderr).toMatch(/unknown command 'agnet'[\s\S]*agent/)
    const missing = await runTributary(['agent'])
    expect(missing.code).toBe(2)
    expect(missing.stderr).toContain('--config')
  })
  test('every command has help with exit code 0', { timeout: 180_000 }, async () => {
    for (const command of [
      [],
      ['agent'],
      ['gateway'],
      ['gateway', 'passwd'],
      ['processor'],
      ['simulate'],
      ['viewer'],
      ['demo'],
      ['check'],
      ['status'],
      ['ledger'],
      ['dlq'],
      ['dlq', 'list'],
      ['dlq', 'show'],
      ['dlq', 'requeue'],
      ['dlq', 'drop'],
      ['record'],
      ['chaos'],
      ['spool'],
      ['spool', 'inspect'],
      ['spool', 'fsck'],
      ['spool', 'export'],
    ]) {
      const { code, stdout } = await runTributary([...command, '--help'])
      expect(code, command.join(' ')).toBe(0)
      expect(stdout, command.join(' ')).toContain('Usage: tributary')
    }
  })
  test('nobody there: ledger, status and dlq say which address, and which option changes it', async () => {
    const port = await freePort()
    const ledger = await runTributary(['ledger', '--processor', `http://127.0.0.1:${port}`])
    expect([ledger.code, ledger.stderr]).toEqual([
      2,
      expect.stringMatching(/nothing answers at .*ECONNREFUSED[\s\S]*--processor/),
    ])
    const dlq = await runTributary(['dlq', 'list', '--nats', `nats://127.0.0.1:${port}`])
    expect([dlq.code, dlq.stderr]).toEqual([2, expect.stringMatching(/no NATS server answers[\s\S]*--nats/)])
    const status = await runTributary(['status', '--agent', `http://127.0.0.1:${port}`])
    expect([status.code, status.stdout]).toEqual([1, expect.stringContaining('nothing answers')])
  })
})

describe('a process in a bad place', () => {
  test('an occupied port: the gateway says which setting, and exits with 2', async () => {
    const squatter = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => squatter.once('listening', resolve))
    const { port } = squatter.address() as { port: number }
    const place = await folder()
    const file = join(place, 'gateway.yaml')
    await setPassword(join(place, 'agents.passwd'), 'agent-1', 'a-password')
    await writeFile(
      file,
      `gateway: gateway-1\nsite: workshop\nmqtt: { listen: 127.0.0.1:${port} }\ncredentials_file: ${place}/agents.passwd\nnats: { url: nats://127.0.0.1:${await freePort()} }\nspool: { folder: ${place}/spool }\nadmin: { listen: 127.0.0.1:${await freePort()} }\n`,
    )
    const { code, stderr } = await runTributary(['gateway', '--config', file])
    squatter.close()
    expect(code).toBe(2)
    expect(stderr).toContain(`127.0.0.1:${port} is in use`)
    expect(stderr).toContain('mqtt.listen')
  })

  test('no serial port, no broker, no gateway, no room: the agent runs on, says each, and stops cleanly', async () => {
    const place = await folder()
    const file = join(place, 'agent.yaml')
    const admin = await freePort()
    await writeFile(
      file,
      `agent: pi-1
spool: { folder: ${place}/spool, free_disk: 900TiB }
gateway: { url: "mqtt://127.0.0.1:${await freePort()}", password: unused }
admin: { listen: 127.0.0.1:${admin} }
inputs:
  - { name: pump, type: serial, path: ${place}/no-such-port, framing: { type: json-lines }, device: pump-1, kind: vibration }
  - { name: sensors, type: mqtt, url: "mqtt://127.0.0.1:${await freePort()}", topics: [{ pattern: "sensors/{device}/sample", kind: climate }] }
  - { name: host, type: host, interval: 1s }
`,
    )
    const agent = startTributary(['agent', '--config', file])
    await agent.says(/no-such-port/)
    const status = async () =>
      (await (await fetch(`http://127.0.0.1:${admin}/status`)).json()) as {
        connected: boolean
        shedReadings: number
        inputs: { name: string; state: string; detail: string }[]
      }
    await until(async () => (await status()).inputs.every((i) => i.state !== 'starting'), 'the inputs have a state')
    const found = await status()
    expect(found.connected).toBe(false)
    expect(found.inputs.find((i) => i.name === 'pump')?.detail).toMatch(/no-such-port/)
    await agent.says(/full|free/)
    agent.signal('SIGINT')
    expect((await agent.finished).code).toBe(0)
  })

  test('no NATS and no InfluxDB: the processor waits, is not ready, and says why', async () => {
    const place = await folder()
    const file = join(place, 'processor.yaml')
    const admin = await freePort()
    await writeFile(
      file,
      `processor: p1\nnats: { url: "nats://127.0.0.1:${await freePort()}" }\ninflux: { url: "http://127.0.0.1:${await freePort()}" }\ncontracts: ${repositoryFolder}/contracts\ncheckpoint: { folder: ${place}/checkpoints }\nadmin: { listen: 127.0.0.1:${admin} }\n`,
    )
    const processor = startTributary(['processor', '--config', file])
    await processor.says(/NATS/)
    await until(
      async () => (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined))?.status === 503,
      'the processor says that it is not ready',
    )
    processor.signal('SIGTERM')
    expect((await processor.finished).code).toBe(0)
  })
})

describe('hostile and broken batches in a running pipeline', () => {
  test('are dead-lettered with their bytes or refused, and nothing else is lost', { timeout: 180_000 }, () =>
    withPipeline({ ratePerSecond: 1_000, seed: 5 }, async (pipeline, dataFolder) => {
      await setPassword(join(dataFolder, 'agents.passwd'), 'stranger', 'right')
      const good = encodeBatch(batchOf('stranger', 1))
      const client = await eventually(() => connectTo(pipeline.urls.gatewayMqttPort, 'stranger', 'right'))

      const cut = good.subarray(0, good.length - 7)
      const flipped = Uint8Array.from(good, (byte, i) => (i === good.length - 10 ? byte ^ 0x10 : byte))
      const noise = randomBytes(700)
      for (const payload of [cut, flipped, noise])
        await client.publishAsync(mqttTopic('stranger', 'batch'), Buffer.from(payload), { qos: 1 })
      await client.publishAsync(mqttTopic('stranger', 'batch'), Buffer.from(good), { qos: 1 })
      await client.endAsync()

      // Poison put straight into the stream.
      const nats = await connectNats({ servers: pipeline.nats.url })
      nats.publish(telemetrySubject(SITE, 'poisoner'), noise)
      nats.publish(telemetrySubject(SITE, 'poisoner'), new Uint8Array(0))
      await nats.flush()

      await expect(connectTo(pipeline.urls.gatewayMqttPort, 'stranger', 'wrong')).rejects.toThrow(
        /[Nn]ot authorized|[Bb]ad user/,
      )
      const thief = await connectTo(pipeline.urls.gatewayMqttPort, 'stranger', 'right')
      const closed = new Promise<void>((resolve) => thief.once('close', () => resolve()))
      thief.publish(mqttTopic('agent-1', 'batch'), Buffer.from(good), { qos: 1 })
      await closed
      await thief.endAsync(true)

      const letters: DeadLetter[] = []
      await until(async () => {
        letters.length = 0
        for await (const letter of readDeadLetters(nats, { stage: 'decode' })) letters.push(letter)
        return letters.length >= 5
      }, 'five letters of stage decode')
      await nats.close()
      const originals = letters.map((l) => l.original).sort()
      expect(originals).toEqual(
        [cut, flipped, noise, noise, new Uint8Array(0)].map((b) => Buffer.from(b).toString('base64')).sort(),
      )
      for (const letter of letters) expect(letter.detail).not.toBe('')

      const { ledger } = await expectBalanced(pipeline)
      expect(ledger.deadLettered).toBe(0)
      const account = (await (await fetch(`${pipeline.urls.processor}/account`)).json()) as {
        agents: { agent: string; produced: number; stored: number; missing: number }[]
      }
      expect(account.agents.find((a) => a.agent === 'stranger')).toMatchObject({ produced: 2, stored: 2, missing: 0 })
    }),
  )
})

function connectTo(port: number, username: string, password: string) {
  const options: IClientOptions = {
    username,
    password,
    clientId: `${username}-test`,
    reconnectPeriod: 0,
    protocolVersion: 4,
  }
  return connectAsync(`mqtt://127.0.0.1:${port}`, options, false)
}

/** The gateway re-reads its credentials on its own time. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  let result: T | undefined
  await until(async () => {
    result = await attempt().catch(() => undefined)
    return result !== undefined
  }, 'the new password is known to the gateway')
  return result as T
}

function batchOf(agent: string, sequence: number): Batch {
  const timeMs = Date.now()
  return {
    header: {
      formatVersion: BATCH_FORMAT_VERSION,
      agent,
      epoch: '00000000000000aa',
      sequence,
      lane: 'live',
      createdAtMs: timeMs,
      completeThroughMs: timeMs,
      bootId: 'a-boot',
      clockQuality: 'trusted',
      sampleCount: 1,
      readingCount: 2,
      readingsTotal: 2,
      backlogBatches: 0,
      backlogBytes: 0,
      drainSeconds: 0,
      monotonicMs: 0,
    },
    blocks: [
      {
        device: 'stranger-1',
        kind: 'climate',
        timesMs: Float64Array.of(timeMs),
        columns: [
          { field: 'temperature_c', type: 'number', present: null, values: Float64Array.of(21.5) },
          { field: 'humidity_percent', type: 'number', present: null, values: Float64Array.of(40) },
        ],
      },
    ],
    deadLetters: [],
    tombstones: [],
    rollups: [],
  }
}
