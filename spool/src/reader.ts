/**
 * Reads durable records in order. It blocks no append: it looks at what was durable when it began.
 *
 * Damage shows here: a sequence that should come next and does not is a loss, told once to the ledger.
 */
import { errorCode, type FileSystem, type Logger, messageOf, type OpenFile } from '@tributary/runtime'
import type { SequenceRange } from './cursor.ts'
import type { DamageReason } from './meters.ts'
import { epochSeed, scanRecords } from './record.ts'
import type { Segment, SegmentList } from './segment.ts'
import type { SpoolRecord } from './spool.ts'

const CHUNK_BYTES_MIN = 32 * 1024
const CHUNK_BYTES_MAX = 1024 * 1024
const BLOCK_BYTES = 4096
/** A segment that failed so often in a row is given up, and what it holds is lost. */
const READ_FAILURES_MAX = 5

export interface ReaderDependencies {
  readonly fileSystem: FileSystem
  readonly log: Logger
  readonly segments: SegmentList
  readonly durableThrough: () => number
  readonly onLoss: (range: SequenceRange, reason: DamageReason) => void
}

export function createReader({ fileSystem, log, segments, durableThrough, onLoss }: ReaderDependencies) {
  /** Where the last reads ended, so that reading on does not search. */
  let hint: { segment: Segment; sequence: number; offset: number } | undefined

  async function readSegment(
    segment: Segment,
    fromSequence: number,
    throughSequence: number,
    bytesMax: number,
    out: SpoolRecord[],
  ): Promise<{ next: number; full: boolean }> {
    const end = segment.endOffset
    const hinted = hint?.segment === segment && hint.sequence <= fromSequence ? hint.offset : 0
    const from = Math.max(hinted, segments.offsetBefore(segment, fromSequence))
    const chunkBytes = Math.min(CHUNK_BYTES_MAX, Math.max(CHUNK_BYTES_MIN, bytesMax))
    const file = await fileSystem.open(segment.path, 'read')
    let expected = fromSequence
    let bytes = 0
    let full = false
    try {
      const range = {
        from,
        end: Math.min(end, Math.max(from, await file.size())),
        seed: epochSeed(segment.epoch),
        chunkBytes,
      }
      await scanRecords(salvagingRead(file, sayUnreadable(log, segment.path)), range, (record) => {
        segments.note(segment, record.sequence, record.offset)
        if (record.sequence > throughSequence) return true
        if (record.sequence < expected) return false
        if (out.length > 0 && bytes + record.payload.length > bytesMax) {
          full = true
          return true
        }
        if (record.sequence > expected) onLoss({ fromSequence: expected, toSequence: record.sequence - 1 }, 'checksum')
        out.push({ sequence: record.sequence, payload: record.payload })
        bytes += record.payload.length
        expected = record.sequence + 1
        hint = { segment, sequence: expected, offset: record.endOffset }
        full = bytes >= bytesMax
        return full || expected > throughSequence
      })
      segment.readFailures = 0
      return { next: expected, full }
    } finally {
      await file.close()
    }
  }

  return {
    /** At most `bytesMax` bytes of payload, but at least one record when there is one. */
    async read(fromSequence: number, bytesMax: number): Promise<SpoolRecord[]> {
      const out: SpoolRecord[] = []
      const through = durableThrough()
      let expected = Math.max(1, fromSequence)
      while (expected <= through && out.length === 0) {
        const segment = segments.find(expected)
        if (!segment) break
        const last = Math.min(through, segments.lastSequenceOf(segment))
        expected = Math.max(expected, segment.firstSequence)
        try {
          const { next, full } = await readSegment(segment, expected, last, bytesMax, out)
          if (!full && next <= last) onLoss({ fromSequence: next, toSequence: last }, 'checksum')
          expected = last + 1
        } catch (error) {
          // Trimmed while we looked.
          if (!segments.all.includes(segment)) {
            expected = Math.max(expected, segments.all[0]?.firstSequence ?? expected)
            continue
          }
          if (out.length > 0) return out
          const gone = errorCode(error) === 'ENOENT'
          segment.readFailures += 1
          if (!gone && segment.readFailures < READ_FAILURES_MAX) throw error
          log.error({ path: segment.path, err: messageOf(error) }, 'a segment cannot be read; what it held is lost')
          onLoss({ fromSequence: expected, toSequence: last }, gone ? 'segment_missing' : 'segment_unreadable')
          expected = last + 1
        }
      }
      return out
    },
    forget(segment: Segment) {
      if (hint?.segment === segment) hint = undefined
    },
  }
}

/**
 * Reads past bad blocks: where a long read fails, each block is read alone, and one that fails twice is taken as zeros.
 * @param onUnreadable told of the blocks of one read that failed
 */
export function salvagingRead(file: OpenFile, onUnreadable: (position: number, blocks: number) => void) {
  return async (position: number, length: number): Promise<Uint8Array> => {
    try {
      return await file.read(position, length)
    } catch (error) {
      if (errorCode(error) !== 'EIO') throw error
      const bytes = Buffer.alloc(length)
      let failed = 0
      for (let at = 0; at < length; at += BLOCK_BYTES) {
        const size = Math.min(BLOCK_BYTES, length - at)
        const block = await file
          .read(position + at, size)
          .catch(() => file.read(position + at, size))
          .catch(() => undefined)
        if (block) bytes.set(block, at)
        else failed += 1
      }
      if (failed > 0) onUnreadable(position, failed)
      return bytes
    }
  }
}

export const sayUnreadable = (log: Logger, path: string) => (position: number, blocks: number) =>
  log.error({ path, position, blocks }, 'blocks of a segment cannot be read')
