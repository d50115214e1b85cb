/** Detectors that look at more than one value, through `step`. */
import { readFile } from 'node:fs/promises'
import { type Contract, contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import type { StepContext } from './batch-scope.ts'
import { normal, seededRandom } from './detectors/simulated-series.ts'
import { clearEffects, createEffects } from './effects.ts'
import type { PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { T, texts } from './step-harness.ts'
import { batchOf, blockOf, contextOf, intakeOf, type SampleValues, stateFor } from './testing.ts'

const ROOM = {
  kind: 'room',
  version: 1,
  description: 'A room and its machine.',
  interval: '1s',
  fields: {
    temperature_c: { type: 'float', label: 'Temperature', unit: '°C', range: [-40, 125] },
    humidity_percent: { type: 'float', label: 'Humidity', unit: '%' },
    total: { type: 'integer', label: 'Total', role: 'counter' },
  },
  windows: ['10s'],
}
const room = (detectors: object, more: object = {}): Contract => contractSchema.parse({ ...ROOM, ...more, detectors })

interface Told {
  readonly anomalies: string[]
  readonly transitions: string[]
  readonly lines: string[]
}

/** A partition that is fed by several agents; sequences and totals are kept as each would. */
function plant(context: StepContext) {
  let state: PartitionState = stateFor(context)
  const effects = createEffects()
  const agents = new Map<string, { sequence: number; readings: number }>()
  const told: Told = { anomalies: [], transitions: [], lines: [] }
  let streamSequence = 0
  const second = (atMs: number) => (atMs - T) / 1_000
  return {
    told,
    get state() {
      return state
    },
    restart() {
      state = decodeState(encodeState(state), context.contracts)
    },
    give(
      agent: string,
      blocks: ReturnType<typeof blockOf>[],
      throughMs: number,
      lane: 'live' | 'backlog' = 'live',
      sequence?: number,
    ) {
      clearEffects(effects)
      const known = agents.get(agent) ?? { sequence: 0, readings: 0 }
      const batch = batchOf({
        ...{ agent, lane, blocks, completeThroughMs: throughMs },
        sequence: sequence ?? known.sequence + 1,
        readingsBefore: known.readings,
      })
      agents.set(agent, { sequence: batch.header.sequence, readings: batch.header.readingsTotal })
      streamSequence += 1
      step(state, intakeOf(batch, { streamSequence, receivedAtMs: throughMs + 500 }), context, effects)
      for (const one of effects.anomalies)
        told.anomalies.push(`${second(one.timeMs)}s ${one.device} ${one.field} ${one.detector}: ${one.message}`)
      for (const one of effects.transitions)
        told.transitions.push(`${second(one.atMs)}s ${one.device} ${one.field} ${one.detector} ${one.state}`)
      told.lines.push(...texts(effects).lines.filter((line) => /^(anomaly|alert),/.test(line)))
      return effects
    },
  }
}

const at = (second: number, values: SampleValues['values']): SampleValues => ({ timeMs: T + second * 1_000, values })

describe('a value outside its range', () => {
  const values = [20, 21, 300, 301, 22, 23]
  const detectors = { out_of_range: ['temperature_c'], outlier: ['temperature_c'] }
  for (const [range, became] of [
    ['reject', 'refused'],
    ['flag', 'stored and marked'],
    ['pass', 'stored'],
  ] as const)
    test(`under the policy ${range} is an anomaly of its own, told once, and ends`, () => {
      const p = plant(contextOf([room(detectors, { policy: { range } })]))
      let letters = 0
      for (const [s, temperature_c] of values.entries())
        letters += p.give('agent-a', [blockOf('room-1', 'room', [at(s, { temperature_c })])], T + s * 1_000).deadLetters
          .length
      expect(p.told.anomalies).toEqual([
        `2s room-1 temperature_c out_of_range: Temperature: 300.00 °C, outside the range -40 to 125 °C of its contract: ${became}`,
      ])
      expect(letters).toBe(range === 'reject' ? 2 : 0)
      p.give('agent-a', [], T + 60_000)
      expect(p.told.transitions).toEqual([
        '2s room-1 temperature_c out_of_range firing',
        '34s room-1 temperature_c out_of_range resolved',
      ])
    })

  for (const range of ['reject', 'flag'] as const)
    test(`and is old, under the policy ${range}: recorded as history, and nobody is told`, () => {
      const p = plant(contextOf([room(detectors, { policy: { range } })], { receivers: ['people'] }))
      p.give('agent-a', [blockOf('room-1', 'room', [at(100, { temperature_c: 20 })])], T + 100_000)
      for (const [s, temperature_c] of [20, 300, 301, 22].entries())
        p.give('agent-a', [blockOf('room-1', 'room', [at(50 + s, { temperature_c })])], T + 101_000)
      expect(p.told.anomalies.map((one) => one.split(':')[0])).toEqual(['51s room-1 temperature_c out_of_range'])
      expect(p.told.transitions).toEqual(['51s room-1 temperature_c out_of_range historical'])
      expect(p.state.outbox.queues).toEqual({})
    })

  test('that was refused is judged by no other detector, and teaches none', () => {
    const p = plant(contextOf([room({ ...detectors, flatline: { temperature_c: '3s' } })]))
    p.give(
      'agent-a',
      [
        blockOf(
          'room-1',
          'room',
          values.map((temperature_c, s) => at(s, { temperature_c })),
        ),
      ],
      T + 6_000,
    )
    const [series] = [...p.state.agents.values()].flatMap(({ series: all }) => all)
    const watches = series?.fields[0]?.watches ?? []
    const seen = Object.fromEntries(watches.map(({ detector, state }) => [detector.name, state]))
    expect(seen['outlier']).toMatchObject({ samples: 4, lastValue: 23 })
    expect(series?.fields[0]?.lastValue).toBe(23)
  })
})

test('a counter that begins again: an alert that fires and ends with the next reading, once a reset', () => {
  const p = plant(contextOf([room({ counter_reset: ['total'] })]))
  for (const [s, total] of [5, 70, 80, 3, 4, 5, 1, 2].entries())
    p.give('agent-a', [blockOf('room-1', 'room', [at(s, { total })])], T + s * 1_000)
  expect(p.told.anomalies).toEqual([
    '3s room-1 total counter_reset: Total: 3, began again: it stood at 80',
    '6s room-1 total counter_reset: Total: 1, began again: it stood at 5',
  ])
  expect(p.told.transitions.map((one) => one.split(' ').at(-1))).toEqual(['firing', 'resolved', 'firing', 'resolved'])
})

test('a rate: told in the unit of the contract, and over when the value rests', () => {
  const p = plant(contextOf([room({ rate: { temperature_c: { limit: '+5/min', over: '40s' } } })]))
  for (let s = 0; s < 300; s++)
    p.give(
      'agent-a',
      [blockOf('room-1', 'room', [at(s, { temperature_c: 20 + Math.max(0, Math.min(s, 160) - 80) / 6 })])],
      T + s * 1_000,
    )
  expect(p.told.anomalies).toEqual([
    expect.stringMatching(
      /^1[01]\d(\.\d+)?s room-1 temperature_c rate: Temperature: 2\d\.\d\d °C, rising by \d+\.\d\d a minute over/,
    ),
  ])
  expect(p.told.transitions.map((one) => one.split(' ').at(-1))).toEqual(['firing', 'resolved'])
})

describe('fields that move together', () => {
  const contract = room({ together: [['temperature_c', 'humidity_percent']] })
  const context = contextOf([contract])
  /** Hotter is drier; from a second on the humidity does not follow. */
  function run(batchSeconds: number, restartEvery = Number.POSITIVE_INFINITY) {
    const random = seededRandom(5)
    const p = plant(context)
    const samples = Array.from({ length: 1_200 }, (_, s) => {
      const load = Math.sin(s / 60)
      const stuck = s >= 900 && s < 1_000 ? 9 : 0
      return at(s, {
        temperature_c: 30 + 8 * load + 0.1 * normal(random),
        humidity_percent: 50 - 12 * load + 0.2 * normal(random) + stuck,
      })
    })
    for (let from = 0, n = 0; from < samples.length; from += batchSeconds, n++) {
      if (n % restartEvery === restartEvery - 1) p.restart()
      const part = samples.slice(from, from + batchSeconds)
      p.give('agent-a', [blockOf('room-1', 'room', part)], part.at(-1)?.timeMs ?? 0)
    }
    return p.told
  }

  test('one that leaves the others is told, with what they let expect; the alert is about the device', () => {
    const told = run(1)
    expect(told.anomalies[0]).toMatch(
      /^902s room-1 {2}together_temperature_c\+humidity_percent: (Humidity|Temperature): \d\d\.\d\d .*, \d+\.\d\d (above|below) the \d\d\.\d\d that (Temperature|Humidity) \(\d\d\.\d\d (°C|%)\) lets expect$/,
    )
    expect(told.lines[0]).toMatch(
      /^anomaly,detector=together_temperature_c\+humidity_percent,device=room-1,site=workshop kind="room",value=/,
    )
    expect(told.lines[0]).toMatch(
      /,expected=\d.*,lower=\d.*,upper=\d.*,component="(humidity_percent|temperature_c)" \d+$/,
    )
    expect(told.transitions).toEqual([
      '902s room-1  together_temperature_c+humidity_percent firing',
      expect.stringMatching(/^10\d\d(\.\d+)?s room-1 {2}together_temperature_c\+humidity_percent resolved$/),
    ])
  })

  test('however batches are cut, and over restarts, the same is told', () => {
    const { anomalies, transitions } = run(1)
    expect(run(7)).toMatchObject({ anomalies })
    expect(run(1, 13)).toMatchObject({ anomalies, transitions })
  })
})

/** Written by the program before there were peers, fields together, rates: four rooms, one of them too hot. */
const BEFORE = new URL('../fixtures/state-3-before-peers.bin', import.meta.url)

test('a checkpoint from before is read, and what its contract asks for now begins', async () => {
  const detectors = {
    ...{ outlier: ['humidity_percent'], flatline: { humidity_percent: '5m' }, silence: '30s' },
    ...{ peers: ['temperature_c'], together: [['temperature_c', 'humidity_percent']], counter_reset: ['total'] },
  }
  const limits = { thresholds: [{ field: 'temperature_c', above: 30, hysteresis: 1 }], windows: undefined }
  const context = contextOf([room(detectors, limits)])
  const state = decodeState(await readFile(BEFORE), context.contracts)
  expect(Object.values(state.alerts.episodes).map(({ device, detector }) => `${device} ${detector}`)).toEqual([
    'room-1 threshold_above_30',
  ])
  expect(state.peers.size).toBe(0)
  const effects = createEffects()
  for (let s = 95; s < 125; s++) {
    clearEffects(effects)
    const blocks = ['room-1', 'room-2', 'room-3', 'room-4'].map((device) =>
      blockOf(device, 'room', [at(s, { temperature_c: 20, humidity_percent: 40, total: s === 110 ? 1 : s })]),
    )
    const batch = batchOf({ sequence: s + 1, readingsBefore: s * 12, completeThroughMs: T + s * 1_000, blocks })
    step(state, intakeOf(batch, { streamSequence: s + 1, receivedAtMs: T + s * 1_000 }), context, effects)
  }
  expect(state.peers.get('workshop/room')?.peers.get('room-1')?.states[0]?.windows).toBeGreaterThanOrEqual(2)
  expect(state.counters.anomalies).toBeGreaterThanOrEqual(4)
  const bytes = encodeState(state)
  expect(encodeState(decodeState(bytes, context.contracts))).toEqual(bytes)
})
