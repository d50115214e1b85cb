/** Checkpoints in a real nats-server: every operation fails or is the last one, pieces and heads are damaged, the bucket is lost. */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { CHECKPOINT_STREAM } from '@tributary/protocol'
import { createLogger, retry, systemClock } from '@tributary/runtime'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkpointConformance, numberIn, stateOf, take } from './checkpoint.conformance.ts'
import { TakenOverError } from './checkpoint.ts'
import { type CheckpointBucket, createCheckpointBucket, PIECE_BYTES_MAX } from './checkpoint-bucket.ts'
import { createJetStreamCheckpointStore } from './jetstream-checkpoint.ts'

const PARTITION = 3
const log = createLogger('test', 'silent')

let folder: string
let nats: ManagedProcess & { url: string }
let connection: NatsConnection
let bucket: CheckpointBucket

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-checkpoint-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  await nats.start()
  connection = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 })
  bucket = await bucketOf(PARTITION)
})
afterAll(async () => {
  await connection?.close()
  await nats?.stop()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(() => wipe())

const manager = () => jetstreamManager(connection)
const bucketOf = async (partition: number) =>
  createCheckpointBucket(partition, { client: jetstream(connection), manager: await manager() })
const wipe = async () => {
  await (await manager()).streams.delete(CHECKPOINT_STREAM).catch(() => undefined)
}
const open = (owner: string, on = bucket) =>
  createJetStreamCheckpointStore(on, PARTITION, { owner, clock: systemClock, log })
const headNow = async () => JSON.parse(Buffer.from((await bucket.get(['head']))?.bytes ?? '{}').toString())
const generations = async (): Promise<string[]> =>
  (await headNow()).generations.map(({ id }: { id: string }) => id).sort()

describe('as every store', () =>
  checkpointConformance(async () => ({
    open,
    async damage(what) {
      const ids = (await headNow()).generations.map(({ id }: { id: string }) => id)
      for (const id of what === 'all' ? ids : ids.slice(0, 1)) await bucket.put([id, '0'], Buffer.from('damaged'))
    },
  })))

type Fault = 'dies before' | 'dies after' | 'fails before' | 'fails after'

/** The bucket, one operation of which is struck. @param onDeath called instead of an answer */
function struck(at: number, fault: Fault, onDeath: () => void) {
  const faulty = { operations: 0, dead: false }
  const operation = async <T>(work: () => Promise<T>): Promise<T> => {
    const never = () => new Promise<T>(() => undefined)
    if (faulty.dead) return never()
    const isStruck = faulty.operations++ === at
    if (isStruck && fault === 'fails before') throw new Error('TIMEOUT')
    const die = () => {
      faulty.dead = true
      onDeath()
      return never()
    }
    if (isStruck && fault === 'dies before') return die()
    const result = await work()
    if (faulty.dead) return never()
    if (isStruck && fault === 'dies after') return die()
    if (isStruck && fault === 'fails after') throw new Error('TIMEOUT')
    return result
  }
  const on: CheckpointBucket = {
    get: (key) => operation(() => bucket.get(key)),
    getPiece: (key) => operation(() => bucket.getPiece(key)),
    getBefore: (key, sequence) => operation(() => bucket.getBefore(key, sequence)),
    put: (key, bytes, expected) => operation(() => bucket.put(key, bytes, expected)),
    generations: () => operation(() => bucket.generations()),
    remove: (generation) => operation(() => bucket.remove(generation)),
  }
  return { on, faulty }
}

const COUNT = 4
/** Three pieces each, so that uploads can be torn. */
const largeState = (n: number) => Buffer.concat([stateOf(n), Buffer.alloc(2 * PIECE_BYTES_MAX + n, n)])

async function saveAll(on: CheckpointBucket, progress: { saved: number }): Promise<void> {
  const store = open('a', on)
  const untilItWorks = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;)
      try {
        return await work()
      } catch (error) {
        // As the loop does: what failed is tried again.
        if (error instanceof TakenOverError) throw error
      }
  }
  let revision = await untilItWorks(() => take(store))
  for (let n = 1; n <= COUNT; n++) {
    revision = await untilItWorks(() => store.save(largeState(n), revision))
    progress.saved = n
  }
}

