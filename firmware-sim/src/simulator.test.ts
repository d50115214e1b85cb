import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMetrics, systemClock } from '@tributary/runtime'
import { connectAsync, type MqttClient } from 'mqtt'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LedgerSample, openOracle, readLedger, readLedgerEvents, summariseLedger } from './ledger-reader.ts'
import type { Decoded } from './reference-decoder.ts'
import { loadScenario, type Scenario, scenarioSchema } from './scenario.ts'
import { createSimulator, type Simulator, type SimulatorOptions } from './simulator.ts'
import { openTestHost, type TestHost } from './test-host.ts'

let folder: string
const open: { close(): Promise<unknown> }[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'simulator-'))
})
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
  rmSync(folder, { recursive: true, force: true })
})

async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 15_000) {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs
  while (!(await condition())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await systemClock.sleep(20)
  }
}
const none = () => new AbortController().signal
const over = () => AbortSignal.abort(new DOMException('no time', 'AbortError'))

async function simulate(parts: Record<string, unknown> | Scenario, options: Partial<SimulatorOptions> = {}) {
  const scenario = 'name' in parts ? (parts as Scenario) : scenarioSchema.parse({ name: 'test', ...parts })
  const loopback = { host: '127.0.0.1', port: 0 }
  const simulator = createSimulator(
    { scenario, dataDir: folder, mqtt: loopback, admin: loopback, ...options },
    { clock: systemClock, log: pino({ level: 'silent' }), metrics: createMetrics('simulator') },
  )
  await simulator.start(none())
  let stopped = false
  const stop = async (signal = none()) => {
    if (!stopped) await simulator.stop(signal)
    stopped = true
  }
  open.push({ close: () => stop(over()) })
  return Object.assign(simulator, { stopNow: stop, scenario })
}
async function host(simulator: Simulator & { scenario: Scenario }, name: string, options?: { acknowledge?: boolean }) {
  const config = simulator.scenario.devices.find((d) => d.name === name)
  if (!config) throw new Error(name)
  const opened = await openTestHost(simulator.state.ports[name] as string, config, options)
  open.push(opened)
  return opened
}
/** A client with a persistent session, as the agent is one. */
async function subscriber(url: string, clientId = 'agent') {
  const messages: { topic: string; text: string }[] = []
  const client: MqttClient = await connectAsync(url, { clientId, clean: false, protocolVersion: 4, reconnectPeriod: 0 })
  open.push({ close: () => client.endAsync(true) })
  client.on('message', (topic, payload) => messages.push({ topic, text: payload.toString() }))
  return { client, messages, subscribe: () => client.subscribeAsync('sensors/#', { qos: 1 }) }
}
const samplesOf = (messages: { topic: string; text: string }[]) =>
  messages.flatMap(({ topic, text }) =>
    [JSON.parse(text)].flat().map((sample: Decoded) => ({ device: topic.split('/')[1] as string, ...sample })),
  )
async function ledger(device?: string): Promise<LedgerSample[]> {
  const samples: LedgerSample[] = []
  for await (const sample of readLedger(join(folder, 'ledger'), device === undefined ? {} : { device }))
    samples.push(sample)
  return samples
}
/** Every received sample is in the ledger, with the time and the values that the oracle computes. */
async function expectTrue(device: string, received: readonly Decoded[]) {
  const oracle = await openOracle(join(folder, 'ledger'))
  const known = new Set((await ledger(device)).map((sample) => sample.sequence))
  for (const { kind: _, device: __, time_ms, ...fields } of received) {
    const sequence = fields['sequence'] as number
    expect(known).toContain(sequence)
    if (time_ms !== undefined) expect(time_ms).toBe(oracle.expectedTimeMs(device, sequence))
    for (const [field, value] of Object.entries(fields))
      expect(value).toBe(oracle.expectedValue(device, field, sequence))
  }
}
const sequences = (samples: readonly Decoded[]) =>
  [...new Set(samples.map((s) => s['sequence'] as number))].sort((a, b) => a - b)
