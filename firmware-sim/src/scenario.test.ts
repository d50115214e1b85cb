import { parseConfig } from '@tributary/runtime'
import { describe, expect, it } from 'vitest'
import { loadScenario, readingsPerSecond, scenarioSchema } from './scenario.ts'

const mistakes = (text: string): string => {
  try {
    parseConfig('test.yaml', text, scenarioSchema, {})
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

describe('scenarios', () => {
  it.each(['demo', 'steady'])('%s is valid and makes 400 readings a second', async (name) => {
    expect(readingsPerSecond(await loadScenario(name))).toBe(400)
  })

  it('late has clocks that are behind, an agent that is offline for a minute, and poison on every device', async () => {
    const { devices, bad_values, outages } = await loadScenario('late')
    expect(devices.filter((d) => d.clock_behind > 0).length).toBeGreaterThan(0)
    expect(outages).toEqual([{ agent: 'agent-2', at: 60_000, for: 60_000 }])
    for (const { name } of devices)
      expect(bad_values.filter((b) => b.device === name).reduce((sum, b) => sum + (b.share ?? 1), 0)).toBeCloseTo(0.01)
  })

  it('anomalies has each kind several times on several devices, and as many calm ones', async () => {
    const { anomalies, devices, expect: aims } = await loadScenario('anomalies')
    const kinds = ['spike', 'level_shift', 'drift', 'stuck', 'variance', 'recurring_spikes', 'missing']
    expect([...new Set(anomalies.map(({ kind }) => kind))].toSorted()).toEqual(kinds.toSorted())
    for (const kind of kinds)
      expect(new Set(anomalies.filter((a) => a.kind === kind).map((a) => a.device)).size).toBeGreaterThanOrEqual(3)
    const disturbed = new Set(anomalies.map(({ device }) => device))
    expect(devices.length - disturbed.size).toBeGreaterThanOrEqual(disturbed.size)
    expect(Math.min(...anomalies.map(({ at }) => at))).toBeGreaterThanOrEqual(90_000)
    expect(aims).toEqual({ recall: 0.9, false_alarms: 1 })
  })

  it('there is one without ports, for where there are none', async () => {
    const { devices } = await loadScenario('mqtt-only')
    expect(devices.every((d) => d.mqtt !== undefined)).toBe(true)
  })

  it('the demo has what it must show within its first minute', async () => {
    const { anomalies, bad_values, faults, devices } = await loadScenario('demo')
    const soon = <T extends { at: number }>(entries: T[]) => entries.filter((e) => e.at < 60_000)
    expect(new Set(soon(anomalies).map((a) => a.kind))).toEqual(new Set(['spike', 'level_shift', 'stuck', 'drift']))
    expect(soon(bad_values).length).toBeGreaterThanOrEqual(3)
    expect(new Set(soon(faults).map((f) => f.kind)).size).toBe(6)
    expect(devices.filter((d) => d.serial).length).toBe(4)
  })

  it('a file with many mistakes is told all of them at once, with path and value', () => {
    const said = mistakes(`
name: broken
colour: red
devices:
  - { name: Pump 1, class: pump, serial: { framing: cobs } }
  - { name: room, class: fridge, mqtt: {} }
  - { name: both, class: tank, mqtt: {}, serial: { framing: json } }
  - { name: quick, class: tank, interval: 5 minutes, mqtt: {} }
  - { name: odd, class: tank, serial: { framing: morse } }
`)
    for (const part of [
      'colour: unknown key',
      'devices[0].name',
      'devices[1].class',
      'devices[2]',
      'devices[3].interval',
      'devices[4].serial.framing',
      '"morse"',
    ])
      expect(said).toContain(part)
  })

  it('what does not fit together is told all at once too', () => {
    const said = mistakes(`
name: broken
devices:
  - { name: room, class: thermometer, mqtt: {} }
  - { name: room, class: thermometer, mqtt: {} }
  - { name: bare, class: tank, serial: { framing: csv, checksum: false } }
  - { name: timeless, class: tank, clock: none, serial: { framing: csv } }
anomalies:
  - { device: nobody, field: temperature_c, kind: spike, at: 1s, by: 1 }
  - { device: room, field: speed_rpm, kind: spike, at: 1s, by: 1 }
  - { device: bare, field: state, kind: drift, at: 1s, for: 5s, by: 1 }
  - { device: room, field: temperature_c, kind: stuck, at: 1s, for: 10s, every: 5s }
  - { device: room, field: sequence, kind: spike, at: 1s, by: 1 }
  - { device: bare, field: state, kind: variance, at: 1s, for: 5s, by: 1 }
  - { device: room, field: temperature_c, kind: recurring_spikes, at: 1s, for: 5s, by: 1, spacing: 0s }
bad_values:
  - { device: bare, field: extra, kind: unknown_field, at: 1s }
faults:
  - { device: room, kind: noise, at: 1s, for: 5s }
  - { device: bare, kind: noise, at: 1s, for: 5s }
`)
    for (const part of [
      'devices[1].name',
      'devices[3].clock',
      'anomalies[0].device',
      'anomalies[1].field: a thermometer has no such field, only sequence, temperature_c',
      'anomalies[2].field',
      'anomalies[3].every',
      'anomalies[4].field',
      'anomalies[5].field: must be a number',
      'anomalies[6].spacing: must be longer than nothing',
      'bad_values[0].kind',
      'faults[0].kind: needs a serial device',
      'faults[1].kind: needs a line with a checksum',
    ])
      expect(said).toContain(part)
  })

  it('a clock that is behind, a share of bad values and outages are told when they do not fit', () => {
    const said = mistakes(`
name: broken
devices:
  - { name: a, class: pump, clock: none, clock_behind: 5m, mqtt: {} }
bad_values:
  - { device: a, field: speed_rpm, kind: wrong_type, at: 1s, share: 0.01 }
  - { device: a, field: speed_rpm, kind: wrong_type, at: 1s, for: 5s, share: 2 }
outages:
  - { agent: agent-1, at: 10s, for: 10s }
  - { agent: agent-2, at: 15s, for: 10s }
  - { agent: agent-1, at: 19s, for: 10s }
  - { agent: agent-1, at: 29s, for: 10s, every: 1m }
`)
    for (const part of ['bad_values[1].share', 'outages[3].every: unknown key']) expect(said).toContain(part)
    const alsoSaid = mistakes(`
name: broken
devices:
  - { name: a, class: pump, clock: none, clock_behind: 5m, mqtt: {} }
bad_values:
  - { device: a, field: speed_rpm, kind: wrong_type, at: 1s, share: 0.01 }
outages:
  - { agent: agent-1, at: 10s, for: 10s }
  - { agent: agent-2, at: 15s, for: 10s }
  - { agent: agent-1, at: 19s, for: 10s }
  - { agent: agent-1, at: 29s, for: 10s }
`)
    for (const part of [
      'devices[0].clock_behind: needs a clock of its own',
      'bad_values[0].share: needs "for"',
      'outages[2].at: overlaps with outages[0]',
    ])
      expect(alsoSaid).toContain(part)
    expect(alsoSaid).not.toContain('outages[1]')
    expect(alsoSaid).not.toContain('outages[3]')
  })

  it('a file that is not there is a clear mistake', async () => {
    await expect(loadScenario('/nowhere/at-all.yaml')).rejects.toThrow(/does not exist/)
    await expect(loadScenario('no-such-scenario')).rejects.toThrow(/does not exist/)
  })

  it('devices are only swapped when somebody can tell them apart', () => {
    const said = mistakes(`
name: swaps
devices:
  - { name: a, class: pump, serial: { framing: json, announce: true } }
  - { name: b, class: pump, serial: { framing: json } }
  - { name: c, class: pump, serial: { framing: cobs, announce: true, acknowledge: false } }
  - { name: d, class: pump, mqtt: {} }
  - { name: e, class: pump, serial: { framing: json, announce: true } }
faults:
  - { device: a, kind: swap, with: b, at: 1s, for: 5s }
  - { device: a, kind: swap, with: c, at: 1s, for: 5s }
  - { device: a, kind: swap, with: d, at: 1s, for: 5s }
  - { device: a, kind: swap, with: a, at: 1s, for: 5s }
  - { device: a, kind: swap, with: z, at: 1s, for: 5s }
  - { device: a, kind: swap, with: e, at: 1s, for: 100ms }
  - { device: a, kind: swap, with: e, at: 1s, for: 5s, every: 5.2s }
  - { device: d, kind: vanish, at: 1s, for: 5s }
`)
    for (const part of [
      'faults[0].with: both need "announce: true"',
      'faults[1].with: two framings',
      'faults[2].with: both must be serial devices',
      'faults[3].with: must be another device',
      'faults[4].with: there is no such device',
      'faults[5].for: must be longer than 500ms',
      'faults[6].every: must be more than 500ms longer',
      'faults[7].kind: needs a serial device',
    ])
      expect(said).toContain(part)
  })
})