describe.each<Fault>(['dies before', 'dies after', 'fails before', 'fails after'])(
  'the processor %s every operation',
  (fault) => {
    test('what save confirmed is there afterwards, or what came after it, whole; nothing is left lying about', async () => {
      const dry = struck(-1, fault, () => undefined)
      await saveAll(dry.on, { saved: 0 })
      expect(dry.faulty.operations).toBeGreaterThan(20)
      for (let at = 0; at < dry.faulty.operations; at++) {
        await wipe()
        const progress = { saved: 0 }
        let died: () => void = () => undefined
        const death = new Promise<void>((resolve) => {
          died = resolve
        })
        await Promise.race([saveAll(struck(at, fault, died).on, progress), death])
        const next = open('b')
        const loaded = await next.load()
        const found = numberIn(loaded.bytes)
        const where = `${fault} ${at}: ${found}, saved ${progress.saved}`
        expect(found === progress.saved || (found === progress.saved + 1 && fault.startsWith('dies')), where).toBe(true)
        if (found > 0) expect(Buffer.from(loaded.bytes ?? []).equals(largeState(found)), where).toBe(true)
        expect(loaded.isOlder, where).toBe(false)
        const { revision } = await next.claim(loaded)
        expect((await bucket.generations()).sort(), where).toEqual(await generations())
        await next.save(stateOf(99), revision)
        expect(numberIn((await open('c').load()).bytes), where).toBe(99)
        expect((await bucket.generations()).sort(), where).toEqual(await generations())
      }
    }, 120_000)
  },
)

test('a predecessor that stood still between its upload and its head: refused, and its pieces are removed', async () => {
  let release: () => void = () => undefined
  const standing = new Promise<void>((resolve) => {
    release = resolve
  })
  let isStill = false
  const slow: CheckpointBucket = {
    ...bucket,
    put: async (key, bytes, expected) => {
      if (isStill && key[0] === 'head') await standing
      return bucket.put(key, bytes, expected)
    },
  }
  const first = open('first', slow)
  const known = await first.save(stateOf(1), await take(first))
  isStill = true
  const saving = first.save(stateOf(2), known).catch((error: unknown) => error)
  const second = open('second')
  const revision = await second.save(stateOf(3), await take(second))
  release()
  expect(await saving).toBeInstanceOf(TakenOverError)
  await second.save(stateOf(4), revision)
  expect(numberIn((await open('c').load()).bytes)).toBe(4)
  expect((await bucket.generations()).sort()).toEqual(await generations())
})

test('a claim that stood still before it tidied up: what its successor has saved since stays', async () => {
  let release: () => void = () => undefined
  const standing = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow: CheckpointBucket = {
    ...bucket,
    generations: async () => {
      await standing
      return bucket.generations()
    },
  }
  const first = open('first', slow)
  const loaded = await first.load()
  const claiming = first.claim(loaded)
  await retry(async () => expect((await headNow()).owner).toBe('first'), {
    clock: systemClock,
    signal: AbortSignal.timeout(10_000),
    backoff: { firstMs: 10, maxMs: 50 },
  })
  const second = open('second')
  const revision = await second.save(stateOf(1), await take(second))
  await second.save(stateOf(2), revision)
  release()
  const known = await claiming
  expect((await bucket.generations()).sort()).toEqual(await generations())
  const left = await open('c').load()
  expect([numberIn(left.bytes), left.isOlder]).toEqual([2, false])
  await expect(first.save(stateOf(3), known.revision)).rejects.toBeInstanceOf(TakenOverError)
})

test('a bucket that is full: what failed attempts have uploaded does not pile up, and is gone once it works again', async () => {
  let room = Number.POSITIVE_INFINITY
  const full: CheckpointBucket = {
    ...bucket,
    put: (key, bytes, expected) => {
      if (--room < 0) throw new Error('insufficient storage resources available')
      return bucket.put(key, bytes, expected)
    },
  }
  const store = open('a', full)
  let revision = await take(store)
  for (let n = 1; n <= 3; n++) revision = await store.save(largeState(n), revision)
  for (let attempt = 1; attempt <= 10; attempt++) {
    room = attempt % 3
    await expect(store.save(largeState(4), revision)).rejects.toThrow('insufficient storage')
    expect((await bucket.generations()).length).toBeLessThanOrEqual(3)
  }
  room = Number.POSITIVE_INFINITY
  await store.save(largeState(4), revision)
  expect((await bucket.generations()).sort()).toEqual(await generations())
  expect(numberIn((await open('b').load()).bytes)).toBe(4)
})

test('claims and saves at the same moment: of many, the last to claim saves and all others are refused', async () => {
  const stores = await Promise.all(
    Array.from({ length: 12 }, async (_, i) => {
      const store = open(`processor-${i}`)
      return { i, store, revision: await take(store) }
    }),
  )
  const outcomes = await Promise.all(
    stores.map(({ i, store, revision }) =>
      store.save(stateOf(i + 1), revision).then(
        () => i + 1,
        (error: unknown) => {
          if (!(error instanceof TakenOverError)) throw error
          return 0
        },
      ),
    ),
  )
  const won = outcomes.filter((n) => n > 0)
  expect(won).toHaveLength(1)
  expect(numberIn((await open('reader').load()).bytes)).toBe(won[0])
})

