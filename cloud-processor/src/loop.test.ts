/**
 * The loop between fakes of the wire (a stream that delivers again what was not acknowledged, a store of upserts) and a disk
 * that forgets what was not synced: killed before and after every single operation, it must end with the same store, the same
 * dead letters, the same account.
 */
import type { JetStreamClient, JsMsg } from '@nats-io/jetstream'
import { encodeBatch } from '@tributary/protocol'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { createFaultyFileSystem } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import type { AgentAccount } from './account.ts'
import type { StepContext } from './batch-scope.ts'
import { createFileCheckpointStore } from './checkpoint.ts'
import type { PartitionConsumer } from './consumer.ts'
import { type ContextSource, createContextSource } from './contexts.ts'
import { contractSetOf } from './contract-set.ts'
import { type InfluxSink, type LineRefusal, PartialWriteError } from './influx-sink.ts'
import { createPartitionLoop } from './loop.ts'
import { createOutbox } from './notifiers/index.ts'
import { batchOf, blockOf, contextOf, readingsOf } from './testing.ts'

const START_MS = 1_767_225_600_000
const log = createLogger('test', 'silent')

/** Twelve batches, two of them in the other's place; one reading out of range, one line that the store refuses, one poison. */
function deliveries(isWild = (b: number, i: number) => b === 3 && i === 2): Uint8Array[] {
  let readingsBefore = 0
  const batches = Array.from({ length: 12 }, (_, b) => {
    const samples = Array.from({ length: 5 }, (_, i) => ({
      timeMs: START_MS + b * 5_000 + i * 1_000,
      values: { level: isWild(b, i) ? 5_000 : b === 6 && i === 1 ? 666 : b + i, running: i % 2 === 0 },
    }))
    const blocks = [blockOf('pump-1', 'mixed', samples)]
    const batch = batchOf({ sequence: b + 1, readingsBefore, completeThroughMs: START_MS + (b + 1) * 5_000, blocks })
    readingsBefore += readingsOf(blocks)
    return encodeBatch(batch)
  })
  ;[batches[4], batches[5]] = [batches[5] as Uint8Array, batches[4] as Uint8Array]
  batches.splice(8, 0, Buffer.from('poison'), batches[7] as Uint8Array)
  return batches
}

interface World {
  readonly stream: Map<number, Uint8Array>
  /** Series and time → fields; the bad line is never in it. */
  readonly store: Map<string, string>
  readonly letters: Map<string, string>
  readonly disk: ReturnType<typeof createFaultyFileSystem>
  operations: number
  /** The process dies before (even) or after (odd) operation `dieAt / 2`. */
  dieAt: number
}

const newWorld = (dieAt: number, messages = deliveries()): World => ({
  stream: new Map(messages.map((bytes, i) => [i + 1, bytes])),
  store: new Map(),
  letters: new Map(),
  disk: createFaultyFileSystem({ seed: 7 }),
  operations: 0,
  dieAt,
})

