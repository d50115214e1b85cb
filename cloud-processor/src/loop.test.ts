/**
 * The loop between fakes of the wire (a stream that delivers again what was not acknowledged, a store of upserts) and a disk
 * that forgets what was not synced: killed before and after every single operation, it must end with the same store, the same
 * dead letters, the same account.
 */
import type { JetStreamClient, JsMsg } from '@nats-io/jetstream'
import { type DeadLetter, encodeBatch, type LetterSettlement, requeueSubject } from '@tributary/protocol'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { createFaultyFileSystem } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import type { AgentAccount } from './account.ts'
import type { StepContext } from './batch-scope.ts'
import type { PartitionConsumer } from './consumer.ts'
import { type ContextSource, createContextSource } from './contexts.ts'
import { contractSetOf } from './contract-set.ts'
import { NO_VERSION } from './device-journal.ts'
import type { DeviceLookup } from './device-registry.ts'
import { createFileCheckpointStore } from './file-checkpoint.ts'
import { type InfluxSink, type LineRefusal, PartialWriteError } from './influx-sink.ts'
import { createPartitionLoop } from './loop.ts'
import { createModelStore, type ModelStore } from './model-store-harness.ts'
import { createOutbox } from './notifiers/index.ts'
import { createRepairList } from './repair-list.ts'
import { createRepairer } from './repairer.ts'
import { batchOf, blockOf, contextOf, mixedContract, readingsOf, registryOf } from './testing.ts'

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

/** Samples of a minute, then of an hour later, then one by one those of the minute that were left out. */
function lateDeliveries(): Uint8Array[] {
  let readingsBefore = 0
  const samples = Array.from({ length: 60 }, (_, i) => ({
    timeMs: START_MS + i * 1_000,
    values: { level: i, running: i % 2 === 0 },
  }))
  const isLate = (_: unknown, i: number) => i % 10 === 4
  const late = samples.filter(isLate)
  const parts = [
    samples.filter((_, i) => !isLate(_, i)),
    [{ timeMs: START_MS + 3_600_000, values: { level: 1, running: true } }],
    ...late.map((sample) => [sample]),
  ]
  return parts.map((part, b) => {
    const blocks = [blockOf('pump-1', 'mixed', part)]
    const completeThroughMs = START_MS + (b === 0 ? 60_000 : 3_700_000)
    const batch = batchOf({ sequence: b + 1, readingsBefore, completeThroughMs, blocks })
    readingsBefore += readingsOf(blocks)
    return encodeBatch(batch)
  })
}

interface World {
  readonly points: ModelStore
  /** Moves on whenever it is looked at. */
  repairClockMs: number
  readonly stream: Map<number, Uint8Array>
  /** Of messages that are no batches. */
  readonly subjects: Map<number, string>
  /** Series and time → fields; the bad line is never in it. */
  readonly store: Map<string, string>
  readonly letters: Map<string, string>
  readonly disk: ReturnType<typeof createFaultyFileSystem>
  operations: number
  /** The process dies before (even) or after (odd) operation `dieAt / 2`. */
  dieAt: number
  /** Writes take long and checkpoints are rare: messages are stepped while what was stepped before is being written. */
  readonly isSlow: boolean
  /** Messages were taken while a write was under way. */
  overlaps: number
}

const newWorld = (dieAt: number, messages = deliveries(), isSlow = false): World => ({
  points: createModelStore(),
  repairClockMs: 0,
  stream: new Map(messages.map((bytes, i) => [i + 1, bytes])),
  subjects: new Map(),
  store: new Map(),
  letters: new Map(),
  disk: createFaultyFileSystem({ seed: 7 }),
  operations: 0,
  dieAt,
  isSlow,
  overlaps: 0,
})

