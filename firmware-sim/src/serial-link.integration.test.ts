import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { describe, expect, it } from 'vitest'
import { readLedgerEvents, summariseLedger } from './ledger-reader.ts'
import type { TestHost } from './test-host.ts'
import { expectTrue, folder, host, ledger, SERIAL, sequences, simulate, until, upTo } from './test-site.ts'

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
