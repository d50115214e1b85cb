/**
 * Guarantee under test: whatever was processed since a checkpoint, processing it again on that checkpoint gives the same effects and
 * the same state, byte for byte. Stories have all that a stream brings: two agents, repeats, holes, tombstones, roll-ups, poison, late and
 * refused readings, counters, detectors and alerts, unknown fields, dead letters that are requeued and dropped, ticks, operators.
 */
import { contractSchema, type DeadLetter, type OperatorRequest, type Tombstone } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rulesSchema } from './alerts/index.ts'
import { clearEffects, createEffects, type Effects } from './effects.ts'
import { anomalyId } from './feedback.ts'
import { type Intake, takeIn } from './intake.ts'
import type { LineBuffer } from './line-protocol.ts'
import type { PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { askedOf, batchOf, blockOf, contextOf, intakeOf, readingsOf, requestOf, rollupOf, stateFor } from './testing.ts'

const START_MS = 1_767_225_600_000
const AGENTS = [
  { agent: 'agent-a', site: 'workshop', devices: ['pump-1', 'pump-2'] },
  { agent: 'agent-b', site: 'yard', devices: ['pump-3'] },
] as const

const contract = contractSchema.parse({
  kind: 'mixed',
  version: 1,
  description: 'Something of everything.',
  interval: '1s',
  fields: {
    level: { type: 'float', label: 'Level', decimals: 2, range: [-1000, 1000], largest_step: 900 },
    total: { type: 'integer', label: 'Total', role: 'counter' },
    running: { type: 'boolean', label: 'Running' },
    mode: { type: 'string', label: 'Mode' },
    code: { type: 'string', label: 'Code', sensitivity: 'mask' },
  },
  thresholds: [{ field: 'level', above: 500 }],
  detectors: { outlier: ['level'], flatline: { level: '3s' }, silence: '20s' },
})
const rules = rulesSchema.parse({
  rules: [
    {
      name: 'high',
      match: { detector: 'threshold' },
      for: '2s',
      keep_firing_for: '2s',
      notify: ['mail'],
      escalate: { after: '30s', notify: ['chat'] },
      repeat: '1m',
    },
  ],
  inhibit: [{ when: { device: 'pump-1' }, suppress: { device: 'pump-2' }, same: ['site', 'field'] }],
  group: { wait: '1s', interval: '20s' },
  limit: { per_hour: 3, digest: '20s' },
  unreachable: { after: '30s' },
  violations: [{ count: 2, within: '60s' }],
})
const context = contextOf([contract], {
  rules,
  receivers: ['mail', 'chat'],
  memoryMs: 60_000,
  punctualMemoryMs: 20_000,
  missingAfterMs: 30_000,
})

const sample = fc.record({
  /** After the one before it. */
  afterMs: fc.constantFrom(0, 500, 1_000, 1_000, 9_000, 70_000, 400_000),
  device: fc.nat(),
  values: fc.record(
    {
      level: fc.oneof(
        fc.constant(20),
        fc.integer({ min: -1200, max: 1200 }),
        fc.double({ min: 0, max: 40, noNaN: true }),
      ),
      total: fc.nat(100),
      running: fc.boolean(),
      mode: fc.constantFrom('on', 'off'),
      code: fc.constantFrom('1234', 'secret'),
      unknown: fc.nat(3),
    },
    { requiredKeys: ['level', 'total'] },
  ),
})
const batch = fc.record({
  samples: fc.array(sample, { minLength: 1, maxLength: 8 }),
  lane: fc.constantFrom<'live' | 'backlog'>('live', 'live', 'backlog'),
  extra: fc.constantFrom('', '', '', 'a tombstone instead', 'a roll-up', 'an edge letter'),
})
const story = fc.record({
  batches: fc.tuple(fc.array(batch, { minLength: 4, maxLength: 16 }), fc.array(batch, { minLength: 2, maxLength: 8 })),
  /** The next batch of an agent, or one a few places before or after it, or something else. */
  events: fc.array(
    fc.tuple(
      fc.constantFrom(
        'next',
        'next',
        'next',
        'near',
        'near',
        'poison',
        'requeue',
        'drop',
        'tick',
        'ask',
        'ask',
        'rest',
      ),
      fc.nat(1),
      fc.nat(),
      fc.constantFrom(100, 1_000, 20_000),
    ),
    { minLength: 10, maxLength: 60 },
  ),
  cuts: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
})
type Story = typeof story extends fc.Arbitrary<infer T> ? T : never

/** The batches of an agent, as it would have made them. */
function batchesOf(planned: Story['batches'][number], a: number) {
  const { agent, devices } = AGENTS[a] as (typeof AGENTS)[number]
  let timeMs = START_MS
  let readingsBefore = 0
  const batches = []
  let gone: Tombstone[] = []
  for (const [b, { samples, lane, extra }] of planned.entries()) {
    const sequence = b + 1
    const measured = samples.map(({ afterMs, device, values }) => {
      timeMs += afterMs
      return { device: devices[device % devices.length] as string, timeMs, values }
    })
    const blocks = devices
      .map((device) =>
        blockOf(
          device,
          'mixed',
          measured.filter((one) => one.device === device),
        ),
      )
      .filter(({ timesMs }) => timesMs.length > 0)
    const device = devices[0]
    const letter = {
      input: 'in',
      device,
      reason: 'not_json',
      detail: '',
      receivedAtMs: timeMs,
      original: Buffer.from('x'),
    }
    const made = batchOf({
      agent,
      sequence,
      readingsBefore,
      lane,
      completeThroughMs: timeMs,
      blocks,
      ...(extra === 'an edge letter' ? { deadLetters: [{ ...letter, originalBytes: 1, readingCount: 1 }] } : {}),
      ...(extra === 'a roll-up' && b > 0
        ? {
            rollups: [
              rollupOf(device, [{ timeMs: timeMs - 100_000, values: { level: 3, running: true } }], {
                fromSequence: b,
                toSequence: b,
              }),
            ],
          }
        : {}),
    })
    readingsBefore += readingsOf(blocks) + (extra === 'an edge letter' ? 1 : 0)
    if (extra === 'a tombstone instead' && b > 0) {
      const { epoch, readingCount } = made.header
      gone.push({ epoch, fromSequence: sequence, toSequence: sequence, readingCount, reason: 'disk_full' })
      batches.push(undefined)
    } else {
      batches.push({ ...made, tombstones: gone })
      gone = []
    }
  }
  return batches
}

const bytesOf = ({ bytes, length, count, origins, readings }: LineBuffer) => ({
  text: bytes.toString('latin1', 0, length),
  origins: [...origins].slice(0, count),
  readings: [...readings].slice(0, count),
})
const exactly = (_: string, value: unknown) =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
const written = ({ lines, rollups, ...rest }: Effects): string =>
  JSON.stringify({ ...rest, lines: bytesOf(lines), rollups: bytesOf(rollups) }, exactly)

const seen = {
  ...{ letters: 0, settlements: 0, anomalies: 0, drifts: 0, transitions: 0, waiting: 0, dirty: 0, shed: 0 },
  ...{ done: 0, held: 0, historical: 0, unreachable: 0, bundles: 0, told: 0 },
}

/** What somebody may ask in this state. */
function requestIn(state: PartitionState, n: number): OperatorRequest {
  const common = { request: 'test', by: 'ann', comment: '' }
  const id = `0000000${n % 3}`
  const pick = <One>(all: readonly One[]) => all[n % Math.max(1, all.length)]
  const anomaly = pick(state.anomalies)
  return (
    [
      { ...common, action: 'acknowledge', episode: pick(Object.keys(state.desk.firing)) ?? '0123456789abcdef' },
      { ...common, action: 'silence', id, match: { device: [`pump-${(n % 3) + 1}`] }, forMs: 40_000 },
      { ...common, action: 'end_silence', id },
      { ...common, action: n % 2 ? 'confirm' : 'dismiss', anomaly: anomaly ? anomalyId(anomaly) : '0123456789ab' },
    ] as const
  )[n % 4] as OperatorRequest
}

/** Makes the messages as it goes, since people requeue letters that were made before. */
function tell({ batches, events }: Story): { intakes: Intake[]; effects: string[]; bytes: Uint8Array } {
  const all = batches.map(batchesOf)
  const next = [0, 0]
  const letters: DeadLetter[] = []
  const intakes: Intake[] = []
  const outcome: string[] = []
  const state = stateFor(context)
  const effects = createEffects()
  let receivedAtMs = START_MS + 60_000
  // Nobody is heard of for two minutes.
  const rest: typeof events = Array.from({ length: 8 }, () => ['tick', 0, 0, 15_000] as never)
  for (const [what, a, n, afterMs] of events.flatMap((one) => (one[0] === 'rest' ? rest : [one]))) {
    const { site, agent } = AGENTS[a] as (typeof AGENTS)[number]
    const mine = all[a] as ReturnType<typeof batchesOf>
    receivedAtMs += afterMs
    const place = { site, streamSequence: intakes.length + 1, receivedAtMs }
    const letter = letters[n % Math.max(1, letters.length)]
    const at = what === 'next' ? (next[a] as number)++ : (next[a] as number) + (n % 7) - 3
    let intake: Intake
    if (what === 'poison')
      intake = takeIn({ ...place, subject: `telemetry.v1.1.${site}.${agent}`, bytes: Buffer.from(`poison ${n % 3}`) })
    else if (what === 'tick') intake = askedOf('tick', place)
    else if (what === 'ask') intake = askedOf(requestIn(state, n), place)
    else if ((what === 'requeue' || what === 'drop') && letter !== undefined)
      intake = { ...requestOf(letter, what, place), receivedAtMs }
    else {
      const made = mine[Math.max(0, at) % mine.length]
      if (made === undefined) continue
      intake = intakeOf(made, place)
    }
    intakes.push(intake)
    step(state, intake, context, effects)
    letters.push(...effects.deadLetters)
    outcome.push(written(effects))
    seen.letters += effects.deadLetters.length
    for (const list of ['settlements', 'anomalies', 'drifts', 'transitions'] as const)
      seen[list] += effects[list].length
    seen.done += effects.answers.filter(({ outcome }) => outcome === 'done').length
    seen.historical += effects.transitions.filter((one) => one.state === 'historical').length
    seen.unreachable += effects.transitions.filter(({ detector }) => detector === 'agent_unreachable').length
    seen.held += Object.values(state.desk.firing).filter(({ held }) => held).length
    clearEffects(effects)
  }
  seen.waiting += Object.values(state.outbox.queues).length
  seen.dirty += state.dirty.size
  seen.bundles += Object.keys(state.desk.bundles).length
  for (const queue of Object.values(state.outbox.queues)) {
    const keys = queue.map(({ key }) => key)
    expect(new Set(keys).size, keys.join(' ')).toBe(keys.length)
    seen.told += keys.length
  }
  for (const { epochs } of state.agents.values())
    for (const { sequences } of epochs.values()) seen.shed += sequences.runs[0]?.shed ?? 0
  return { intakes, effects: outcome, bytes: encodeState(state) }
}

test('a replay from any checkpoint gives the same bytes: effects, and state', () => {
  fc.assert(
    fc.property(story, (given) => {
      const { intakes, effects: expected, bytes: atEnd } = tell(given)
      const effects = createEffects()
      const stepTo = (state: PartitionState, n: number) => {
        clearEffects(effects)
        step(state, intakes[n] as Intake, context, effects)
        expect(written(effects)).toBe(expected[n])
      }
      // With a checkpoint after every message.
      const state = stateFor(context)
      const checkpoints = intakes.map((_, n) => {
        const before = encodeState(state)
        stepTo(state, n)
        return before
      })
      expect(Buffer.from(encodeState(state)).equals(atEnd)).toBe(true)
      for (const cut of intakes.length === 0 ? [] : given.cuts) {
        const at = cut % intakes.length
        let restored = decodeState(checkpoints[at] as Uint8Array, context.contracts)
        for (let n = at; n < intakes.length; n++) {
          expect(Buffer.from(encodeState(restored)).equals(checkpoints[n] as Uint8Array), `${at} to ${n}`).toBe(true)
          // Now and then it dies again, and starts from the checkpoint that it made itself.
          if ((cut + n) % 5 === 0) restored = decodeState(encodeState(restored), context.contracts)
          stepTo(restored, n)
        }
        expect(Buffer.from(encodeState(restored)).equals(atEnd)).toBe(true)
      }
    }),
    { numRuns: 150 },
  )
  expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(20)
}, 120_000)