let lives = 0
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
  const gone = new AbortController()
  const die = (): Promise<never> => {
    dead = true
    gone.abort()
    world.disk.crash()
    died()
    return new Promise(() => undefined)
  }
  let delivered = 0
  let writing = 0
  let looks = 0
  const messageOf = (seq: number, data: Uint8Array) =>
    ({
      seq,
      data,
      subject: world.subjects.get(seq) ?? 'telemetry.v1.12.workshop.agent-a',
      info: {
        timestampNanos: START_MS * 1e6 + seq * 1e9,
        pending: [...world.stream.keys()].filter((other) => other > seq).length,
      },
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
      if (next.length > 0 && writing > 0) world.overlaps += 1
      if (world.stream.size === 0 && loop.state.dirty.size === 0) stopping.abort()
      if (next.length === 0 && !signal.aborted)
        await systemClock.sleep(Math.min(waitMs, 2), signal).catch(() => undefined)
      return next.map(([seq, data]) => messageOf(seq, data))
    },
    stop: async () => undefined,
  }
  const sink: InfluxSink = {
    async write(lines) {
      const rejected = new Map<number, LineRefusal>()
      writing += 1
      await operation(async () => {
        if (world.isSlow) await systemClock.sleep(3)
        if (dead) return
        for (let i = 0; i < lines.count; i++) {
          const text = lines.line(i).toString().trimEnd()
          if (text.includes('level=666,')) rejected.set(i, { reason: 'field_type_conflict', detail: 'refused' })
          else {
            world.points.write(text)
            world.store.set(text.replace(/ .* /, ' '), text.replace(/,revision=\d+i/, ''))
          }
        }
      })
      writing -= 1
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
      operation(() => {
        const text = Buffer.from(payload).toString()
        const before = world.letters.get(options.msgID)
        // Whoever reads believes the first: what comes again says the same, or that it was settled before.
        if (before === undefined) world.letters.set(options.msgID, text)
        else if (!text.includes('"settled_before"')) expect(text).toBe(before)
      }),
  } as unknown as JetStreamClient
  const checkpoints = createFileCheckpointStore('/state', 12, {
    owner: `life ${lives++}`,
    log,
    fileSystem: world.disk.mount(),
  })
  const repairs = createRepairList(0, () => {
    world.repairClockMs += 1_000
    return world.repairClockMs
  })
  const repairer = createRepairer(
    { share: 0.5 },
    {
      query: Object.assign(
        async (text: string) => {
          const answer = await world.points.query(text)
          await operation(() => undefined)
          return answer
        },
        { close: async () => undefined },
      ),
      lists: [repairs],
      clock: { ...systemClock, sleep: (_, signal) => systemClock.sleep(1, signal) },
      log,
    },
  )
  const loop = createPartitionLoop(
    { partition: 12, lingerMs: 0, checkpointIntervalMs: world.isSlow ? 20 : 0, resendAfterMs: 1_000 },
    {
      consumer,
      sink,
      checkpoints: {
        load: () => checkpoints.load(),
        claim: async (known) => {
          let claimed = known
          await operation(async () => {
            claimed = await checkpoints.claim(known)
          })
          return claimed
        },
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
      repairs,
      contexts,
      clock: world.isSlow ? { ...systemClock, monotonicMs: () => looks++ } : systemClock,
      log,
      processor: 'processor-1',
    },
  )
  void repairer.run(AbortSignal.any([stopping.signal, gone.signal]))
  const ended = loop.run(stopping.signal, kill.signal).then(() => loop.account())
  return Promise.race([ended, death])
}

const summary = (world: World, account: AgentAccount[]) => ({
  store: [...world.store].sort(),
  letters: [...world.letters].sort(),
  account: account.map(({ epochs: _, letters, ...rest }) => ({
    ...rest,
    // In the order in which they were met, which is when the store refused them.
    letters: letters.map((count) => JSON.stringify(count)).sort(),
  })),
})

test.each([
  { when: 'what is written is waited for', isSlow: false },
  { when: 'messages are stepped while others are being written', isSlow: true },
])(
  'killed before and after every operation: the same store, the same dead letters, the same account ($when)',
  async ({ isSlow }) => {
    const calm = newWorld(Number.POSITIVE_INFINITY, deliveries(), isSlow)
    const expected = summary(calm, (await live(calm, contextOf())) as AgentAccount[])
    if (isSlow) expect(calm.overlaps).toBeGreaterThan(3)
    expect(expected.account).toMatchObject([{ produced: 120, stored: 117, deadLettered: 3, inFlight: 0, missing: 0 }])
    expect(expected.letters).toHaveLength(3)
    expect(expected.store.filter(([key]) => key.startsWith('mixed_10s'))).toHaveLength(6)
    expect(calm.operations).toBeGreaterThan(15)
    let deaths = 0
    for (let dieAt = 0; ; dieAt++) {
      const world = newWorld(dieAt, deliveries(), isSlow)
      // How many checkpoints there are depends on how long they take: the last deaths may have nothing to interrupt.
      if ((await live(world, contextOf())) !== 'died') break
      deaths += 1
      const account = await live(world, contextOf())
      if (account === 'died') throw new Error('died twice')
      expect(summary(world, account), `killed at ${dieAt}`).toEqual(expected)
    }
    expect(deaths).toBeGreaterThan(30)
  },
)

test('killed before and after every operation while late windows are recomputed: the same windows, and none is dirty', async () => {
  const context = contextOf(undefined, { memoryMs: 10_000 })
  const windowsOf = ({ points }: World) =>
    [...points.series]
      .filter(([name]) => /^mixed_(10s|1m),/.test(name))
      .flatMap(([name, rows]) =>
        [...rows].map(([startMs, fields]) => [
          name,
          startMs,
          [...fields].filter(([field]) => field !== 'revision').sort(),
        ]),
      )
      .sort()
  const calm = newWorld(Number.POSITIVE_INFINITY, lateDeliveries())
  expect(await live(calm, context)).toMatchObject([{ produced: 122, stored: 122, inFlight: 0 }])
  const expected = windowsOf(calm)
  const counts = [...(calm.points.series.get('mixed_10s,device=pump-1,site=workshop')?.values() ?? [])].map((row) =>
    row.get('level_count'),
  )
  expect(counts).toEqual([10, 10, 10, 10, 10, 10, 1])
  let deaths = 0
  for (let dieAt = 0; dieAt < calm.operations * 2; dieAt++) {
    const world = newWorld(dieAt, lateDeliveries(), dieAt % 4 > 1)
    // How many batches late windows make depends on when they are looked at: the last deaths may have nothing to interrupt.
    if ((await live(world, context)) === 'died') {
      deaths += 1
      if ((await live(world, context)) === 'died') throw new Error('died twice')
    }
    expect(windowsOf(world), `killed at ${dieAt}`).toEqual(expected)
  }
  expect(deaths).toBeGreaterThan(15)
})

test('killed anywhere while the registry moves the device backwards in time: each reading stands at one site', async () => {
  let twoSites = 0
  for (let dieAt = 0; ; dieAt++) {
    const world = newWorld(dieAt)
    // The move is entered as soon as the first readings are stored, and reaches back to before all of them.
    const sites = ['hall', 'yard']
    let revision = 1
    const registry: DeviceLookup = {
      get version() {
        if (world.store.size > 0) revision = 2
        return { journal: 'test', revision }
      },
      find: (device, version) =>
        registryOf({ [device]: { site: sites[version.revision - 1] as string } }).find(device, version),
    }
    const context = contextOf(undefined, { registry })
    const first = await live(world, context)
    const account = first === 'died' ? await live(world, context) : first
    if (account === 'died') throw new Error('died twice')
    expect(account).toMatchObject([{ produced: 120, stored: 117, deadLettered: 3 }])
    const raw = [...world.store.keys()].filter((key) => key.startsWith('mixed,'))
    const readings = raw.map((key) => key.replace(/site=\w+/, ''))
    expect(new Set(readings).size, `killed at ${dieAt}`).toBe(readings.length)
    if (new Set(raw.map((key) => /site=(\w+)/.exec(key)?.[1])).size === 2) twoSites += 1
    if (first !== 'died') break
  }
  expect(twoSites).toBeGreaterThan(20)
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
        operationsEach === 8,
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

test.each([{ isSlow: false }, { isSlow: true }])(
  'a batch on which the step fails becomes a dead letter; nothing else is lost (slow writes: $isSlow)',
  async ({ isSlow }) => {
    const world = newWorld(Number.POSITIVE_INFINITY, deliveries(), isSlow)
    let lookups = 0
    const context = contextOf(undefined, {
      registry: {
        version: NO_VERSION,
        find: () => {
          lookups += 1
          // The second batch always fails half way.
          const failing = [...world.stream.keys()][0] === 2 || lookups === 2
          if (failing && lookups > 1 && lookups < 4) throw new Error('a mistake in the program')
          return undefined
        },
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
  },
)

test('killed at every operation while dead letters are requeued and dropped, each of them twice: the same store, answers and account', async () => {
  const wide = { ...mixedContract.fields['level'], range: [-9_000, 9_000] } as (typeof mixedContract.fields)[string]
  const corrected = contextOf([{ ...mixedContract, fields: { ...mixedContract.fields, level: wide } }])
  /** All that the first part of the story leaves, the dead letters asked for, and the process to die at some operation. */
  const prepared = async (dieAt: number): Promise<World> => {
    const world = newWorld(Number.POSITIVE_INFINITY, deliveries(), dieAt % 4 > 1)
    await live(world, contextOf())
    const letters = [...world.letters.values()].map((text) => JSON.parse(text) as DeadLetter)
    let next = 100
    for (const repetition of ['first', 'second'])
      for (const letter of letters) {
        const action = letter.stage === 'contract' || letter.stage === 'store' ? 'requeue' : 'drop'
        world.subjects.set(next, requeueSubject(letter.site, letter.agent))
        world.stream.set(next, Buffer.from(JSON.stringify({ request: repetition, action, letter })))
        next += 1
      }
    world.operations = 0
    world.dieAt = dieAt
    return world
  }
  const calm = await prepared(Number.POSITIVE_INFINITY)
  const expected = summary(calm, (await live(calm, corrected)) as AgentAccount[])
  // The line that the store refused stays refused; the other letter of readings is stored; the poison is dropped.
  expect(expected.account).toMatchObject([{ produced: 120, stored: 118, deadLettered: 2, inFlight: 0, missing: 0 }])
  const answers = expected.letters
    .map(([, text]) => JSON.parse(text) as LetterSettlement)
    .filter(({ outcome }) => outcome !== undefined)
  expect(answers.map(({ request, outcome }) => `${request} ${outcome}`).sort()).toEqual([
    'first dropped',
    'first refused',
    'first stored',
    'second dropped',
    'second settled_before',
    'second settled_before',
  ])
  expect(expected.store.filter(([, line]) => line.includes('level=5000'))).toHaveLength(1)
  let deaths = 0
  for (let dieAt = 0; ; dieAt++) {
    const world = await prepared(dieAt)
    if ((await live(world, corrected)) !== 'died') break
    deaths += 1
    const account = await live(world, corrected)
    if (account === 'died') throw new Error('died twice')
    expect(summary(world, account), `killed at ${dieAt}`).toEqual(expected)
  }
  expect(deaths).toBeGreaterThan(10)
})
