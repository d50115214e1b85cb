/** For tests: simulators in folders of their own, hosts on their ports, clients of their broker; all of it closed again. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterEach, beforeEach, expect } from 'vitest'
import { type LedgerSample, openOracle, readLedger } from './ledger-reader.ts'
import type { Decoded } from './reference-decoder.ts'
import { type Scenario, scenarioSchema } from './scenario.ts'
import { createSimulator, type Simulator, type SimulatorOptions } from './simulator.ts'
import { openTestHost } from './test-host.ts'

/** Of the test that runs. */
export let folder = ''
/** Closed when the test ends, latest first. */
export const opened: { close(): Promise<unknown> }[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'simulator-'))
})
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
  rmSync(folder, { recursive: true, force: true })
})

export async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 15_000) {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs
  while (!(await condition())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await systemClock.sleep(20)
  }
}
export const none = () => new AbortController().signal
export const over = () => AbortSignal.abort(new DOMException('no time', 'AbortError'))

export async function simulate(parts: Record<string, unknown> | Scenario, options: Partial<SimulatorOptions> = {}) {
  const scenario = 'name' in parts ? (parts as Scenario) : scenarioSchema.parse({ name: 'test', ...parts })
  const loopback = { host: '127.0.0.1', port: 0 }
  const simulator = createSimulator(
    { scenario, dataDir: folder, mqtt: loopback, admin: loopback, ...options },
    { clock: systemClock, log: createLogger('simulator', 'silent'), metrics: createMetrics('simulator') },
  )
  await simulator.start(none())
  let stopped = false
  const stop = async (signal = none()) => {
    if (!stopped) await simulator.stop(signal)
    stopped = true
  }
  opened.push({ close: () => stop(over()) })
  return Object.assign(simulator, { stopNow: stop, scenario })
}
export async function host(
  simulator: Simulator & { scenario: Scenario },
  name: string,
  options?: { acknowledge?: boolean },
) {
  const config = simulator.scenario.devices.find((d) => d.name === name)
  if (!config) throw new Error(name)
  const listener = await openTestHost(simulator.state.ports[name] as string, config, options)
  opened.push(listener)
  return listener
}
/** A client with a persistent session, as the agent is one. */
export async function subscriber(url: string, clientId = 'agent') {
  const messages: { topic: string; text: string }[] = []
  const client: MqttClient = await connectAsync(url, { clientId, clean: false, protocolVersion: 4, reconnectPeriod: 0 })
  opened.push({ close: () => client.endAsync(true) })
  client.on('message', (topic, payload) => messages.push({ topic, text: payload.toString() }))
  return { client, messages, subscribe: () => client.subscribeAsync('sensors/#', { qos: 1 }) }
}
export const samplesOf = (messages: { topic: string; text: string }[]) =>
  messages.flatMap(({ topic, text }) =>
    [JSON.parse(text)].flat().map((sample: Decoded) => ({ device: topic.split('/')[1] as string, ...sample })),
  )
export async function ledger(device?: string): Promise<LedgerSample[]> {
  const samples: LedgerSample[] = []
  for await (const sample of readLedger(join(folder, 'ledger'), device === undefined ? {} : { device }))
    samples.push(sample)
  return samples
}
/** Every received sample is in the ledger, with the time and the values that the oracle computes. */
export async function expectTrue(device: string, received: readonly Decoded[]) {
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
export const sequences = (samples: readonly Decoded[]) =>
  [...new Set(samples.map((s) => s['sequence'] as number))].sort((a, b) => a - b)
export const upTo = (count: number, first = 1) => Array.from({ length: count }, (_, i) => first + i)

export const SERIAL = [
  { name: 'pump-1', class: 'pump', serial: { framing: 'cobs' } },
  { name: 'room-1', class: 'thermometer', serial: { framing: 'json' } },
  { name: 'meter-1', class: 'power_meter', serial: { framing: 'csv' } },
  { name: 'tank-1', class: 'tank', serial: { framing: 'csv', announce_columns: true } },
]

export const MQTT = [
  { name: 'pump-2', class: 'pump', mqtt: {} },
  { name: 'tank-2', class: 'tank', mqtt: {} },
]
