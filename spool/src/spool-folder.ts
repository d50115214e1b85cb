/** A spool's folder as it lies there, seen by someone who is not its owner: segments may grow and go while we look. */
import { errorCode, type FileSystem, UserError } from '@tributary/runtime'
import type { SpoolEpoch } from './identity.ts'
import { salvagingRead } from './reader.ts'
import { probeEpoch } from './record.ts'
import { decodeSegmentHeader, FORMAT_VERSION, parseSegmentName, SEGMENT_HEADER_BYTES } from './segment.ts'

export type ReadBytes = (position: number, length: number) => Promise<Uint8Array>

export interface SegmentFile {
  /** Name in the folder. */
  readonly file: string
  readonly firstSequence: number
  /** As it was looked at; it may have grown since. */
  readonly bytes: number
  /** 0 when its header is damaged. */
  readonly version: number
  /** As its header states. */
  readonly epoch: SpoolEpoch | undefined
}

export const isLater = ({ version }: { readonly version: number }): boolean => version > FORMAT_VERSION

/** @throws UserError when the folder may not be read, or holds no spool */
export async function listSpoolFolder(folder: string, fileSystem: FileSystem): Promise<string[]> {
  const names = await fileSystem.list(folder).catch((error) => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
    throw deniedAsUserError(error, folder)
  })
  if (!names.some((name) => name === 'identity' || name === 'cursor' || parseSegmentName(name)))
    throw new UserError(`there is no spool in ${folder}`, {
      hint: 'name the folder that holds files like 00000000000000000001.seg; it stands in the configuration as `spool.folder`',
    })
  return names.sort()
}

/** Names and headers of all segments, in the order of their sequences. */
export async function listSegmentFiles(
  folder: string,
  names: readonly string[],
  fileSystem: FileSystem,
): Promise<SegmentFile[]> {
  const found: SegmentFile[] = []
  for (const file of names) {
    const firstSequence = parseSegmentName(file)
    if (firstSequence === undefined) continue
    const seen = await withSegment(`${folder}/${file}`, fileSystem, async (read, bytes) => {
      const header = decodeSegmentHeader(await read(0, Math.min(bytes, SEGMENT_HEADER_BYTES)))
      const ours = header && (isLater(header) || header.firstSequence === firstSequence)
      return { file, firstSequence, bytes, version: ours ? header.version : 0, epoch: ours ? header.epoch : undefined }
    })
    if (seen) found.push(seen)
  }
  return found
}

/**
 * Blocks that the disk does not give are read as zeros.
 * @returns undefined when the segment was removed meanwhile
 */
export async function withSegment<T>(
  path: string,
  fileSystem: FileSystem,
  work: (read: ReadBytes, bytes: number) => Promise<T>,
  onUnreadable: (position: number, blocks: number) => void = () => undefined,
): Promise<T | undefined> {
  const file = await fileSystem.open(path, 'read').catch((error) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw deniedAsUserError(error, path)
  })
  if (!file) return undefined
  try {
    return await work(salvagingRead(file, onUnreadable), await file.size())
  } finally {
    await file.close()
  }
}

/** @returns the epoch of a segment: as its header states, else as its records tell */
export async function epochOf(
  folder: string,
  segment: SegmentFile,
  epochs: readonly SpoolEpoch[],
  fileSystem: FileSystem,
): Promise<string | undefined> {
  if (segment.epoch) return segment.epoch.epoch
  const candidates = epochs.map(({ epoch }) => epoch)
  return withSegment(`${folder}/${segment.file}`, fileSystem, (read, bytes) => probeEpoch(read, bytes, candidates))
}

export function deniedAsUserError(error: unknown, path: string): unknown {
  if (!['EACCES', 'EPERM'].includes(errorCode(error) ?? '')) return error
  return new UserError(`${path} may not be read (${errorCode(error)})`, {
    cause: error,
    hint: 'run this as the user that the spool belongs to, or with sudo',
  })
}