/** One life of the process: until everything is acknowledged, or until it dies. */
async function live(
  world: World,
  context: StepContext,
  contexts: ContextSource = { current: context, asOf: () => context },
): Promise<AgentAccount[] | 'died'> {
  const kill = new AbortController()
  const stopping = new AbortController()
  let dead = false
  const operation = async (work: () => void | Promise<void>) => {
    const index = world.operations++
    if (dead) await new Promise(() => undefined)
    if (index * 2 === world.dieAt) return die()
    await work()
    if (index * 2 + 1 === world.dieAt) return die()
  }
  let died: () => void = () => undefined
  const death = new Promise<'died'>((resolve) => {
    died = () => resolve('died')
  })
  const die = (): Promise<never> => {
    dead = true
    world.disk.crash()
    died()
    return new Promise(() => undefined)
  }
  let delivered = 0
  const messageOf = (seq: number, data: Uint8Array) =>
    ({
      seq,
      data,
      subject: 'telemetry.v1.12.workshop.agent-a',
      info: { timestampNanos: START_MS * 1e6 + seq * 1e9 },
      ack: () => {
        // An acknowledgement that was not sent before the process died never arrives.
        if (!dead) world.stream.delete(seq)
      },
    }) as unknown as JsMsg
  const consumer: PartitionConsumer = {
    pending: 0,
    life: { number: 1, created: '2026-01-01', lastSequence: 100 },
    acknowledge: (message) => message.ack(),
    disconnected: () => undefined,
    reconnected: () => undefined,
    start: async () => {
      delivered = 0
    },
    take: async ({ waitMs }, signal) => {
      const next = [...world.stream].filter(([seq]) => seq > delivered).slice(0, 2)
      delivered = next.at(-1)?.[0] ?? delivered
      if (world.stream.size === 0) stopping.abort()
      if (next.length === 0 && !signal.aborted)
        await systemClock.sleep(Math.min(waitMs, 2), signal).catch(() => undefined)
      return next.map(([seq, data]) => messageOf(seq, data))
    },
    stop: async () => undefined,
  }
  const sink: InfluxSink = {
    async write(lines) {
      const rejected = new Map<number, LineRefusal>()
      await operation(() => {
        for (let i = 0; i < lines.count; i++) {
          const text = lines.line(i).toString().trimEnd()
          if (text.includes('level=666,')) rejected.set(i, { reason: 'field_type_conflict', detail: 'refused' })
          else world.store.set(text.replace(/ .* /, ' '), text.replace(/,revision=\d+i/, ''))
        }
      })
      if (rejected.size > 0) throw new PartialWriteError(rejected)
    },
    prepare: async () => undefined,
    status: () => ({ url: '', version: '', ok: true, error: undefined }),
    retries: 0,
    linesWritten: 0,
    lastWriteMs: 0,
    close: async () => undefined,
  }
  const client = {
    publish: async (_subject: string, payload: Uint8Array, options: { msgID: string }) =>
      operation(() => void world.letters.set(options.msgID, Buffer.from(payload).toString())),
  } as unknown as JetStreamClient
  const checkpoints = createFileCheckpointStore('/state', 12, { log, fileSystem: world.disk.mount() })
  const loop = createPartitionLoop(
    { partition: 12, lingerMs: 0, checkpointIntervalMs: 0, resendAfterMs: 1_000 },
    {
      consumer,
      sink,
      checkpoints: {
        load: () => checkpoints.load(),
        save: async (bytes, expected) => {
          let revision = 0
          await operation(async () => {
            revision = await checkpoints.save(bytes, expected)
          })
          return revision
        },
      },
      client,
      ensureStreams: async () => undefined,
      publish: () => undefined,
      askWatermark: async () => undefined,
      outbox: createOutbox([], { clock: systemClock, log, metrics: createMetrics('test') }),
      contexts,
      clock: systemClock,
      log,
      processor: 'processor-1',
    },
  )
  const ended = loop.run(stopping.signal, kill.signal).then(() => loop.account())
  return Promise.race([ended, death])
}

const summary = (world: World, account: AgentAccount[]) => ({
  store: [...world.store].sort(),
  letters: [...world.letters].sort(),
  account: account.map(({ epochs: _, ...rest }) => rest),
})

test('killed before and after every operation: the same store, the same dead letters, the same account', async () => {
  const calm = newWorld(Number.POSITIVE_INFINITY)
  const expected = summary(calm, (await live(calm, contextOf())) as AgentAccount[])
  expect(expected.account).toMatchObject([{ produced: 120, stored: 117, deadLettered: 3, inFlight: 0, missing: 0 }])
  expect(expected.letters).toHaveLength(3)
  expect(expected.store.filter(([key]) => key.startsWith('mixed_10s'))).toHaveLength(6)
  expect(calm.operations).toBeGreaterThan(15)
  let deaths = 0
  for (let dieAt = 0; ; dieAt++) {
    const world = newWorld(dieAt)
    // How many checkpoints there are depends on how long they take: the last deaths may have nothing to interrupt.
    if ((await live(world, contextOf())) !== 'died') break
    deaths += 1
    const account = await live(world, contextOf())
    if (account === 'died') throw new Error('died twice')
    expect(summary(world, account), `killed at ${dieAt}`).toEqual(expected)
  }
  expect(deaths).toBeGreaterThan(30)
})

