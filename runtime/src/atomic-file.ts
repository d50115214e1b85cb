/**
 * Guarantee: after `writeFileAtomic` resolves, the file holds the new bytes and survives a power cut; whenever it does not
 * resolve, the file holds the old bytes or the new ones, never a mixture. Readers check their own checksum all the same.
 */
import { dirname } from 'node:path'
import { type FileSystem, nodeFileSystem, type OpenFile } from './file-system.ts'

export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array,
  fileSystem: FileSystem = nodeFileSystem,
): Promise<void> {
  const temporary = `${path}.new`
  const file = await fileSystem.open(temporary, 'write')
  try {
    await file.truncate(0)
    await writeAll(file, bytes, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await fileSystem.rename(temporary, path)
  await fileSystem.syncFolder(dirname(path))
}

/** Writes everything; a file that takes nothing at all is treated as a full disk. */
export async function writeAll(file: OpenFile, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const count = await file.write(bytes.subarray(written), position + written)
    if (count <= 0) throw Object.assign(new Error('the file system took no bytes'), { code: 'ENOSPC' })
    written += count
  }
}

/** @returns undefined when the file does not exist */
export async function readFileWhole(
  path: string,
  fileSystem: FileSystem = nodeFileSystem,
): Promise<Uint8Array | undefined> {
  if (!(await fileSystem.exists(path))) return undefined
  const file = await fileSystem.open(path, 'read')
  try {
    return await file.read(0, await file.size())
  } finally {
    await file.close()
  }
}
