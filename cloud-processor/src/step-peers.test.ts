/** Devices beside their peers, through `step`: several agents of a site, their batches in any order, gaps and restarts. */
import { type Contract, contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { adoptContracts } from './adopt-contracts.ts'
import { normal, seededRandom } from './detectors/simulated-series.ts'
import { clearEffects, createEffects } from './effects.ts'
import type { PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { T } from './step-harness.ts'
import { batchOf, blockOf, contextOf, intakeOf, stateFor } from './testing.ts'

const contract: Contract = contractSchema.parse({
  kind: 'room',
  version: 1,
  description: 'A room.',
  interval: '10s',
  fields: { temperature_c: { type: 'float', label: 'Temperature', unit: '°C' } },
  windows: ['10s'],
  detectors: { peers: ['temperature_c'] },
})
const context = contextOf([contract])
const AGENTS = ['agent-a', 'agent-b'] as const
const SECONDS = 1_500
/** Agents are known to each other by then. */
const BEGUN = 60
/** Meanwhile room-0 is four degrees too warm. */
const ODD = { from: 1_000, to: 1_300 }

const temperature = (room: number, second: number): number =>
  20 +
  room +
  3 * Math.sin(second / 400) +
  0.1 * normal(seededRandom(room * 1e6 + second)) +
  (room === 0 && second >= ODD.from && second < ODD.to ? 4 : 0)

interface Batch {
  readonly agent: (typeof AGENTS)[number]
  readonly sequence: number
  readonly untilSecond: number
  readonly batch: ReturnType<typeof batchOf>
}

interface Plan {
  /** How long each batch is, in turn; those of the first minute are of ten seconds. */
  readonly seconds?: readonly number[]
  readonly lane?: (untilSecond: number) => 'live' | 'backlog'
  /** Else every other room. */
  readonly rooms?: readonly number[]
}

function batchesOf(a: number, { seconds = [10], lane = () => 'live', rooms }: Plan = {}): Batch[] {
  const agent = AGENTS[a] as (typeof AGENTS)[number]
  const batches: Batch[] = []
  let readingsBefore = 0
  for (let from = 0, sequence = 1; from < SECONDS; sequence++) {
    const to = Math.min(SECONDS, from + (from < BEGUN ? 10 : (seconds[sequence % seconds.length] as number)))
    const times = Array.from({ length: to - from }, (_, i) => from + i).filter((s) => s % 10 === 5)
    const blocks = (rooms ?? [a, a + 2, a + 4])
      .map((room) =>
        blockOf(
          `room-${room}`,
          'room',
          times.map((s) => ({ timeMs: T + s * 1_000, values: { temperature_c: temperature(room, s) } })),
        ),
      )
      .filter(({ timesMs }) => timesMs.length > 0)
    const completeThroughMs = T + to * 1_000
    const batch = batchOf({ agent, sequence, readingsBefore, completeThroughMs, blocks, lane: lane(to) })
    readingsBefore = batch.header.readingsTotal
    batches.push({ agent, sequence, untilSecond: to, batch })
    from = to
  }
  return batches
}

/** @param restartEvery so many batches */
function tell(batches: readonly Batch[], restartEvery = Number.POSITIVE_INFINITY) {
  let state: PartitionState = stateFor(context)
  const effects = createEffects()
  const anomalies: string[] = []
  const transitions: string[] = []
  const second = (timeMs: number) => (timeMs - T) / 1_000
  let receivedAtMs = T
  for (const [i, { batch, untilSecond }] of batches.entries()) {
    clearEffects(effects)
    receivedAtMs = Math.max(receivedAtMs, T + untilSecond * 1_000)
    step(state, intakeOf(batch, { streamSequence: i + 1, receivedAtMs }), context, effects)
    for (const one of effects.anomalies)
      anomalies.push(`${second(one.timeMs)}s ${one.device} ${one.field} ${one.detector}: ${one.message}`)
    for (const one of effects.transitions)
      transitions.push(`${second(one.atMs)}s ${one.device} ${one.detector} ${one.state}`)
    if (i % restartEvery === restartEvery - 1) state = decodeState(encodeState(state), context.contracts)
  }
  return { anomalies, transitions, state }
}
const byTime = (batches: readonly Batch[]) => [...batches].sort((x, y) => x.untilSecond - y.untilSecond)

describe('devices beside their peers', () => {
  const both = byTime([...batchesOf(0), ...batchesOf(1)])

  test('one that leaves its place is told, of two agents’ rooms, with an alert that fires and ends', () => {
    const { anomalies, transitions } = tell(both)
    expect(anomalies).toEqual([
      expect.stringMatching(
        /^1030s room-0 temperature_c peers: Temperature: 2\d\.\d\d °C, [34]\.\d\d above the \d\d\.\d\d that 5 peers let expect: their median is 2\d\.\d\d °C, and it is usually [34]\.\d\d °C below$/,
      ),
    ])
    expect(transitions).toEqual(['1030s room-0 peers firing', '1390s room-0 peers resolved'])
  })

  test('however each agent’s batches are cut, in whichever order they come within two minutes, and over restarts', () => {
    const { anomalies, transitions } = tell(both)
    const seconds = fc.array(fc.integer({ min: 3, max: 60 }), { minLength: 1, maxLength: 9 })
    const delays = fc.array(fc.nat(50), { minLength: 3, maxLength: 20 })
    fc.assert(
      fc.property(seconds, seconds, delays, fc.integer({ min: 10, max: 60 }), (a, b, waits, every) => {
        // An agent's own batches stay in order.
        const behind = new Map<string, number>()
        const late = [...batchesOf(0, { seconds: a }), ...batchesOf(1, { seconds: b })].map((one, i) => {
          const waited = one.untilSecond <= BEGUN ? 0 : (waits[i % waits.length] as number)
          const comesAt = Math.max(one.untilSecond + waited, behind.get(one.agent) ?? 0)
          behind.set(one.agent, comesAt)
          return { one, comesAt }
        })
        late.sort((x, y) => x.comesAt - y.comesAt)
        const batches = late.map(({ one }) => one)
        const told = tell(batches, every)
        expect(told.anomalies).toEqual(anomalies)
        expect(told.transitions).toEqual(transitions)
      }),
      { numRuns: 10, endOnFailure: true },
    )
  })

  test('an agent whose clock is an hour ahead takes nobody’s peers away, neither meanwhile nor when it is right again', () => {
    const own = batchesOf(0, { rooms: [0, 1, 2, 3, 4] })
    const other = batchesOf(1, { rooms: [5] }).map(({ batch, ...one }): Batch => {
      if (one.untilSecond <= BEGUN || one.untilSecond > 600) return { ...one, batch }
      const aheadMs = 3_600_000
      const blocks = batch.blocks.map((block) => ({ ...block, timesMs: block.timesMs.map((ms) => ms + aheadMs) }))
      const header = { ...batch.header, completeThroughMs: batch.header.completeThroughMs + aheadMs }
      return { ...one, batch: { ...batch, header, blocks } }
    })
    const { anomalies, transitions } = tell(byTime([...own, ...other]))
    expect(anomalies.map((one) => one.slice(0, 26))).toEqual(['1030s room-0 temperature_c'])
    expect(transitions).toEqual(['1030s room-0 peers firing', '1390s room-0 peers resolved'])
  })

  test('an agent that falls behind is not waited for; what it brings later is history', () => {
    const b = batchesOf(1, { lane: (until) => (until > 600 ? 'backlog' : 'live') })
    const late = b.filter(({ untilSecond }) => untilSecond > 600)
    const onTime = byTime([...batchesOf(0), ...b.filter((one) => !late.includes(one))])
    const { anomalies, transitions, state } = tell([...onTime, ...late])
    // Rooms 0, 2 and 4 alone have two peers each.
    expect(anomalies).toEqual([])
    expect(transitions).toEqual([])
    expect(state.peers.get('workshop/room')?.judgedThroughMs).toBeGreaterThanOrEqual(T + SECONDS * 1_000 - 10_000)
  })

  test('a backlog of the whole site with an anomaly in it pages nobody; one that goes on is told when live data is back', () => {
    for (const [endsAt, expected] of [
      [1_490, ['room-0 peers historical']],
      [1_200, ['room-0 peers firing', 'room-0 peers resolved']],
    ] as const) {
      const lane = (until: number) => (until > 900 && until <= endsAt ? 'backlog' : 'live')
      const { anomalies, transitions } = tell(byTime([...batchesOf(0, { lane }), ...batchesOf(1, { lane })]))
      expect(anomalies).toHaveLength(1)
      expect(transitions.map((one) => one.replace(/^\S+ /, ''))).toEqual(expected)
    }
  })

  test('a gap that a live batch closes pages nobody for what is over by then', () => {
    const all = batchesOf(0, { rooms: [0, 1, 2, 3, 4] }).filter(({ untilSecond }) => untilSecond <= 1_480)
    const missing = all.find(({ untilSecond }) => untilSecond === 910) as Batch
    const { anomalies, transitions } = tell([...all.filter((one) => one !== missing), missing])
    expect(anomalies).toHaveLength(1)
    expect(transitions).toEqual(['1030s room-0 peers historical'])
  })

  test('the alert ends when the contract compares no peers any more', () => {
    const { state, transitions } = tell(both.filter(({ untilSecond }) => untilSecond <= 1_200))
    expect(transitions).toHaveLength(1)
    const { peers: _, ...detectors } = contract.detectors
    const alone = contextOf([{ ...contract, detectors }])
    const effects = createEffects()
    const adopted = adoptContracts(state, alone, effects)
    expect(adopted.peers.size).toBe(0)
    for (const { batch, untilSecond } of both.filter((one) => one.untilSecond > 1_200 && one.untilSecond < 1_240))
      step(adopted, intakeOf(batch, { receivedAtMs: T + untilSecond * 1_000 }), alone, effects)
    expect(effects.transitions).toMatchObject([{ state: 'resolved', detector: 'peers', device: 'room-0' }])
    expect(effects.transitions[0]?.message).toMatch(/^its contract compares it with no peers now; it was: /)
  })
})
