/**
 * Which device stands where, as of event time: a bucket that `tributary device` edits, and beneath it, if somebody wants one, a
 * YAML file. What the bucket says of a device comes first. Both are followed live; what is wrong in them leaves in
 * force what was known before. A copy on disk (`device-journal.ts`) is what counts until the bucket has been read.
 */
import type { NatsConnection } from '@nats-io/transport-node'
import { type Clock, ConfigError, every, type Logger, messageOf } from '@tributary/runtime'
import { watchDeviceBucket } from './device-bucket.ts'
import { readDeviceFile, versionOfFile } from './device-file.ts'
import { createDeviceJournal, type RegistryVersion } from './device-journal.ts'
import { type DeviceRecord, overlaid } from './device-record.ts'

/** For so long a start waits for the bucket; then it goes on with the copy. */
const FIRST_READ_MS_MAX = 5_000

/** The part of the registry that a partition needs. */
export interface DeviceLookup {
  /** The newest. A partition goes over to it with a checkpoint. */
  readonly version: RegistryVersion
  find(device: string, version: RegistryVersion): DeviceRecord | undefined
}

export interface RegistryStatus {
  devices: number
  revision: number
  /** Where what is in force came from: the copy on disk until the bucket was read for the first time. */
  bucket: 'read' | 'copy' | 'absent' | 'not read'
}

export interface DeviceRegistry extends DeviceLookup {
  status(): RegistryStatus
  /** Reads the copy and the file; throws ConfigError when the file has mistakes. */
  load(): Promise<void>
  /** Follows bucket and file until the signal aborts. */
  watch(connection: NatsConnection, signal: AbortSignal): Promise<void>
  /** Resolves when the bucket was read, or is not there, or does not answer. */
  settled(signal: AbortSignal): Promise<void>
}

export interface RegistryOptions {
  /** A YAML file, beneath the bucket. */
  readonly file: string | undefined
  readonly bucket: string
  /** Where the copy is kept. */
  readonly copy: string
}

export function createDeviceRegistry(
  { file, bucket, copy }: RegistryOptions,
  { clock, log, checkEveryMs = 2_000 }: { clock: Clock; log: Logger; checkEveryMs?: number },
): DeviceRegistry {
  const journal = createDeviceJournal(copy, { log })
  let inFile: ReadonlyMap<string, DeviceRecord> = new Map()
  let inBucket: ReadonlyMap<string, DeviceRecord> = new Map()
  let fileVersion = ''
  let bucketState: RegistryStatus['bucket'] = 'not read'
  let commits: Promise<unknown> = Promise.resolve()

  /** One after another; what cannot be written to disk is not in force, and tried again with the next look. */
  function commit(): Promise<number> {
    const work = commits.then(() => {
      const records = new Map(inFile)
      for (const [device, record] of inBucket) records.set(device, overlaid(inFile.get(device), record))
      return journal.commit(records, new Set(inBucket.keys()), clock.wallMs())
    })
    commits = work.catch(() => undefined)
    return work
  }

  /** @returns how many devices changed */
  async function readFile(path: string): Promise<number> {
    const version = await versionOfFile(path)
    inFile = await readDeviceFile(path)
    const changed = await commit()
    fileVersion = version
    return changed
  }

  async function watchFile(path: string, signal: AbortSignal): Promise<void> {
    let refused = ''
    const look = async () => {
      const found = await versionOfFile(path)
      if (found === fileVersion || found === refused) return
      try {
        const changed = await readFile(path)
        refused = ''
        log.info({ file: path, devices: inFile.size, changed }, 'device registry read again')
      } catch (error) {
        if (error instanceof ConfigError) refused = found
        log.error(
          { file: path, hint: 'correct the file; until then what was read before stays in force' },
          messageOf(error),
        )
      }
    }
    await every(checkEveryMs, look, { clock, signal })
  }

  return {
    get version() {
      return journal.version
    },
    find: journal.find,
    status: () => ({ devices: journal.size, revision: journal.version.revision, bucket: bucketState }),
    async load() {
      await journal.load()
      inBucket = new Map([...journal.records()].filter(([device]) => journal.inBucket.has(device)))
      if (inBucket.size > 0) bucketState = 'copy'
      if (file === undefined) await commit()
      else await readFile(file)
    },
    async watch(connection, signal) {
      const onRecords = async (records: ReadonlyMap<string, DeviceRecord>, unreadable: ReadonlySet<string>) => {
        const first = bucketState !== 'read'
        const kept = [...inBucket].filter(([device]) => unreadable.has(device))
        inBucket = new Map([...kept, ...records])
        const changed = await commit()
        bucketState = 'read'
        if (changed > 0 || first) log.info({ bucket, devices: inBucket.size, changed }, 'device registry read')
      }
      const onAbsent = () => {
        if (inBucket.size === 0) bucketState = 'absent'
        else {
          bucketState = 'copy'
          log.warn(
            { bucket, devices: inBucket.size, hint: 'import the devices again with `tributary device import`' },
            'the bucket of the device registry is gone: the last known copy stays in force',
          )
        }
      }
      await Promise.all([
        watchDeviceBucket(connection, bucket, { onRecords, onAbsent }, { clock, log, signal }),
        file === undefined ? undefined : watchFile(file, signal),
      ])
    },
    async settled(signal) {
      const untilMs = clock.monotonicMs() + FIRST_READ_MS_MAX
      while (bucketState !== 'read' && bucketState !== 'absent' && clock.monotonicMs() < untilMs && !signal.aborted)
        await clock.sleep(20, signal).catch(() => undefined)
      if (bucketState === 'read' || bucketState === 'absent' || signal.aborted) return
      const copyOf = journal.loadedFromMs
      log.warn(
        { bucket, devices: journal.size, copyOf: copyOf === undefined ? null : new Date(copyOf).toISOString() },
        'the bucket of the device registry was not read: the last known copy is in force until it is',
      )
    },
  }
}
