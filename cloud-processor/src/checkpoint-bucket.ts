/** The KV bucket of checkpoints on the wire: the few things that a checkpoint needs of it, for one partition. */
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream'
import { CHECKPOINT_STREAM, CHECKPOINT_SUBJECTS, checkpointSubject } from '@tributary/protocol'
import { messageOf } from '@tributary/runtime'
import { STREAM_NOT_FOUND } from './nats.ts'

const WRONG_LAST_SEQUENCE = 10071
/** Well under what any server takes in one message by default (1 MB). */
export const PIECE_BYTES_MAX = 512 * 1024
const TIMEOUT_MS = 10_000

export interface BucketEntry {
  readonly sequence: number
  readonly bytes: Uint8Array
}

/** Keys are given in parts, without the partition. Everything rejects when the server does not answer. */
export interface CheckpointBucket {
  /** @returns the newest entry of the key */
  get(key: readonly string[]): Promise<BucketEntry | undefined>
  /** The same of a key that is put once: four times as fast, as any replica may answer. */
  getPiece(key: readonly string[]): Promise<BucketEntry | undefined>
  /** @returns the entry of the key before that sequence, when the bucket still has it */
  getBefore(key: readonly string[], sequence: number): Promise<BucketEntry | undefined>
  /**
   * @param expected sequence of the key's newest entry, 0 for none; undefined: whatever it is
   * @throws WrongSequenceError
   */
  put(key: readonly string[], bytes: Uint8Array, expected?: number): Promise<number>
  /** Ids of all generations of which there is a piece. */
  generations(): Promise<string[]>
  /** Removes the pieces of a generation. */
  remove(generation: string): Promise<void>
}

export class WrongSequenceError extends Error {
  override readonly name = 'WrongSequenceError'
}

/**
 * As a KV bucket is made, with two entries a key. Its size is limited by us, generation by generation: at a limit of the
 * server's, nats-server 2.9 pushes out the oldest entry, which may be another partition's head.
 */
export const CHECKPOINT_STREAM_CONFIG: Partial<StreamConfig> & { name: string } = {
  name: CHECKPOINT_STREAM,
  subjects: [CHECKPOINT_SUBJECTS],
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.New,
  max_msgs_per_subject: 2,
  max_bytes: -1,
  max_age: 0,
  deny_delete: true,
  allow_rollup_hdrs: true,
  allow_direct: true,
}

export function createCheckpointBucket(
  partition: number,
  { client, manager }: { client: JetStreamClient; manager: JetStreamManager },
): CheckpointBucket {
  const subjectOf = (key: readonly string[]) => checkpointSubject(partition, ...key)

  /** Nothing of that name is no error. */
  const orNone = async <T>(work: Promise<T | null>): Promise<T | null | undefined> => {
    try {
      return await work
    } catch (error) {
      if (isApiError(error, STREAM_NOT_FOUND)) return undefined
      throw error
    }
  }
  async function get(key: readonly string[]): Promise<BucketEntry | undefined> {
    const found = await orNone(manager.streams.getMessage(CHECKPOINT_STREAM, { last_by_subj: subjectOf(key) }))
    return found ? { sequence: found.seq, bytes: found.data } : undefined
  }
  async function publish(key: readonly string[], bytes: Uint8Array, expected: number | undefined): Promise<number> {
    const expect = {
      streamName: CHECKPOINT_STREAM,
      ...(expected === undefined ? {} : { lastSubjectSequence: expected }),
    }
    try {
      return (await client.publish(subjectOf(key), bytes, { timeout: TIMEOUT_MS, expect })).seq
    } catch (error) {
      if (isApiError(error, WRONG_LAST_SEQUENCE)) throw new WrongSequenceError(messageOf(error))
      throw error
    }
  }

  return {
    get,
    async getPiece(key) {
      const found = await manager.direct
        .getMessage(CHECKPOINT_STREAM, { last_by_subj: subjectOf(key) })
        .catch(() => undefined)
      // A replica that is behind does not know it, and a bucket that somebody else made may not allow this.
      return found ? { sequence: found.seq, bytes: found.data } : get(key)
    },
    async getBefore(key, sequence) {
      // Two are kept: the first from the beginning is the one before the newest.
      const query = { seq: 1, next_by_subj: subjectOf(key) }
      const found = await orNone(manager.streams.getMessage(CHECKPOINT_STREAM, query))
      return found && found.seq < sequence ? { sequence: found.seq, bytes: found.data } : undefined
    },
    async put(key, bytes, expected) {
      try {
        return await publish(key, bytes, expected)
      } catch (error) {
        // What the client says when no stream takes the subject.
        if ((error as Error).name !== 'JetStreamNotEnabled') throw error
        await manager.streams.add(CHECKPOINT_STREAM_CONFIG)
        return publish(key, bytes, expected === undefined ? undefined : 0)
      }
    },
    async generations() {
      const filter = checkpointSubject(partition, '*', '*')
      const info = await orNone(manager.streams.info(CHECKPOINT_STREAM, { subjects_filter: filter }))
      const place = subjectOf([]).length + 1
      return [...new Set(Object.keys(info?.state.subjects ?? {}).map((s) => s.slice(place).split('.')[0] as string))]
    },
    async remove(generation) {
      await orNone(manager.streams.purge(CHECKPOINT_STREAM, { filter: subjectOf([generation, '*']) }))
    },
  }
}

const isApiError = (error: unknown, code: number): boolean => error instanceof JetStreamApiError && error.code === code
