/**
 * Guarantee: once `save` resolves, the state survives a power cut. Two files take turns, so that a damaged one leaves the generation
 * before. Bytes of a file: "TRCF", CRC32 of all that follows (u32), revision (u64), then the state. A third file names who claimed
 * the partition: a save looks there before it writes and after, so what a processor wrote that was replaced meanwhile is not
 * acknowledged, and its successor writes over it.
 */
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  type FileSystem,
  type Logger,
  messageOf,
  nodeFileSystem,
  readFileWhole,
  writeFileAtomic,
} from '@tributary/runtime'
import { type Checkpoint, type CheckpointStore, TakenOverError } from './checkpoint.ts'

const MAGIC = 0x46435254
const HEADER_BYTES = 16

/** @param owner who works on the partition; differs between any two runs */
export function createFileCheckpointStore(
  folder: string,
  partition: number,
  { owner, log, fileSystem = nodeFileSystem }: { owner: string; log: Logger; fileSystem?: FileSystem },
): CheckpointStore {
  const name = join(folder, `partition-${String(partition).padStart(2, '0')}`)
  const path = (revision: number) => `${name}.${revision % 2}`
  const ownerPath = `${name}.owner`

  const read = async (file: string): Promise<{ revision: number; bytes: Uint8Array } | Error | undefined> => {
    const bytes = await readFileWhole(file, fileSystem).catch((error: unknown) => new Error(messageOf(error)))
    if (bytes === undefined || bytes instanceof Error) return bytes
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.length < HEADER_BYTES || view.getUint32(0, true) !== MAGIC) return new Error('it is no checkpoint')
    if (crc32(bytes.subarray(8)) !== view.getUint32(4, true)) return new Error('its checksum is wrong')
    return { revision: Number(view.getBigUint64(8, true)), bytes: bytes.subarray(HEADER_BYTES) }
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
  const readOwner = async (): Promise<string | undefined> => {
    const bytes = await readFileWhole(ownerPath, fileSystem)
    return bytes === undefined || bytes.length === 0 ? undefined : Buffer.from(bytes).toString('utf8')
  }
  const refuseOthers = async (): Promise<string | undefined> => {
    const found = await readOwner()
    if (found !== undefined && found !== owner) throw new TakenOverError(partition, found)
    return found
  }
  // A damaged file's revision is not to be trusted: it is no successor's.
  const damaged = new Set<string>()
  /** Checksum of a save that failed and may lie on the disk all the same: it is ours, not a successor's. */
  let attempted: number | undefined
  let claimed = false

  async function load(): Promise<Checkpoint> {
    await fileSystem.makeFolder(folder)
    await fileSystem.syncFolder(dirname(folder))
    let newest: { revision: number; bytes: Uint8Array } | undefined
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
    return { bytes: newest?.bytes, revision: newest?.revision ?? 0, isOlder: damaged.size > 0 }
  }

  return {
    load,
    release() {
      claimed = false
    },
    async claim(known) {
      if (claimed) await refuseOthers()
      await writeFileAtomic(ownerPath, Buffer.from(owner, 'utf8'), fileSystem)
      claimed = true
      for (const file of [path(0), path(1)])
        if (!damaged.has(file) && ((await headerOnDisk(file))?.revision ?? 0) > known.revision) return load()
      return known
    },
    async save(bytes, expectedRevision) {
      const revision = expectedRevision + 1
      // Somebody newer than us would have claimed it; without a claim the revision tells.
      if ((await refuseOthers()) === undefined)
        for (const file of [path(0), path(1)]) {
          const found = damaged.has(file) ? undefined : await headerOnDisk(file)
          if (found !== undefined && found.revision > expectedRevision && found.checksum !== attempted)
            throw new TakenOverError(
              partition,
              `somebody else, who saved revision ${found.revision} (this one: ${expectedRevision})`,
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
      damaged.delete(path(revision))
      await refuseOthers()
      attempted = undefined
      return revision
    },
  }
}
