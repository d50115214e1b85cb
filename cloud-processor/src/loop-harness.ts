/**
 * One partition's loop between fakes of the wire: a stream that delivers again what was not acknowledged, a store of upserts, a stream
 * of dead letters that knows ids. A life of the process is struck before or after any single operation: it dies, or it stands
 * still while a successor works, and goes on later.
 */
import type { JetStreamClient, JsMsg } from '@nats-io/jetstream'
import { encodeBatch } from '@tributary/protocol'
import { type Clock, createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { createFaultyFileSystem } from '@tributary/runtime/testing'
import type { AgentAccount } from './account.ts'
import type { StepContext } from './batch-scope.ts'
import type { CheckpointStore } from './checkpoint.ts'
import type { PartitionConsumer } from './consumer.ts'
import type { ContextSource } from './contexts.ts'
import { createFileCheckpointStore } from './file-checkpoint.ts'
import { type InfluxSink, type LineRefusal, PartialWriteError } from './influx-sink.ts'
import { createPartitionLoop, type PartitionLoop } from './loop.ts'
import { createModelStore, type ModelStore } from './model-store-harness.ts'
import { createOutbox, type Notifier, type Outbox } from './notifiers/index.ts'
import { createRepairList } from './repair-list.ts'
import { createRepairer } from './repairer.ts'
import { batchOf, blockOf, readingsOf } from './testing.ts'

export const START_MS = 1_767_225_600_000
export const PARTITION = 12
export const log = createLogger('test', 'silent')

/** Goes through with the work, or is struck before or after it. */
export type Operation = <T>(what: string, work: () => T | Promise<T>) => Promise<T>
export type OpenCheckpoints = (world: World, owner: string, operation: Operation) => CheckpointStore

export interface World {
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
  readonly openCheckpoints: OpenCheckpoints
  operations: number
  /** The process is struck before (even) or after (odd) operation `strikeAt / 2`, or where it says; once. */
  strikeAt: number | string
  /** Where it was: `before checkpoint`, `after lines`, … */
  struckAt: string
  /** Who is struck stands still until then; without it, it dies. */
  standing: Promise<void> | undefined
  /** Writes take long and checkpoints are rare: messages are stepped while what was stepped before is being written. */
  readonly isSlow: boolean
  /** Messages were taken while a write was under way. */
  overlaps: number
}

/** On a disk that forgets what was not synced. */
export const filesOnFaultyDisk: OpenCheckpoints = (world, owner) =>
  createFileCheckpointStore('/state', PARTITION, { owner, log, fileSystem: world.disk.mount() })

export const createWorld = (
  strikeAt: number,
  { messages = deliveries(), openCheckpoints = filesOnFaultyDisk, isSlow = false }: Partial<WorldOptions> = {},
): World => ({
  points: createModelStore(),
  repairClockMs: 0,
  stream: new Map(messages.map((bytes, i) => [i + 1, bytes])),
  subjects: new Map(),
  store: new Map(),
  letters: new Map(),
  disk: createFaultyFileSystem({ seed: 7 }),
  openCheckpoints,
  operations: 0,
  strikeAt,
  struckAt: '',
  standing: undefined,
  isSlow,
  overlaps: 0,
})

interface WorldOptions {
  readonly messages: readonly Uint8Array[]
  readonly openCheckpoints: OpenCheckpoints
  readonly isSlow: boolean
}

export interface Life {
  readonly loop: PartitionLoop
  /** The account at its end, or `struck`. */
  readonly outcome: Promise<AgentAccount[] | 'struck'>
  /** Rejects when it was replaced; of one that died, it never comes. */
  readonly end: Promise<AgentAccount[]>
  /** That it has acknowledged to the stream, offered to receivers, published to gateways; in this order. */
  readonly told: readonly ('acknowledged' | 'offered' | 'published')[]
  /** How often it has claimed the partition. */
  readonly claims: number
}

interface LifeOptions {
  readonly contexts?: ContextSource
  readonly clock?: Clock
  readonly notifiers?: readonly Notifier[]
  readonly checkpointIntervalMs?: number
}

let lives = 0
/** One life of the process: until everything is acknowledged, or until it is struck. */
export function begin(world: World, context: StepContext, options: LifeOptions = {}): Life {
  const { contexts = { current: context, asOf: () => context }, clock = systemClock, notifiers = [] } = options
  const { checkpointIntervalMs = world.isSlow ? 20 : 0 } = options
  const kill = new AbortController()
  const stopping = new AbortController()
  const gone = new AbortController()
  const told: Life['told'][number][] = []
  let claims = 0
  let dead = false
  const never = <T>() => new Promise<T>(() => undefined)
  let onStruck: () => void = () => undefined
  const struck = new Promise<'struck'>((resolve) => {
    onStruck = () => resolve('struck')
  })
  const isStruck = (what: string, index: number, half: 'before' | 'after'): boolean => {
    const places: unknown[] = [index * 2 + (half === 'before' ? 0 : 1), `${half} ${what}`]
    if (!places.includes(world.strikeAt)) return false
    world.strikeAt = Number.NaN
    world.struckAt = `${half} ${what}`
    if (world.standing === undefined) {
      dead = true
      gone.abort()
      world.disk.crash()
    }
    onStruck()
    return true
  }
  const operation: Operation = async (what, work) => {
    const index = world.operations++
    if (dead) return never()
    if (isStruck(what, index, 'before')) await (world.standing ?? never())
    const result = await work()
    if (dead) return never()
    if (isStruck(what, index, 'after')) await (world.standing ?? never())
    return result
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
        // It waits for nothing, so that nobody can stand still here: but one may die with some sent and others not.
        const index = world.operations++
        const mayDie = world.standing === undefined
        if (dead || (mayDie && isStruck('acknowledgement', index, 'before'))) return
        told.push('acknowledged')
        world.stream.delete(seq)
        if (mayDie) isStruck('acknowledgement', index, 'after')
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
      await operation('lines', async () => {
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
    publish: async (_subject: string, payload: Uint8Array, { msgID }: { msgID: string }) =>
      operation('letters', () => {
        const text = Buffer.from(payload).toString()
        const before = world.letters.get(msgID)
        // Whoever reads believes the first: what comes again says the same, or that it was settled before.
        if (before === undefined) world.letters.set(msgID, text)
        else if (text !== before && !text.includes('"settled_before"'))
          world.letters.set(`${msgID} says something else when it comes again`, text)
      }),
  } as unknown as JetStreamClient
  const owner = `life (test, since ${new Date(START_MS + lives++).toISOString()}, 0)`
  const checkpoints = world.openCheckpoints(world, owner, operation)
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
          return operation('query', () => answer)
        },
        { close: async () => undefined },
      ),
      lists: [repairs],
      clock: { ...systemClock, sleep: (_, signal) => systemClock.sleep(1, signal) },
      log,
    },
  )
  const outbox = createOutbox(notifiers, { clock: systemClock, log, metrics: createMetrics('test') })
  const overheard: Outbox = {
    ...outbox,
    offer: (state) => {
      told.push('offered')
      outbox.offer(state)
    },
  }
  const loop = createPartitionLoop(
    { partition: PARTITION, owner, lingerMs: 0, checkpointIntervalMs, resendAfterMs: 1_000 },
    {
      consumer,
      sink,
      checkpoints: {
        release: () => checkpoints.release(),
        load: () => checkpoints.load(),
        claim: (known) =>
          operation('claim', async () => {
            const claimed = await checkpoints.claim(known)
            claims += 1
            return claimed
          }),
        save: (bytes, expected) => operation('checkpoint', () => checkpoints.save(bytes, expected)),
      },
      client,
      ensureStreams: async () => undefined,
      publish: () => void told.push('published'),
      askWatermark: async () => undefined,
      outbox: overheard,
      repairs,
      contexts,
      clock: world.isSlow ? { ...clock, monotonicMs: () => looks++ } : clock,
      log,
      processor: 'processor-1',
    },
  )
  void repairer.run(AbortSignal.any([stopping.signal, gone.signal]))
  const end = loop.run(stopping.signal, kill.signal).then(() => loop.account())
  const outcome = Promise.race([end, struck])
  outcome.catch(() => undefined)
  end.catch(() => undefined)
  return {
    loop,
    outcome,
    end,
    told,
    get claims() {
      return claims
    },
  }
}

export const live = (world: World, context: StepContext, options?: LifeOptions) =>
  begin(world, context, options).outcome

/** What must be the same in the end, whatever happened. */
export const summary = (world: World, account: AgentAccount[]) => ({
  store: [...world.store].sort(),
  letters: [...world.letters].sort(),
  account: account.map(({ epochs: _, letters, ...rest }) => ({
    ...rest,
    // In the order in which they were met, which is when the store refused them.
    letters: letters.map((count) => JSON.stringify(count)).sort(),
  })),
})

/** Twelve batches, two of them in the other's place; one reading out of range, one line that the store refuses, one poison. */
export function deliveries(isWild = (b: number, i: number) => b === 3 && i === 2): Uint8Array[] {
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
export function lateDeliveries(): Uint8Array[] {
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
