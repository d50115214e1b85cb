import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { describe, expect, it } from 'vitest'
import { openOracle, readLedgerEvents } from './ledger-reader.ts'
import { expectTrue, folder, host, ledger, MQTT, over, SERIAL, sequences, simulate, until, upTo } from './test-site.ts'

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

  it('labels each spike that recurs, and samples that are missing as soon as they are', async () => {
    const simulator = await simulate(
      {
        devices: SERIAL.slice(0, 1),
        anomalies: [
          {
            ...{ device: 'pump-1', field: 'temperature_c', kind: 'recurring_spikes' },
            ...{ at: '100ms', for: '600ms', spacing: '300ms', by: 30 },
          },
          { device: 'pump-1', kind: 'missing', at: '700ms', for: '10s' },
        ],
      },
      { durationMs: 1_000 },
    )
    await host(simulator, 'pump-1')
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    await simulator.stopNow()
    expect((await ledger()).map((s) => s.anomalies.length)).toEqual([0, 1, 0, 0, 1, 0, 0])
    const { startedAtMs } = simulator.state
    const labels = (await readLedgerEvents(join(folder, 'ledger'))).filter((e) => e.type === 'anomaly')
    expect(
      labels.map(({ field, kind, fromMs, untilMs }) => [field, kind, fromMs - startedAtMs, untilMs - startedAtMs]),
    ).toEqual([
      ['temperature_c', 'recurring_spikes', 100, 100],
      ['temperature_c', 'recurring_spikes', 400, 400],
      ['', 'missing', 700, 10_700],
    ])
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
