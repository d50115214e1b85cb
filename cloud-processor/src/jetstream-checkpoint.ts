/**
 * Guarantee: a generation counts from the moment at which the head names it, and the head is put only when nobody else has put one
 * since ours: a torn upload is never read, a processor that was replaced cannot save. As safe as the bucket: NATS before 2.10
 * syncs every two minutes.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type Clock, type Logger, messageOf } from '@tributary/runtime'
import { z } from 'zod'
import { type Checkpoint, type CheckpointStore, TakenOverError } from './checkpoint.ts'
import { type BucketEntry, type CheckpointBucket, PIECE_BYTES_MAX, WrongSequenceError } from './checkpoint-bucket.ts'

/** Of one generation. A bucket holds two a partition, and those being uploaded. */
export const GENERATION_BYTES_MAX = 512 * 1024 * 1024
/** Pieces on their way at once. */
const PIECES_OPEN_MAX = 8

const generation = z.object({
  id: z.string().regex(/^[0-9a-f]+$/),
  pieces: z
    .int()
    .min(0)
    .max(GENERATION_BYTES_MAX / PIECE_BYTES_MAX),
  bytes: z.int().min(0).max(GENERATION_BYTES_MAX),
  crc32: z.int().min(0),
})
const headSchema = z.object({
  format: z.literal(1),
  /** Every claim raises it, to the time of day at least: so that the later of two has the higher one although NATS lost the head of the other. */
  term: z.int().min(1),
  owner: z.string(),
  /** The newest first. */
  generations: z.array(generation).max(2),
  /** A newer one was damaged, and nothing was saved since. */
  older: z.boolean().default(false),
})
type Generation = z.infer<typeof generation>
type Head = z.infer<typeof headSchema>

const HEAD = ['head']
const EMPTY: Pick<Head, 'generations' | 'older'> = { generations: [], older: false }

