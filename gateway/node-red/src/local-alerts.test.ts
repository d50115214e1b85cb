import type { GatewayStatus } from '@tributary/gateway'
import { type Contract, contractSchema } from '@tributary/protocol'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { describe, expect, test } from 'vitest'
import { ALERTS_MAX, createAlertBook, flowKey } from './alert-book.ts'
import { createGrowth } from './growth.ts'
import { AGENT_SILENT_MS, localConditions, type SiteFacts } from './local-alerts.ts'
import type { DeviceState } from './site-state.ts'

const boiler: Contract = contractSchema.parse({
  kind: 'boiler',
  version: 1,
  description: 'A boiler.',
  interval: '1s',
  fields: {
    temperature_c: { type: 'float', label: 'Temperature', unit: '°C', range: [0, 200], decimals: 1 },
    burning: { type: 'boolean', label: 'Burning' },
  },
  thresholds: [
    { field: 'temperature_c', above: 80, hysteresis: 5, severity: 'warning' },
    { field: 'temperature_c', above: 90, severity: 'critical' },
    { field: 'temperature_c', below: 5, severity: 'warning' },
  ],
  detectors: { silence: '20s' },
})
const NOW_MS = 1_000_000

const device = (temperature: number, heardMsAgo = 0): DeviceState => ({
  device: 'b-1',
  kind: 'boiler',
  agent: 'agent-1',
  timeMs: NOW_MS,
  heardAtMs: NOW_MS - heardMsAgo,
  fields: new Map([
    [
      'temperature_c',
      {
        field: 'temperature_c',
        contract: boiler.fields['temperature_c'] as never,
        value: temperature,
        hour: undefined,
      },
    ],
  ]),
})
const agent = (name: string, connected = true, silentMs = 0) => ({
  agent: name,
  connected,
  lastSeenMs: NOW_MS - silentMs,
})
const status = (change: object = {}) =>
  ({
    gateway: 'gw',
    natsConnected: true,
    spool: { failing: null, bytesUsed: 1, bytesMax: 100 },
    backlog: { batches: 7 },
    agents: [agent('agent-1'), agent('gw', true, 1e6), agent('gw-site', true, 1e6)],
    ...change,
  }) as unknown as GatewayStatus

const said = (change: Partial<SiteFacts>) =>
  localConditions({
    contracts: new Map([['boiler', boiler]]),
    devices: [device(20)],
    status: status(),
    tapProblem: undefined,
    isBacklogGrowing: false,
    mayBeQuiet: ['gw', 'gw-site'],
    wallMs: NOW_MS,
    monotonicMs: NOW_MS,
    isOpen: () => false,
    ...change,
  }).map(({ severity, subject, what }) => `${severity}: ${subject} ${what}`)

describe('a value', () => {
  test('within its limits is nothing to tell', () => expect(said({})).toEqual([]))
  test('beyond a threshold is told with both, the worse of two sides alone', () => {
    expect(said({ devices: [device(85)] })).toEqual(['warning: b-1 Temperature 85.0 °C, above 80.0 °C'])
    expect(said({ devices: [device(95)] })).toEqual(['critical: b-1 Temperature 95.0 °C, above 90.0 °C'])
    expect(said({ devices: [device(1)] })).toEqual(['warning: b-1 Temperature 1.0 °C, below 5.0 °C'])
  })
  test('out of its range breaks the contract', () =>
    expect(said({ devices: [device(-3)] })).toContain('critical: b-1 Temperature -3.0 °C, not within 0 to 200.0 °C'))
  test('that comes back has to come back by the hysteresis', () => {
    const isOpen = (key: string) => key.startsWith('above_80')
    expect(said({ devices: [device(77)], isOpen })).toHaveLength(1)
    expect(said({ devices: [device(77)] })).toEqual([])
    expect(said({ devices: [device(74)], isOpen })).toEqual([])
  })
})

describe('silence', () => {
  const silent = [device(95, 25_000)]
  test('of a device is told, and its last value no more', () =>
    expect(said({ devices: silent })).toEqual(['warning: b-1 is silent for more than 20 s']))
  test('of an agent is one alert, not one a device', () => {
    const told = ['critical: Agent agent-1 is silent']
    expect(said({ devices: silent, status: status({ agents: [agent('agent-1', false)] }) })).toEqual(told)
    expect(
      said({ devices: silent, status: status({ agents: [agent('agent-1', true, AGENT_SILENT_MS + 1)] }) }),
    ).toEqual(told)
  })
  test('of the gateway is one alert, and nobody else is called silent', () => {
    expect(said({ devices: silent, tapProblem: 'no gateway' })).toEqual([
      'critical: Gateway gives no live samples: no gateway',
    ])
    expect(said({ devices: silent, status: undefined, tapProblem: 'gone' })).toHaveLength(1)
  })
})

test('the gateway: no link to the cloud, a spool that takes nothing or fills, a backlog that grows', () => {
  expect(said({ status: status({ natsConnected: false }), isBacklogGrowing: true })).toEqual([
    'warning: Cloud cannot be reached: batches wait on this gateway',
    'warning: Backlog grows: 7 batches wait',
  ])
  expect(said({ status: status({ spool: { failing: 'disk full', bytesUsed: 85, bytesMax: 100 } }) })).toEqual([
    'critical: Gateway takes nothing: disk full',
    'warning: Gateway has used 85 % of its room for batches',
  ])
})

test('a backlog grows when it is large and larger than half a minute ago', () => {
  const growing = (of: (second: number) => number) => {
    const growth = createGrowth()
    for (let second = 0; second <= 60; second++) growth.add(of(second), second * 1_000)
    return growth.isGrowing
  }
  expect(growing((second) => 200 + 10 * second)).toBe(true)
  expect(growing(() => 500)).toBe(false)
  expect(growing((second) => 900 - 10 * second)).toBe(false)
  expect(growing((second) => second)).toBe(false)
})

describe('the book', () => {
  const one = { key: 'a', severity: 'warning', subject: 's', what: 'w' } as const
  test('tells of an alert as it opens and as it closes, and since when it is open', async () => {
    const clock = createSimulatedClock(5_000)
    const book = createAlertBook({ clock })
    const told: string[] = []
    book.onChange(({ state, alert }) => told.push(`${state} ${alert.key} ${alert.what} since ${alert.sinceMs}`))
    book.update([one])
    await clock.advance(1_000)
    book.update([{ ...one, what: 'worse' }])
    book.raise({ ...one, key: flowKey('x') })
    book.update([])
    expect(told).toEqual(['open a w since 5000', 'open flow/x w since 6000', 'closed a worse since 5000'])
    expect(
      book.open.map(({ key }) => key),
      "a flow's own is the flow's to end",
    ).toEqual(['flow/x'])
    book.clear(flowKey('x'))
    expect(book.open).toEqual([])
  })
  test('has so many pages and no more', () => {
    const book = createAlertBook({ clock: createSimulatedClock() })
    const raised = Array.from({ length: ALERTS_MAX + 3 }, (_, i) => book.raise({ ...one, key: flowKey(`${i}`) }))
    expect(raised.filter((isRaised) => !isRaised)).toHaveLength(3)
    expect(book.open).toHaveLength(ALERTS_MAX)
    expect(book.dropped).toBe(3)
  })
})
