/** Devices in a JetStream KV bucket: one key a device, its value the record as JSON. Read by the processor, written by the command. */

import { JetStreamApiError } from '@nats-io/jetstream'
import { type KV, type KvEntry, Kvm, type Kvm as KvmType } from '@nats-io/kv'
import type { NatsConnection } from '@nats-io/transport-node'
import { type Clock, ConfigError, type Logger, messageOf, parseConfig, UserError } from '@tributary/runtime'
import { type DeviceRecord, deviceRecordSchema } from './device-record.ts'
import { createGatherer } from './gather.ts'

export const DEVICE_BUCKET = 'devices'
/** A bucket of devices that is full takes no further edits, and says so. */
const BUCKET_BYTES_MAX = 256 * 1024 * 1024
const RECORD_BYTES_MAX = 64 * 1024
/** Former values that the bucket keeps, for people who ask who changed what. */
const HISTORY = 8
const STREAM_NOT_FOUND = 10059
const WRONG_LAST_SEQUENCE = 10071
const TRY_AGAIN_MS = 2_000
const LOOK_MS = 10_000

export interface StoredDevice {
  /** undefined: it was deleted; null: what lies there is no record. */
  readonly record: DeviceRecord | null | undefined
  readonly revision: number
  /** When it was written, milliseconds since 1970. */
  readonly writtenAtMs: number
}

/** Somebody else changed the device in between. */
export class DeviceChangedError extends Error {
  override readonly name = 'DeviceChangedError'
}

export interface DeviceBucket {
  /** Everything, by device. */
  all(): Promise<Map<string, StoredDevice>>
  get(device: string): Promise<StoredDevice | undefined>
  /**
   * @param revision that of the value which it replaces; 0 when there was none
   * @throws DeviceChangedError when that is not the newest
   */
  put(device: string, record: DeviceRecord, revision: number): Promise<void>
  /** Leaves nothing but a mark that it was there. */
  delete(device: string): Promise<void>
}

const isCode = (error: unknown, code: number) => error instanceof JetStreamApiError && error.code === code

/** @returns undefined when there is none, and it is not to be made */
export async function openDeviceBucket(
  connection: NatsConnection,
  bucket: string,
  { create }: { create: boolean },
): Promise<DeviceBucket | undefined> {
  const all = new Kvm(connection)
  let store = await openExisting(all, bucket)
  if (store === undefined && !create) return undefined
  store ??= await all.create(bucket, {
    description: 'Devices: where they stand, what people call them, their own limits.',
    history: HISTORY,
    max_bytes: BUCKET_BYTES_MAX,
    maxValueSize: RECORD_BYTES_MAX,
  })
  const kv = store
  return {
    async all() {
      const found = new Map<string, StoredDevice>()
      if ((await kv.status()).values === 0) return found
      const entries = await kv.watch()
      for await (const entry of entries) {
        found.set(entry.key, storedIn(entry))
        if (entry.delta === 0) break
      }
      return found
    },
    async get(device) {
      const entry = await kv.get(device)
      return entry === null ? undefined : storedIn(entry)
    },
    async put(device, record, revision) {
      try {
        await kv.put(device, JSON.stringify(record), { previousSeq: revision })
      } catch (error) {
        if (!isCode(error, WRONG_LAST_SEQUENCE))
          throw new UserError(`the bucket ${bucket} does not take ${device}: ${messageOf(error)}`, {
            cause: error,
            hint: `\`nats kv info ${bucket}\` says what it holds and may hold; a device may take ${RECORD_BYTES_MAX} bytes`,
          })
        throw new DeviceChangedError(`${device} was changed by somebody else at the same time`, { cause: error })
      }
    },
    delete: (device) => kv.delete(device),
  }
}

async function openExisting(all: KvmType, bucket: string): Promise<KV | undefined> {
  try {
    const kv = await all.open(bucket)
    await kv.status()
    return kv
  } catch (error) {
    if (isCode(error, STREAM_NOT_FOUND)) return undefined
    throw error
  }
}