const upTo = (count: number, first = 1) => Array.from({ length: count }, (_, i) => first + i)

const SERIAL = [
  { name: 'pump-1', class: 'pump', serial: { framing: 'cobs' } },
  { name: 'room-1', class: 'thermometer', serial: { framing: 'json' } },
  { name: 'meter-1', class: 'power_meter', serial: { framing: 'csv' } },
  { name: 'tank-1', class: 'tank', serial: { framing: 'csv', announce_columns: true } },
]

describe('serial devices', () => {
  it('carry every sample over a real port in every framing, and end when all are acknowledged', async () => {
    const simulator = await simulate({ devices: SERIAL }, { durationMs: 1_000 })
    const hosts: [string, TestHost][] = []
    for (const { name } of SERIAL) hosts.push([name, await host(simulator, name)])
    await until('all samples', () => simulator.status().measuring === false)
    await simulator.stopNow()
    expect(simulator.status()).toMatchObject({ producedSamples: 40, producedReadings: 200, unacknowledgedSamples: 0 })
    for (const [name, { samples, refused }] of hosts) {
      expect(sequences(samples)).toEqual(upTo(10))
      expect(refused).toBe(0)
      await expectTrue(name, samples)
    }
    const counts = await summariseLedger(join(folder, 'ledger'))
    expect(counts.get('meter-1')).toMatchObject({ samples: 10, readings: 60, lostSamples: 0, doubtfulSamples: 0 })
  })

  it('send again what is not acknowledged, after 2 s, and all of it when the port opens again', async () => {
    const simulator = await simulate({ devices: SERIAL.slice(1, 2) }, { durationMs: 500 })
    const deaf = await host(simulator, 'room-1', { acknowledge: false })
    await until('five samples', () => sequences(deaf.samples).length === 5)
    expect(simulator.status().unacknowledgedSamples).toBe(5)
    deaf.acknowledge([
      [4, 4],
      [900, 1_000],
      [1, 2],
      [2, 1],
    ])
    await until('the rest again', () => deaf.samples.length >= 7)
    expect(deaf.samples.slice(5, 7).map((s) => s['sequence'])).toEqual([3, 5])
    expect(deaf.samples[5]).toEqual(deaf.samples[2])
    await deaf.close()
    const next = await host(simulator, 'room-1')
    await until('all acknowledged', () => simulator.status().unacknowledgedSamples === 0)
    expect(sequences(next.samples)).toEqual([3, 5])
  })

  it('keep what they measured until somebody opens the port', async () => {
    const simulator = await simulate({ devices: SERIAL.slice(0, 1) }, { durationMs: 300 })
    await until('end', () => !simulator.status().measuring)
    const late = await host(simulator, 'pump-1')
    await until('three samples', () => simulator.status().unacknowledgedSamples === 0)
    expect(sequences(late.samples)).toEqual([1, 2, 3])
  })

  it('survive an unplug: hang-up, no link, then a new terminal behind the same path, nothing lost', async () => {
    const simulator = await simulate(
      { devices: SERIAL.slice(0, 1), faults: [{ device: 'pump-1', kind: 'unplug', at: '500ms', for: '600ms' }] },
      { durationMs: 1_500 },
    )
    const path = simulator.state.ports['pump-1'] as string
    const first = await host(simulator, 'pump-1')
    await until('hang-up', () => first.unplugged)
    await until('no link', () => !existsSync(path))
    await until('a link again', () => existsSync(path))
    const second = await host(simulator, 'pump-1')
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    expect(sequences([...first.samples, ...second.samples])).toEqual(upTo(15))
    expect((await readLedgerEvents(join(folder, 'ledger'))).filter((e) => e.type === 'fault')).toMatchObject([
      { device: 'pump-1', kind: 'unplug' },
    ])
    expect(simulator.status().lostSamples).toBe(0)
  })

  it.each(['json', 'csv', 'cobs'])('get everything through a bad line with acknowledgement: %s', async (framing) => {
    const bad = ['noise', 'truncate', 'wrong_checksum', 'garbage']
    const simulator = await simulate(
      {
        devices: [{ ...SERIAL[3], interval: '10ms', serial: { framing } }],
        faults: bad.map((kind) => ({ device: 'tank-1', kind, at: '0s', for: '1500ms', share: 0.2 })),
      },
      { durationMs: 1_500 },
    )
    const listener = await host(simulator, 'tank-1')
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    expect(sequences(listener.samples)).toEqual(upTo(150))
    expect(listener.refused).toBeGreaterThan(10)
    expect(simulator.status().devices['tank-1']?.damagedFrames).toBeGreaterThan(10)
    await expectTrue('tank-1', listener.samples)
  })

  it.each(['json', 'csv', 'cobs'])(
    'without acknowledgement the ledger says exactly what was lost: %s',
    async (framing) => {
      const bad = ['noise', 'truncate', 'wrong_checksum', 'garbage']
      const simulator = await simulate(
        {
          devices: [{ ...SERIAL[1], interval: '10ms', serial: { framing, acknowledge: false } }],
          faults: [
            ...bad.map((kind) => ({ device: 'room-1', kind, at: '0s', for: '5s', share: 0.1 })),
            { device: 'room-1', kind: 'dropout', at: '800ms', for: '200ms' },
            { device: 'room-1', kind: 'unplug', at: '1500ms', for: '300ms' },
          ],
        },
        { durationMs: 2_500 },
      )
      const path = simulator.state.ports['room-1'] as string
      const first = await host(simulator, 'room-1')
      await until('hang-up', () => first.unplugged)
      await until('a link again', () => existsSync(path))
      const second = await host(simulator, 'room-1')
      await until('the end', () => !simulator.status().measuring)
      await systemClock.sleep(200)
      await simulator.stopNow()
      const truth = await ledger()
      expect(truth.map((s) => s.sequence)).toEqual(upTo(250))
      expect(sequences([...first.samples, ...second.samples])).toEqual(
        truth.filter((s) => !s.lost).map((s) => s.sequence),
      )
      const causes = new Set(truth.flatMap((s) => (s.lost ? [s.lost.cause] : [])))
      for (const cause of ['noise', 'truncate', 'wrong_checksum', 'dropout', 'unplugged'])
        expect(causes).toContain(cause)
      expect(simulator.status().lostSamples).toBe(truth.filter((s) => s.lost).length)
    },
  )

  it('drop the oldest when the ring is full, and say so', async () => {
    const simulator = await simulate(
      { devices: [{ ...SERIAL[0], serial: { framing: 'cobs', ring_samples: 4 } }] },
      { durationMs: 1_000 },
    )
    await until('the end', () => !simulator.status().measuring)
    const listener = await host(simulator, 'pump-1')
    await until('all', () => simulator.status().unacknowledgedSamples === 0)
    expect(sequences(listener.samples)).toEqual([7, 8, 9, 10])
    const lost = (await ledger()).filter((s) => s.lost)
    expect(lost.map((s) => s.sequence)).toEqual(upTo(6))
    expect(lost[0]?.lost).toEqual({ reason: 'lost_at_device', cause: 'ring_full', sent: false })
  })

  it('do not measure in a dropout that says so, and the sequence has no hole', async () => {
    const simulator = await simulate(
      {
        devices: SERIAL.slice(0, 1),
        faults: [{ device: 'pump-1', kind: 'dropout', at: '300ms', for: '500ms', measuring: false }],
      },
      { durationMs: 1_200 },
    )
    const listener = await host(simulator, 'pump-1')
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    expect(sequences(listener.samples)).toEqual(upTo(7))
    await expectTrue('pump-1', listener.samples)
  })
})