/** @param owner who works on the partition; differs between any two runs */
export function createJetStreamCheckpointStore(
  bucket: CheckpointBucket,
  partition: number,
  { owner, clock, log }: { owner: string; clock: Clock; log: Logger },
): CheckpointStore {
  /** 0: the partition was not claimed yet. */
  let term = 0
  let seenTerm = 0
  let kept: Generation[] = []
  /** There may be pieces that no head names. */
  let untidy = false

  const parse = (entry: BucketEntry | undefined): Head | Error | undefined => {
    const head = entry && parseHead(entry)
    if (head && !(head instanceof Error)) seenTerm = Math.max(seenTerm, head.term)
    return head
  }
  async function readHead(): Promise<{ sequence: number; head: Head | Error | undefined }> {
    const entry = await bucket.get(HEAD)
    return { sequence: entry?.sequence ?? 0, head: parse(entry) }
  }
  const isAnothers = (head: Head | Error | undefined): head is Head =>
    head !== undefined && !(head instanceof Error) && (head.term > term || (head.term === term && head.owner !== owner))

  async function readGeneration({ id, pieces, bytes, crc32: checksum }: Generation): Promise<Uint8Array | Error> {
    const all = new Uint8Array(bytes)
    let damage: Error | undefined
    await inParallel(pieces, async (n) => {
      const piece = await bucket.getPiece([id, String(n)])
      const room = all.subarray(n * PIECE_BYTES_MAX, (n + 1) * PIECE_BYTES_MAX)
      if (piece === undefined || piece.bytes.length !== room.length)
        damage = new Error(`piece ${n} of ${pieces} is ${piece ? 'cut short' : 'not there'}`)
      else room.set(piece.bytes)
    })
    if (damage === undefined && crc32(all) !== checksum) damage = new Error('its checksum is wrong')
    return damage ?? all
  }

  async function load(): Promise<Checkpoint> {
    const { sequence, head: newest } = await readHead()
    let isOlder = false
    const damaged = (what: string, reason: string) => {
      isOlder = true
      log.error(
        { partition, bucket: what },
        `checkpoint is damaged (${reason}); using the generation before when that is whole`,
      )
    }
    let head = newest
    if (head instanceof Error) {
      damaged('head', head.message)
      head = parse(await bucket.getBefore(HEAD, sequence))
    }
    const { generations, older } = head === undefined || head instanceof Error ? EMPTY : head
    isOlder ||= older
    kept = []
    let bytes: Uint8Array | undefined
    for (const one of generations) {
      const found = await readGeneration(one)
      if (found instanceof Error) damaged(one.id, found.message)
      else {
        kept.push(one)
        bytes = found
        break
      }
    }
    if (isOlder)
      log.error(
        {
          partition,
          hint: 'the gateways are asked what was stored since then, and windows of that time stay as they are in InfluxDB',
        },
        bytes === undefined
          ? 'no generation of the checkpoint is whole: account, windows and alerts begin anew'
          : 'the account goes on from an earlier checkpoint',
      )
    else kept = generations
    return { bytes, revision: sequence, isOlder }
  }

  /**
   * Removes what our head does not name: uploads that were torn, or not removed when they were replaced. The head is read after
   * the list: when it is still ours, no successor had uploaded anything that is in the list.
   */
  async function tidy(): Promise<void> {
    const listed = await bucket.generations()
    const { head } = await readHead()
    if (head === undefined || head instanceof Error || head.term !== term || head.owner !== owner) return
    for (const id of listed) if (!head.generations.some((one) => one.id === id)) await bucket.remove(id)
    untidy = false
  }
  const atLeisure = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      untidy = true
      log.warn(
        { partition, reason: messageOf(error) },
        'an old generation of the checkpoint is still there; removed later',
      )
    })

  async function upload(bytes: Uint8Array): Promise<Generation> {
    const id = randomBytes(6).toString('hex')
    const pieces = Math.ceil(bytes.length / PIECE_BYTES_MAX)
    await inParallel(pieces, (n) =>
      bucket.put([id, String(n)], bytes.subarray(n * PIECE_BYTES_MAX, (n + 1) * PIECE_BYTES_MAX)),
    )
    return { id, pieces, bytes: bytes.length, crc32: crc32(bytes) }
  }
  const putHead = (head: Omit<Head, 'format' | 'owner'>, expected: number): Promise<number> =>
    bucket.put(HEAD, Buffer.from(JSON.stringify({ format: 1, owner, ...head }), 'utf8'), expected)

  return {
    load,
    release() {
      term = 0
    },
    async claim(known) {
      for (let current = known; ; ) {
        const { sequence, head } = await readHead()
        if (term > 0 && isAnothers(head)) throw new TakenOverError(partition, head.owner)
        if (sequence !== current.revision && (head === undefined || head instanceof Error)) {
          current = await load()
          continue
        }
        const next = Math.max(term, seenTerm, Math.floor(clock.wallMs())) + 1
        // A predecessor at work saves faster than we could load: we take the partition first.
        const moved = sequence !== current.revision ? (head as Head) : undefined
        const { generations, older } = moved ?? { generations: kept, older: current.isOlder }
        try {
          const revision = await putHead({ term: next, generations, older }, sequence)
          term = next
          if (moved) current = await load()
          await atLeisure(tidy())
          return { ...current, revision }
        } catch (error) {
          if (!(error instanceof WrongSequenceError)) throw error
        }
      }
    },
    async save(bytes, expectedRevision) {
      if (term === 0) throw new Error('saved before it was claimed')
      if (bytes.length > GENERATION_BYTES_MAX)
        throw new Error(
          `the state has ${bytes.length} bytes, more than the ${GENERATION_BYTES_MAX} that fit into a checkpoint`,
        )
      // What attempts that failed have uploaded must not fill the bucket.
      if (untidy) await atLeisure(tidy())
      const wasUntidy = untidy
      untidy = true // until we know what became of the pieces
      const newest = await upload(bytes)
      const generations = [newest, ...kept.slice(0, 1)]
      let wasUnsure = false
      for (let expected = expectedRevision; ; ) {
        try {
          const revision = await putHead({ term, generations, older: false }, expected)
          const left = kept.slice(1)
          kept = generations
          untidy = wasUntidy || wasUnsure
          await atLeisure(untidy ? tidy() : removeAll(left))
          return revision
        } catch (error) {
          if (!(error instanceof WrongSequenceError)) throw error
        }
        const { sequence, head } = await readHead()
        if (isAnothers(head)) {
          await atLeisure(bucket.remove(newest.id))
          throw new TakenOverError(partition, head.owner)
        }
        log.warn({ partition }, 'the head of the checkpoint is not the one that was put last; written again')
        wasUnsure = true
        expected = sequence
      }
    },
  }

  async function removeAll(generations: readonly Generation[]): Promise<void> {
    for (const { id } of generations) await bucket.remove(id)
  }
}

function parseHead(entry: BucketEntry): Head | Error {
  try {
    return headSchema.parse(JSON.parse(Buffer.from(entry.bytes).toString('utf8')))
  } catch (error) {
    return new Error(`its head cannot be read: ${messageOf(error).slice(0, 200)}`)
  }
}

/** Does 0, 1, … count - 1, some at once. Rejects with the first failure, when all that began has ended. */
async function inParallel(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const ended = await Promise.allSettled(
    Array.from({ length: Math.min(PIECES_OPEN_MAX, count) }, async () => {
      while (next < count) await work(next++)
    }),
  )
  for (const one of ended) if (one.status === 'rejected') throw one.reason
}
