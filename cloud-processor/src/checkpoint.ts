/**
 * Guarantee: once `save` resolves, the state survives a power cut; `load` gives the newest state that is whole. A processor
 * that was replaced cannot overwrite its successor: `save` compares the revision.
 * Two files take turns, so that a damaged one leaves the generation before. Bytes of a file: "TRCF", CRC32 of all that
 * follows (u32), revision (u64), then the state.
 */
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  type FileSystem,
  type Logger,
  messageOf,
  nodeFileSystem,
  readFileWhole,
  UserError,
  writeFileAtomic,
} from '@tributary/runtime'
import { TAKEN_OVER_HINT } from './consumer.ts'

export interface Checkpoint {
  readonly bytes: Uint8Array
  readonly revision: number
  /** The newest one is damaged: messages may have been acknowledged that this one does not know. */
  readonly isOlder: boolean
}

export interface CheckpointStore {
  /** @returns undefined when there is none yet */
  load(): Promise<Checkpoint | undefined>
  /**
   * @param expectedRevision that of the last load or save; 0 when there was none
   * @returns the new revision
   * @throws CheckpointConflictError when somebody else saved since
   */
  save(bytes: Uint8Array, expectedRevision: number): Promise<number>
}

export class CheckpointConflictError extends UserError {
  override readonly name = 'CheckpointConflictError'
}

const MAGIC = 0x46435254
const HEADER_BYTES = 16

export function createFileCheckpointStore(
  folder: string,
  partition: number,
  { log, fileSystem = nodeFileSystem }: { log: Logger; fileSystem?: FileSystem },
): CheckpointStore {
  const path = (revision: number) => join(folder, `partition-${String(partition).padStart(2, '0')}.${revision % 2}`)

  const read = async (file: string): Promise<Checkpoint | Error | undefined> => {
    const bytes = await readFileWhole(file, fileSystem).catch((error: unknown) => new Error(messageOf(error)))
    if (bytes === undefined || bytes instanceof Error) return bytes
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.length < HEADER_BYTES || view.getUint32(0, true) !== MAGIC) return new Error('it is no checkpoint')
    if (crc32(bytes.subarray(8)) !== view.getUint32(4, true)) return new Error('its checksum is wrong')
    return { revision: Number(view.getBigUint64(8, true)), bytes: bytes.subarray(HEADER_BYTES), isOlder: false }
  }
  const headerOnDisk = async (file: string): Promise<{ revision: number; checksum: number } | undefined> => {
    if (!(await fileSystem.exists(file))) return undefined
    const handle = await fileSystem.open(file, 'read')
    try {
      const header = await handle.read(0, HEADER_BYTES)
      const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
      return header.length === HEADER_BYTES && view.getUint32(0, true) === MAGIC
        ? { revision: Number(view.getBigUint64(8, true)), checksum: view.getUint32(4, true) }
        : undefined
    } finally {
      await handle.close()
    }
  }
  // A damaged file's revision is not to be trusted: it is no successor's.
  const damaged = new Set<string>()
  /** Checksum of a save that failed and may lie on the disk all the same: it is ours, not a successor's. */
  let attempted: number | undefined

  return {
    async load() {
      await fileSystem.makeFolder(folder)
      await fileSystem.syncFolder(dirname(folder))
      let newest: Checkpoint | undefined
      damaged.clear()
      for (const file of [path(0), path(1)]) {
        const found = await read(file)
        if (found instanceof Error) {
          damaged.add(file)
          log.error(
            { file, partition },
            `checkpoint is damaged (${found.message}); using the other generation when that is whole`,
          )
        } else if (found !== undefined && found.revision > (newest?.revision ?? 0)) newest = found
      }
      if (damaged.size > 0)
        log.error(
          {
            partition,
            revision: newest?.revision,
            hint: 'check the disk; the gateways are asked what was stored since then, and windows of that time stay as they are in InfluxDB',
          },
          newest === undefined
            ? 'no generation of the checkpoint is whole: account, windows and alerts begin anew'
            : 'the account goes on from an earlier checkpoint',
        )
      return newest && { ...newest, isOlder: damaged.size > 0 }
    },
    async save(bytes, expectedRevision) {
      const revision = expectedRevision + 1
      for (const file of [path(0), path(1)]) {
        const found = damaged.has(file) ? undefined : await headerOnDisk(file)
        if (found !== undefined && found.revision > expectedRevision && found.checksum !== attempted)
          throw new CheckpointConflictError(
            `partition ${partition} was taken over: its checkpoint has revision ${found.revision}, this processor knew ${expectedRevision}`,
            { hint: TAKEN_OVER_HINT },
          )
      }
      const all = new Uint8Array(HEADER_BYTES + bytes.length)
      const view = new DataView(all.buffer)
      view.setUint32(0, MAGIC, true)
      view.setBigUint64(8, BigInt(revision), true)
      all.set(bytes, HEADER_BYTES)
      const checksum = crc32(all.subarray(8))
      view.setUint32(4, checksum, true)
      attempted = checksum
      await writeFileAtomic(path(revision), all, fileSystem)
      attempted = undefined
      damaged.delete(path(revision))
      return revision
    },
  }
}