function storedIn(entry: KvEntry, onMistake: (reason: string) => void = () => undefined): StoredDevice {
  const told = { revision: entry.revision, writtenAtMs: entry.created.getTime() }
  if (entry.operation !== 'PUT') return { ...told, record: undefined }
  try {
    return { ...told, record: parseConfig(entry.key, entry.string(), deviceRecordSchema, {}) }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    onMistake(error.mistakes.map(({ path, message }) => `${path}: ${message}`).join('; '))
    return { ...told, record: null }
  }
}

export interface BucketWatch {
  /**
   * All records, soon after some have changed; first when all have been read. Not called again before it has resolved.
   * @param unreadable devices of which something lies there that is no record
   */
  readonly onRecords: (records: ReadonlyMap<string, DeviceRecord>, unreadable: ReadonlySet<string>) => Promise<void>
  /** There is none; told once until there is one. */
  readonly onAbsent: () => void
}

/** Follows the bucket until the signal aborts, over reconnections, over its deletion, and until somebody makes it. */
export async function watchDeviceBucket(
  connection: NatsConnection,
  bucket: string,
  { onRecords, onAbsent }: BucketWatch,
  { clock, log, signal }: { clock: Clock; log: Logger; signal: AbortSignal },
): Promise<void> {
  const buckets = new Kvm(connection)
  let told = ''
  const tell = (what: string, say: () => void) => {
    if (told !== what) say()
    told = what
  }
  while (!signal.aborted) {
    try {
      const kv = await openExisting(buckets, bucket)
      if (kv === undefined) tell('absent', onAbsent)
      else {
        await follow(kv, signal)
        told = ''
      }
    } catch (error) {
      const reason = messageOf(error)
      if (!signal.aborted && !connection.isClosed())
        tell(reason, () =>
          log.warn({ bucket, reason }, 'the device registry cannot be read; what was read before stays in force'),
        )
    }
    await clock.sleep(TRY_AGAIN_MS, signal).catch(() => undefined)
  }

  /** Until the bucket is another one, or the signal aborts. */
  async function follow(kv: KV, until: AbortSignal): Promise<void> {
    const { values, streamInfo } = await kv.status()
    const records = new Map<string, DeviceRecord>()
    const unreadable = new Set<string>()
    if (values === 0) await onRecords(records, unreadable)
    const entries = await kv.watch()
    const done = new AbortController()
    const stop = () => entries.stop()
    until.addEventListener('abort', stop, { once: true })
    const watching = lookAfter(kv, streamInfo.created, done.signal, stop)
    const handOn = createGatherer(() => onRecords(records, unreadable), { clock, onFailure: stop })
    try {
      let isWhole = false
      for await (const entry of entries) {
        const { record } = storedIn(entry, (reason) =>
          log.warn(
            { bucket, device: entry.key, reason, hint: 'write it with `tributary device set`' },
            'a device of the registry cannot be read; what was known of it stays in force',
          ),
        )
        unreadable.delete(entry.key)
        if (record) records.set(entry.key, record)
        else records.delete(entry.key)
        if (record === null) unreadable.add(entry.key)
        if (entry.delta !== 0) continue
        if (isWhole) handOn.soon(done.signal)
        else await onRecords(records, unreadable)
        isWhole = true
      }
    } finally {
      until.removeEventListener('abort', stop)
      done.abort()
      entries.stop()
      await watching
      await handOn.ended()
    }
  }

  /** A watch on a bucket that was deleted, or made anew, hears nothing any more: the bucket itself is looked at now and then. */
  async function lookAfter(kv: KV, created: string, until: AbortSignal, onOther: () => void): Promise<void> {
    while (!until.aborted) {
      await clock.sleep(LOOK_MS, until).catch(() => undefined)
      if (until.aborted) return
      const isOther = await kv
        .status()
        .then(({ streamInfo }) => streamInfo.created !== created)
        .catch((error: unknown) => isCode(error, STREAM_NOT_FOUND))
      if (isOther) return onOther()
    }
  }
}