const figures = { id: 'ab', pieces: 1, bytes: 10, crc32: 1 }
const headOf = (...generations: object[]) => JSON.stringify({ format: 1, term: 1, owner: 'x', generations })
test.each([
  ['of another format', '{"format":7}'],
  ['more bytes than a generation may have', headOf({ ...figures, bytes: 1e15 })],
  ['more pieces than a generation may have', headOf({ ...figures, pieces: 1e15 })],
])('a head that is none (%s): the one before it, and it goes on', async (_, text) => {
  const store = open('a')
  let revision = await take(store)
  for (let n = 1; n <= 3; n++) revision = await store.save(stateOf(n), revision)
  await bucket.put(['head'], Buffer.from(text))
  const next = open('b')
  const loaded = await next.load()
  expect([numberIn(loaded.bytes), loaded.isOlder]).toEqual([3, true])
  const claimed = await next.claim(loaded)
  await expect(store.save(stateOf(4), revision)).rejects.toBeInstanceOf(TakenOverError)
  await next.save(stateOf(5), claimed.revision)
  const after = await open('c').load()
  expect([numberIn(after.bytes), after.isOlder]).toEqual([5, false])
})

test('NATS lost the bucket, or has an older copy of it: the processor that has the state writes it again', async () => {
  const store = open('a')
  let revision = await store.save(stateOf(1), await take(store))
  await wipe()
  revision = await store.save(stateOf(2), revision)
  expect(numberIn((await open('c').load()).bytes)).toBe(2)
  // An older copy: the head of an earlier term.
  await bucket.put(['head'], Buffer.from(JSON.stringify({ format: 1, term: 1, owner: 'earlier', generations: [] })))
  const again = open('a2')
  revision = await take(again)
  await bucket.put(['head'], Buffer.from(JSON.stringify({ format: 1, term: 1, owner: 'earlier', generations: [] })))
  await again.save(stateOf(3), revision)
  expect(numberIn((await open('c').load()).bytes)).toBe(3)
})

test('NATS lost the bucket, and a successor claimed the partition before its predecessor saved again: the successor has it', async () => {
  await take(open('earlier'))
  const first = open('first')
  const known = await first.save(stateOf(1), await take(first))
  await wipe()
  const second = open('second')
  const revision = await take(second)
  await expect(first.save(stateOf(2), known)).rejects.toBeInstanceOf(TakenOverError)
  await second.save(stateOf(3), revision)
  expect(numberIn((await open('c').load()).bytes)).toBe(3)
})

test('NATS killed and started again: what was saved is there', async () => {
  const store = open('a')
  const revision = await store.save(largeState(1), await take(store))
  await nats.kill()
  await nats.start()
  const loaded = await retry(() => open('b').load(), {
    clock: systemClock,
    signal: AbortSignal.timeout(30_000),
    backoff: { firstMs: 100, maxMs: 500 },
  })
  expect(Buffer.from(loaded.bytes ?? []).equals(largeState(1))).toBe(true)
  await store.save(largeState(2), revision)
}, 60_000)

test('partitions share the bucket and do not touch each other; what it takes on the disk stays bounded', async () => {
  const stores = await Promise.all(
    [1, 2].map(async (partition) => {
      const store = createJetStreamCheckpointStore(await bucketOf(partition), partition, {
        owner: 'a',
        clock: systemClock,
        log,
      })
      return { partition, store, revision: await take(store) }
    }),
  )
  for (let n = 1; n <= 100; n++)
    await Promise.all(
      stores.map(async (one) => {
        one.revision = await one.store.save(largeState(n * one.partition), one.revision)
      }),
    )
  for (const { partition, store } of stores) expect(numberIn((await store.load()).bytes)).toBe(100 * partition)
  const info = await (await manager()).streams.info(CHECKPOINT_STREAM)
  expect(info.state.messages).toBeLessThanOrEqual(2 * (2 + 2 * 3))
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  let bytes = 0
  for (const file of files)
    if (file.isFile() && file.parentPath.includes(CHECKPOINT_STREAM))
      bytes += (await stat(join(file.parentPath, file.name))).size
  // 200 MB were written.
  expect(bytes).toBeLessThan(40 * 1024 * 1024)
}, 120_000)
