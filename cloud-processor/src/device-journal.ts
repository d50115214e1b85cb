/**
 * Guarantee: what `find` answers for a version never changes while a partition may still ask for it, over restarts, too. So a
 * message that is processed again after a crash finds the registry as it was, and no reading is written under two sites.
 *
 * A version is the name of the journal and a revision, which counts changes. Of each device the last few records are kept with
 * the revision that they came with, in memory and in one file, which is written before a revision is offered to anybody.
 * Not: over the loss of that file. A version of another journal is answered with the newest records.
 */
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import {
  type FileSystem,
  type Logger,
  messageOf,
  nodeFileSystem,
  readFileWhole,
  writeFileAtomic,
} from '@tributary/runtime'
import { z } from 'zod'
import { type DeviceRecord, deviceRecordSchema, isSameRecord } from './device-record.ts'

/** Records kept of a device. One that is changed more often between two checkpoints of a partition is found as the oldest of them. */
export const RECORDS_KEPT = 8

export interface RegistryVersion {
  readonly journal: string
  readonly revision: number
}
/** Of a state that has seen no registry. */
export const NO_VERSION: RegistryVersion = { journal: '', revision: 0 }

export const isSameVersion = (a: RegistryVersion, b: RegistryVersion): boolean =>
  a.revision === b.revision && (a.revision === 0 || a.journal === b.journal)

const change = z.tuple([z.int(), deviceRecordSchema.nullable()])
type Change = [revision: number, record: DeviceRecord | null]
const journalSchema = z.strictObject({
  version: z.literal(1),
  journal: z.string().min(1),
  revision: z.int(),
  savedAtMs: z.number(),
  /** Devices whose record came out of the bucket. */
  inBucket: z.array(z.string()),
  devices: z.record(z.string(), z.array(change).min(1)),
})

export interface DeviceJournal {
  readonly version: RegistryVersion
  /** Devices that have a record now. */
  readonly size: number
  /** When the copy on disk that was loaded was written; undefined when there was none. */
  readonly loadedFromMs: number | undefined
  /** As of the last load or commit: whose record came out of the bucket. */
  readonly inBucket: ReadonlySet<string>
  find(device: string, version: RegistryVersion): DeviceRecord | undefined
  /** All that have a record now. */
  records(): IterableIterator<[device: string, record: DeviceRecord]>
  load(): Promise<void>
  /**
   * Makes these the newest records; what differs is one revision more, visible once it is on disk.
   * @returns how many devices changed
   */
  commit(records: ReadonlyMap<string, DeviceRecord>, inBucket: ReadonlySet<string>, nowMs: number): Promise<number>
}

export function createDeviceJournal(
  file: string,
  { log, fileSystem = nodeFileSystem }: { log: Logger; fileSystem?: FileSystem },
): DeviceJournal {
  let version: RegistryVersion = { journal: randomBytes(6).toString('hex'), revision: 0 }
  let loadedFromMs: number | undefined
  let inBucket: ReadonlySet<string> = new Set()
  let size = 0
  const devices = new Map<string, Change[]>()
  const newest = (changes: Change[] | undefined) => changes?.at(-1)?.[1] ?? undefined
  const count = () => {
    size = 0
    for (const changes of devices.values()) if (newest(changes)) size += 1
  }
  return {
    get version() {
      return version
    },
    get size() {
      return size
    },
    get loadedFromMs() {
      return loadedFromMs
    },
    get inBucket() {
      return inBucket
    },
    find(device, { journal, revision }) {
      const changes = devices.get(device)
      if (changes === undefined) return undefined
      if (journal !== version.journal) return newest(changes)
      for (let i = changes.length - 1; i >= 0; i--) {
        const [since, record] = changes[i] as Change
        if (since <= revision) return record ?? undefined
      }
      return changes.length < RECORDS_KEPT ? undefined : ((changes[0] as Change)[1] ?? undefined)
    },
    *records() {
      for (const [device, changes] of devices) {
        const record = newest(changes)
        if (record) yield [device, record]
      }
    },
    async load() {
      const bytes = await readFileWhole(file, fileSystem)
      if (bytes === undefined) return
      try {
        const saved = journalSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
        version = { journal: saved.journal, revision: saved.revision }
        loadedFromMs = saved.savedAtMs
        inBucket = new Set(saved.inBucket)
        for (const [device, changes] of Object.entries(saved.devices)) devices.set(device, changes as Change[])
        count()
      } catch (error) {
        log.error(
          { file, reason: messageOf(error), hint: 'it is written anew from the bucket and the file of devices' },
          'the copy of the device registry is damaged and is not used',
        )
      }
    },
    async commit(records, bucketDevices, nowMs) {
      const revision = version.revision + 1
      const changed: [string, Change[]][] = []
      for (const device of new Set([...devices.keys(), ...records.keys()])) {
        const changes = devices.get(device) ?? []
        const record = records.get(device)
        if (!isSameRecord(newest(changes), record))
          changed.push([device, [...changes, [revision, record ?? null] as Change].slice(-RECORDS_KEPT)])
      }
      const sameOrigin =
        bucketDevices.size === inBucket.size && [...bucketDevices].every((device) => inBucket.has(device))
      if (changed.length === 0 && sameOrigin) return 0
      const next = changed.length === 0 ? version : { ...version, revision }
      const saved: z.input<typeof journalSchema> = {
        version: 1,
        ...next,
        savedAtMs: nowMs,
        inBucket: [...bucketDevices],
        devices: Object.fromEntries([...devices, ...changed]) as never,
      }
      await fileSystem.makeFolder(dirname(file))
      await writeFileAtomic(file, Buffer.from(JSON.stringify(saved)), fileSystem)
      for (const [device, changes] of changed) devices.set(device, changes)
      inBucket = new Set(bucketDevices)
      version = next
      count()
      return changed.length
    },
  }
}
