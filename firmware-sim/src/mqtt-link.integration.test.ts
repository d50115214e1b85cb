import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openOracle } from './ledger-reader.ts'
import {
  expectTrue,
  folder,
  ledger,
  MQTT,
  samplesOf,
  sequences,
  simulate,
  subscriber,
  until,
  upTo,
} from './test-site.ts'

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

  it('that were silent or unplugged catch up, many samples in a message when they are fast', async () => {
    const simulator = await simulate(
      {
        devices: [{ ...MQTT[0], interval: '5ms' }, MQTT[1]],
        faults: [
          { device: 'pump-2', kind: 'unplug', at: '300ms', for: '400ms' },
          { device: 'tank-2', kind: 'dropout', at: '300ms', for: '400ms' },
        ],
      },
      { durationMs: 1_200 },
    )
    const agent = await subscriber(simulator.state.mqttUrl)
    await agent.subscribe()
    await until('unplugged', () => simulator.status().devices['pump-2']?.open === false)
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    const received = samplesOf(agent.messages)
    expect(sequences(received.filter((s) => s.device === 'pump-2'))).toEqual(upTo(240))
    expect(sequences(received.filter((s) => s.device === 'tank-2'))).toEqual(upTo(12))
    expect(agent.messages.filter(({ text }) => text.startsWith('[')).length).toBeGreaterThan(5)
    await expectTrue(
      'pump-2',
      received.filter((s) => s.device === 'pump-2'),
    )
    expect(simulator.status().lostSamples).toBe(0)
  })

  it('without a subscriber lose the oldest when their ring is full, and the ledger says which', async () => {
    const simulator = await simulate(
      { devices: [{ ...MQTT[0], interval: '10ms', mqtt: { ring_samples: 40 } }] },
      { durationMs: 1_000 },
    )
    await until('the end', () => !simulator.status().measuring)
    const agent = await subscriber(simulator.state.mqttUrl)
    await agent.subscribe()
    await until('all', () => simulator.status().unacknowledgedSamples === 0)
    const received = new Set(sequences(samplesOf(agent.messages)))
    const truth = await ledger()
    expect(truth.filter((s) => s.lost).map((s) => s.sequence)).toEqual(upTo(60))
    expect(truth.filter((s) => !s.lost && !received.has(s.sequence))).toEqual([])
    // What had been published when it was dropped may have come; what had not, cannot.
    expect(truth.filter((s) => s.lost && !s.lost.sent && received.has(s.sequence))).toEqual([])
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
