/** What InfluxDB refuses of a letter that is requeued, between fakes of the wire. */
import type { JetStreamClient } from '@nats-io/jetstream'
import { contractSchema, type DeadLetter, type LetterSettlement } from '@tributary/protocol'
import { createLogger, systemClock } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { createEffectWriter } from './effect-writer.ts'
import { clearEffects, createEffects } from './effects.ts'
import { type InfluxSink, type LineRefusal, PartialWriteError } from './influx-sink.ts'
import { fieldKey, type LineBuffer, linePrefix } from './line-protocol.ts'
import { step } from './step.ts'
import { batchOf, blockOf, contextOf, intakeOf, mixedContract, RECEIVED_AT_MS, requestOf, stateFor } from './testing.ts'

const START_MS = 1_767_225_600_000
const level = { ...mixedContract.fields['level'], range: [-9_000, 9_000] }
const corrected = contextOf([
  contractSchema.parse({ ...mixedContract, interval: '1s', fields: { ...mixedContract.fields, level } }),
])

test('a fleet with new firmware does not fill the log with drift', async () => {
  const logged: string[] = []
  const clock = createSimulatedClock(START_MS)
  const effects = createEffects()
  const nothing = async () => undefined
  const writer = createEffectWriter({
    partition: 0,
    sink: {} as InfluxSink,
    client: {} as JetStreamClient,
    ensureStreams: nothing,
    publish: () => undefined,
    persevere: async (_, __, work) => work(),
    clock,
    log: createLogger('test', 'warn', { write: (line: string) => void logged.push(line) }),
    processor: 'processor-1',
  })
  const announce = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const place = { site: 'hall', device: `pump-${i}`, kind: 'mixed', field: 'extra' }
      effects.drifts.push({ ...place, change: 'new_field', timeMs: START_MS, message: `extra of pump-${i} is new` })
    }
    await writer.write(effects, stateFor(corrected), new AbortController().signal)
    clearEffects(effects)
    return logged.splice(0)
  }
  expect(await announce(2)).toHaveLength(2)
  const many = await announce(5_000)
  expect(many).toHaveLength(18)
  expect(many.at(-1)).toContain('there is more')
  expect(await announce(10)).toEqual([])
  await clock.advance(60_000)
  expect(await announce(10)).toHaveLength(10)
})

test('what was derived from readings older than the store keeps is no dead letter beside them', async () => {
  const logged: string[] = []
  const effects = createEffects()
  const refusal: LineRefusal = { reason: 'out_of_retention', detail: 'too old' }
  const writer = createEffectWriter({
    partition: 0,
    sink: {
      write: async (lines: LineBuffer) => {
        throw new PartialWriteError(new Map(Array.from({ length: lines.count }, (_, i) => [i, refusal])))
      },
    } as unknown as InfluxSink,
    client: { publish: async () => undefined } as unknown as JetStreamClient,
    ensureStreams: async () => undefined,
    publish: () => undefined,
    persevere: async (_, __, work) => work(),
    clock: systemClock,
    log: createLogger('test', 'error', { write: (line: string) => void logged.push(line) }),
    processor: 'processor-1',
  })
  const state = stateFor(corrected)
  const old = blockOf('pump-1', 'mixed', [{ timeMs: START_MS, values: { level: 1, odd: 1 } }])
  step(state, intakeOf(batchOf({ sequence: 1, blocks: [old] })), corrected, effects)
  expect(effects.lines.bytes.toString('utf8', 0, effects.lines.length)).toContain('data_quality,')
  const before = effects.deadLetters.length
  await writer.write(effects, state, new AbortController().signal)
  expect(
    effects.deadLetters.slice(before).map(({ stage, agent, readingCount }) => [stage, agent, readingCount]),
  ).toEqual([['store', 'agent-a', 1]])
  expect(logged).toEqual([])
})