const MQTT = [
  { name: 'pump-2', class: 'pump', mqtt: {} },
  { name: 'tank-2', class: 'tank', mqtt: {} },
]

describe('MQTT devices', () => {
  it('publish each sample once a session has subscribed, and nothing before that is lost', async () => {
    const simulator = await simulate({ devices: MQTT }, { durationMs: 600 })
    await until('the end', () => !simulator.status().measuring)
    expect(simulator.status().unacknowledgedSamples).toBe(12)
    const agent = await subscriber(simulator.state.mqttUrl)
    await agent.subscribe()
    await until('all', () => simulator.status().unacknowledgedSamples === 0)
    const received = samplesOf(agent.messages)
    expect(agent.messages.every(({ text }) => text.startsWith('{'))).toBe(true)
    for (const { name } of MQTT) {
      const own = received.filter((s) => s.device === name)
      expect(sequences(own)).toEqual(upTo(6))
      await expectTrue(name, own)
    }
    expect(received.find((s) => s.device === 'tank-2')).toMatchObject({ kind: 'tank' })
  })

  it('reach a session that was away: the broker keeps the messages', async () => {
    const simulator = await simulate({ devices: MQTT }, { durationMs: 2_000 })
    const agent = await subscriber(simulator.state.mqttUrl)
    await agent.subscribe()
    await until('some', () => agent.messages.length > 4)
    agent.client.stream.destroy()
    await until('the end', () => !simulator.status().measuring)
    await until('all published', () => simulator.status().broker.queuedMessages > 5)
    const again = await subscriber(simulator.state.mqttUrl)
    await until('all', () => simulator.status().unacknowledgedSamples === 0)
    expect(sequences(samplesOf([...agent.messages, ...again.messages]).filter((s) => s.device === 'pump-2'))).toEqual(
      upTo(20),
    )
  })

  it('are held back when a session is full, and lose the oldest only when their ring is full too', async () => {
    const simulator = await simulate(
      { devices: [{ ...MQTT[0], interval: '1ms', mqtt: { ring_samples: 500 } }] },
      { durationMs: 3_000 },
    )
    const agent = await subscriber(simulator.state.mqttUrl)
    await agent.subscribe()
    await until('some', () => agent.messages.length > 0)
    agent.client.stream.destroy()
    await until('the end', () => !simulator.status().measuring)
    const again = await subscriber(simulator.state.mqttUrl)
    await until('all', () => simulator.status().unacknowledgedSamples === 0)
    const truth = await ledger()
    const received = new Set(sequences(samplesOf([...agent.messages, ...again.messages])))
    expect(truth).toHaveLength(3_000)
    expect(truth.filter((s) => !s.lost && !received.has(s.sequence))).toEqual([])
    expect(again.messages.some(({ text }) => text.startsWith('['))).toBe(true)
  })

  it('plain numbers go on a topic a field', async () => {
    const simulator = await simulate(
      { devices: [{ ...MQTT[0], clock: 'none', mqtt: { topic: 'sensors/{device}/{field}', payload: 'plain' } }] },
      { durationMs: 200 },
    )
    const agent = await subscriber(simulator.state.mqttUrl)
    await agent.subscribe()
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    const oracle = await openOracle(join(folder, 'ledger'))
    expect(agent.messages).toHaveLength(10)
    expect(agent.messages.filter((m) => m.topic === 'sensors/pump-2/temperature_c').map((m) => Number(m.text))).toEqual(
      [1, 2].map((sequence) => oracle.expectedValue('pump-2', 'temperature_c', sequence)),
    )
  })
})

