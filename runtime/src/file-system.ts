/**
 * The few operations on files that what must survive a power cut stands on: the seam under spool, cursor and checkpoint.
 * `nodeFileSystem` is the real one; `@tributary/runtime/testing` has a faulty twin.
 */
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'
import { errorCode } from './errors.ts'

export interface OpenFile {
  /** Reads up to `length` bytes at `position`; fewer at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>
  /** Writes at `position`; may write fewer bytes than given, and says how many. */
  write(bytes: Uint8Array, position: number): Promise<number>
  /** Data and size on the device (fdatasync). */
  sync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface FileSystem {
  /** `read`: must exist. `write`: created when it does not exist, kept when it does. `create`: must not exist (EEXIST). */
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<OpenFile>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** Creates the folder and those above it. */
  makeFolder(path: string): Promise<void>
  /** Names of the files and folders in it, unsorted. */
  list(path: string): Promise<string[]>
  /** Makes creations, renames and removals in the folder durable. */
  syncFolder(path: string): Promise<void>
  /** Bytes that an ordinary user may still write on the file system that holds the path. */
  freeBytes(path: string): Promise<number>
  exists(path: string): Promise<boolean>
}

const FLAGS = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR | constants.O_CREAT,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
}

export const nodeFileSystem: FileSystem = {
  async open(path, mode) {
    const handle = await open(path, FLAGS[mode], 0o640)
    return {
      async read(position, length) {
        const bytes = Buffer.allocUnsafe(length)
        let filled = 0
        while (filled < length) {
          const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled)
          if (bytesRead === 0) break
          filled += bytesRead
        }
        return bytes.subarray(0, filled)
      },
      write: async (bytes, position) => (await handle.write(bytes, 0, bytes.length, position)).bytesWritten,
      sync: () => handle.datasync(),
      truncate: (length) => handle.truncate(length),
      size: async () => (await handle.stat()).size,
      close: () => handle.close(),
    }
  },
  rename,
  remove: unlink,
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true, mode: 0o750 })
  },
  list: (path) => readdir(path),
  async syncFolder(path) {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await handle.sync()
    } catch (error) {
      // Some network and FUSE file systems cannot, and keep names in order by themselves.
      if (!['EINVAL', 'ENOTSUP'].includes(errorCode(error) ?? '')) throw error
    } finally {
      await handle.close()
    }
  },
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
  exists: (path) =>
    stat(path).then(
      () => true,
      () => false,
    ),
}