test('of derived lines that InfluxDB refuses each is a dead letter, and one stands in the log', async () => {
  const logged: string[] = []
  const effects = createEffects()
  const writer = createEffectWriter({
    partition: 0,
    sink: {
      write: async (lines: LineBuffer) => {
        const refusal: LineRefusal = { reason: 'field_type_conflict', detail: 'it is text there' }
        throw new PartialWriteError(new Map(Array.from({ length: lines.count }, (_, i) => [i, refusal])))
      },
    } as unknown as InfluxSink,
    client: { publish: async () => undefined } as unknown as JetStreamClient,
    ensureStreams: async () => undefined,
    publish: () => undefined,
    persevere: async (_, __, work) => work(),
    clock: systemClock,
    log: createLogger('test', 'error', { write: (line: string) => void logged.push(line) }),
    processor: 'processor-1',
  })
  for (let i = 0; i < 300; i++) {
    const prefix = linePrefix('mixed_10s', { device: `pump-${i}` })
    effects.rollups.begin(prefix)
    effects.rollups.float(fieldKey('level_mean'), i, 1)
    effects.rollups.end(prefix, START_MS, 0, -1)
  }
  await writer.write(effects, stateFor(corrected), new AbortController().signal)
  expect(new Set(effects.deadLetters.map(({ id }) => id)).size).toBe(300)
  expect(logged).toEqual([expect.stringMatching(/"lines":300,.*mixed_10s,device=pump-0 level_mean=0/)])
})

test('lines of a requeued letter that InfluxDB refuses are dead letters named after it, and become one letter each that can be requeued', async () => {
  const refused = new Set(['level=5002 ', 'level=5003 '])
  const published: { subject: string; id: string; value: DeadLetter & LetterSettlement }[] = []
  const effects = createEffects()
  const signal = new AbortController().signal
  const writer = createEffectWriter({
    partition: 12,
    sink: {
      write: async (lines) => {
        const rejected = new Map<number, LineRefusal>()
        for (let i = 0; i < lines.count; i++)
          for (const text of refused)
            if (lines.line(i).includes(text)) rejected.set(i, { reason: 'out_of_retention', detail: 'too old' })
        if (rejected.size > 0) throw new PartialWriteError(rejected)
      },
      prepare: async () => undefined,
      status: () => ({ url: '', version: '', ok: true, error: undefined }),
      retries: 0,
      linesWritten: 0,
      lastWriteMs: 0,
      close: async () => undefined,
    },
    client: {
      publish: async (subject: string, bytes: Uint8Array, { msgID }: { msgID: string }) =>
        published.push({ subject, id: msgID, value: JSON.parse(Buffer.from(bytes).toString()) }),
    } as unknown as JetStreamClient,
    ensureStreams: async () => undefined,
    publish: () => undefined,
    persevere: async (_, __, work) => work(),
    clock: systemClock,
    log: createLogger('test', 'silent'),
    processor: 'processor-1',
  })
  const state = stateFor(corrected)
  const perform = async () => {
    await writer.write(effects, state, signal)
    clearEffects(effects)
    return published.splice(0)
  }
  const samples = [1, 2, 3].map((n) => ({ timeMs: START_MS + n, values: { level: 5_000 + n } }))
  const batch = batchOf({
    sequence: 1,
    completeThroughMs: START_MS + 10,
    blocks: [blockOf('pump-1', 'mixed', samples)],
  })
  step(state, intakeOf(batch), contextOf(), effects)
  const [made] = await perform()
  const balance = () => accountOf(state, RECEIVED_AT_MS, 600_000)[0]
  expect(balance()).toMatchObject({ produced: 3, stored: 0, deadLettered: 3 })

  step(state, requestOf(made?.value as DeadLetter), corrected, effects)
  const [one, two, answer] = await perform()
  expect(balance()).toMatchObject({ produced: 3, stored: 1, deadLettered: 2 })
  expect([one?.id, two?.id]).toEqual([`${made?.id}.1.s1`, `${made?.id}.1.s2`])
  expect(answer?.subject).toBe('deadletter.v1.settled.agent-a')
  expect(answer?.value).toMatchObject({ outcome: 'stored', stored: 1, refused: 2, reason: 'out_of_retention' })

  // Refused once more, one stays the letter that it is; the retention is mended, and the other is stored.
  refused.delete('level=5003 ')
  for (const letter of [one, two]) step(state, requestOf(letter?.value as DeadLetter), corrected, effects)
  const [again, ...answers] = await perform()
  expect([again?.id, again?.value.id, again?.value.requeued]).toEqual([`${one?.id}#1`, one?.id, 1])
  expect(answers.map(({ value }) => value.outcome)).toEqual(['refused', 'stored'])
  expect(balance()).toMatchObject({ produced: 3, stored: 2, deadLettered: 1 })
})