/** Contracts that change after every so many operations, also while the process is dead; the strict one refuses what the lax one takes. */
function changingContracts(world: World, operationsEach: number): ContextSource {
  const setWith = (policy: object) =>
    contractSetOf(
      JSON.stringify([
        {
          kind: 'mixed',
          version: 1,
          description: 'One field of each type.',
          interval: '1s',
          policy,
          fields: {
            level: { type: 'float', label: 'Level', range: [-1000, 1000] },
            running: { type: 'boolean', label: 'Running' },
          },
        },
      ]),
    )
  const sets = [setWith({ range: 'reject' }), setWith({ range: 'pass' })] as const
  const current = () => sets[Math.floor(world.operations / operationsEach) % 2] ?? sets[0]
  const contextFor = ({ contracts, version, source }: ReturnType<typeof contractSetOf>) =>
    contextOf([...contracts.values()], { contractsVersion: version, contractsSource: source })
  return createContextSource(current, contextFor, log)
}

test('contracts that change, and a death at every operation: no reading is both stored and refused', async () => {
  const seen = { stored: 0, refused: 0, deaths: 0 }
  for (const operationsEach of [3, 8])
    for (let dieAt = 0; ; dieAt++) {
      const world = newWorld(
        dieAt,
        deliveries((_, i) => i === 2),
      )
      const contexts = changingContracts(world, operationsEach)
      const died = await live(world, contexts.current, contexts)
      const account = died === 'died' ? await live(world, contexts.current, contexts) : died
      if (account === 'died') throw new Error('died twice')
      const stored = [...world.store].flatMap(([key, text]) =>
        key.startsWith('mixed,') && text.includes('level=5000') ? [Number(key.split(' ').at(-1))] : [],
      )
      const refused = [...world.letters.values()].flatMap((text) => {
        const { reason, original } = JSON.parse(text) as { reason: string; original: string }
        if (reason !== 'out_of_range') return []
        return (JSON.parse(Buffer.from(original, 'base64').toString()) as { times: number[] }).times
      })
      const wild = Array.from({ length: 12 }, (_, b) => START_MS + b * 5_000 + 2_000)
      expect([...stored, ...refused].sort(), `killed at ${dieAt}`).toEqual(wild)
      expect(account).toMatchObject([{ produced: 120, inFlight: 0, missing: 0 }])
      seen.stored += stored.length
      seen.refused += refused.length
      if (died !== 'died') break
      seen.deaths += 1
    }
  expect(Math.min(seen.stored, seen.refused, seen.deaths)).toBeGreaterThan(50)
}, 60_000)

test('a batch on which the step fails becomes a dead letter; nothing else is lost', async () => {
  const world = newWorld(Number.POSITIVE_INFINITY)
  let lookups = 0
  const context = contextOf(undefined, {
    findDevice: () => {
      lookups += 1
      // The second batch always fails half way.
      const failing = [...world.stream.keys()][0] === 2 || lookups === 2
      if (failing && lookups > 1 && lookups < 4) throw new Error('a mistake in the program')
      return undefined
    },
  })
  const account = (await live(world, context)) as AgentAccount[]
  expect(account).toMatchObject([{ produced: 120, inFlight: 0, missing: 0 }])
  const failed = [...world.letters.values()]
    .map((text) => JSON.parse(text))
    .filter(({ reason }) => reason === 'processing_failed')
  expect(failed.length).toBeGreaterThanOrEqual(1)
  const [row] = account as [AgentAccount]
  expect(row.stored + row.deadLettered).toBe(120)
})
