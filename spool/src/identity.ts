/** The epochs of a spool, in a small JSON file with its own checksum, written once an epoch. */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { errorCode, type FileSystem, readFileWhole, writeFileAtomic } from '@tributary/runtime'

export interface SpoolEpoch {
  /** 16 lower-case hexadecimal digits. */
  readonly epoch: string
  /** Sequences below belong to the epochs before, and were never used in this one. */
  readonly firstSequence: number
}

/** Oldest first; the last is the present one. */
export type Identity = readonly SpoolEpoch[]

const EPOCHS_MAX = 16

/** A file of another user is not damaged: a person must give it back. */
export const isDenied = (error: unknown): boolean => ['EACCES', 'EPERM'].includes(errorCode(error) ?? '')

export const drawEpoch = (): string => randomBytes(8).toString('hex')

/** @returns undefined when the file is missing or damaged @throws when it may not be read: nothing is known of it then */
export async function readIdentity(path: string, fileSystem: FileSystem): Promise<Identity | undefined> {
  const bytes = await readFileWhole(path, fileSystem).catch((error) => {
    if (isDenied(error)) throw error
    return undefined
  })
  if (!bytes) return undefined
  try {
    const { format, epochs, crc32: sum } = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (format !== 1 || crc32(JSON.stringify(epochs)) !== sum) return undefined
    return epochs
  } catch {
    return undefined
  }
}

export async function writeIdentity(path: string, identity: Identity, fileSystem: FileSystem): Promise<void> {
  const epochs = identity.slice(-EPOCHS_MAX)
  const text = `${JSON.stringify({ format: 1, epochs, crc32: crc32(JSON.stringify(epochs)) })}\n`
  await writeFileAtomic(path, Buffer.from(text, 'utf8'), fileSystem)
}