describe('the ledger', () => {
  it('labels anomalies, faults and readings to be refused', async () => {
    const simulator = await simulate(
      {
        devices: SERIAL.slice(0, 1),
        anomalies: [
          { device: 'pump-1', field: 'temperature_c', kind: 'level_shift', at: '300ms', for: '200ms', by: 30 },
        ],
        bad_values: [
          { device: 'pump-1', field: 'speed_rpm', kind: 'out_of_range', at: '600ms' },
          { device: 'pump-1', field: 'mood', kind: 'unknown_field', at: '600ms' },
        ],
      },
      { durationMs: 1_000 },
    )
    const listener = await host(simulator, 'pump-1')
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    await simulator.stopNow()
    const truth = await ledger()
    expect(truth.filter((s) => s.anomalies.length > 0).map((s) => s.sequence)).toEqual([4, 5])
    expect(truth[6]).toMatchObject({
      readings: 6,
      refused: [
        { field: 'speed_rpm', reason: 'out_of_range' },
        { field: 'mood', reason: 'unknown_field' },
      ],
    })
    expect(listener.samples.find((s) => s['sequence'] === 7)).toMatchObject({ speed_rpm: 1e10, mood: 1 })
    await expectTrue('pump-1', listener.samples)
    expect(simulator.status()).toMatchObject({ producedReadings: 51, refusedReadings: 2 })
    const events = await readLedgerEvents(join(folder, 'ledger'))
    expect(events.map((e) => e.type)).toEqual(['run', 'anomaly', 'measuring_stopped', 'stopped'])
    expect(events[1]).toMatchObject({ field: 'temperature_c', kind: 'level_shift', by: 30, fromSequence: 4 })
    const { startedAtMs } = simulator.state
    expect(events[1]).toMatchObject({ fromMs: startedAtMs + 300, untilMs: startedAtMs + 500 })
  })

  it('goes on in a second run: sequences follow, a torn line is cut, the oracle knows both runs', async () => {
    const one = await simulate({ devices: SERIAL.slice(0, 1) }, { durationMs: 300, seed: 1 })
    await until('the end', () => !one.status().measuring)
    await one.stopNow(over())
    appendFileSync(join(folder, 'ledger', 'pump-1.csv'), '4,17')
    const two = await simulate({ devices: SERIAL.slice(0, 1) }, { durationMs: 300, seed: 2 })
    const listener = await host(two, 'pump-1')
    await until('all', () => !two.status().measuring && two.status().unacknowledgedSamples === 0)
    expect(sequences(listener.samples)).toEqual([4, 5, 6])
    await expectTrue('pump-1', listener.samples)
    const truth = await ledger()
    expect(truth.map((s) => s.sequence)).toEqual(upTo(6))
    expect(truth.slice(0, 3).every((s) => s.lost?.cause === 'stopped')).toBe(true)
    expect((await openOracle(join(folder, 'ledger'))).runs.map((r) => r.seed)).toEqual([1, 2])
  })

  it('can be read while it is written', async () => {
    const simulator = await simulate({ devices: MQTT }, { rate: 5_000 })
    let last = 0
    for (let look = 0; look < 5; look++) {
      await systemClock.sleep(100)
      const found = (await ledger('pump-2')).map((s) => s.sequence)
      expect(found).toEqual(upTo(found.length))
      expect(found.length).toBeGreaterThan(last)
      last = found.length
    }
    expect(simulator.status().producedSamples).toBeGreaterThanOrEqual(last)
  })
})

it('the same seed measures the same, another seed something else', async () => {
  const read = async (seed: number) => {
    folder = mkdtempSync(join(tmpdir(), 'simulator-'))
    const simulator = await simulate({ devices: SERIAL.slice(1, 2) }, { durationMs: 300, seed })
    await until('the end', () => !simulator.status().measuring)
    await simulator.stopNow(over())
    const oracle = await openOracle(join(folder, 'ledger'))
    const [run] = oracle.runs
    rmSync(folder, { recursive: true })
    return { run, noise: upTo(3).map((s) => oracle.expectedValue('room-1', 'pressure_hpa', s)) }
  }
  const [a, c] = [await read(5), await read(6)]
  expect(a.run?.scenario).toEqual(c.run?.scenario)
  expect(a.noise).not.toEqual(c.noise)
})

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
