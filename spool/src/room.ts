/**
 * Whether there is room for another record: in the budget, on the disk, in memory. Ordinary records leave a reserve of one
 * segment, in the budget and on the disk, to what makes room.
 */
import type { Clock, FileSystem } from '@tributary/runtime'
import type { Meters } from './meters.ts'
import { SEGMENT_HEADER_BYTES, type SegmentList } from './segment.ts'
import { SpoolFullError } from './spool-full-error.ts'

/** Free space is asked for this often at most. */
const FREE_BYTES_MS = 1_000

export interface Room {
  /** @throws SpoolFullError when there is none, as far as is known; ask `looked` before it is believed */
  take(pendingBytes: number, frameBytes: number, fromReserve: boolean): void
  /** Resolves when the disk was asked for its free space. @returns false when that was not under way: what is known is young */
  looked(): Promise<boolean>
  /** The segments have grown or shrunk. */
  written(): void
}

export async function createRoom(
  limits: {
    readonly folder: string
    readonly bytesMax: number
    readonly freeBytesMin: number
    readonly reserveBytes: number
    readonly queueBytesMax: number
  },
  {
    clock,
    fileSystem,
    segments,
    meters,
  }: { clock: Clock; fileSystem: FileSystem; segments: SegmentList; meters: Meters },
): Promise<Room> {
  let freeBytes = Number.POSITIVE_INFINITY
  let bytesAtCheck = segments.bytes
  let checkedMs = 0
  let checking: Promise<void> | undefined

  async function check(): Promise<void> {
    checkedMs = clock.monotonicMs()
    const bytes = segments.bytes
    // Where free space cannot be told, ENOSPC tells it.
    freeBytes = await fileSystem.freeBytes(limits.folder).catch(() => Number.POSITIVE_INFINITY)
    bytesAtCheck = bytes
    checking = undefined
  }
  const checkNowAndThen = () => {
    if (clock.monotonicMs() - checkedMs >= FREE_BYTES_MS) checking ??= check()
  }
  const refuse = (reason: string, detail: string): never => {
    // Else it is asked again.
    if (!checking) meters.refused.inc({ reason })
    throw new SpoolFullError(detail)
  }
  await check()
  meters.bytesUsed.set(segments.bytes)
  return {
    take(pendingBytes, frameBytes, fromReserve) {
      const coming = pendingBytes + frameBytes
      // Two segments in a row are full to more than a half; one more may begin because a write failed.
      const headerBytes = (2 + Math.ceil((2 * coming) / limits.reserveBytes)) * SEGMENT_HEADER_BYTES
      const budget = limits.bytesMax - (fromReserve ? 0 : limits.reserveBytes)
      const freeBytesMin = Math.max(0, limits.freeBytesMin - (fromReserve ? limits.reserveBytes : 0))
      if (coming > limits.queueBytesMax) refuse('queue', `${pendingBytes} bytes wait for the disk already`)
      if (segments.bytes + coming + headerBytes > budget)
        refuse('budget', `the spool holds ${segments.bytes} of ${budget} bytes`)
      const free = freeBytes - (segments.bytes - bytesAtCheck) - coming
      checkNowAndThen()
      if (free < freeBytesMin)
        refuse('free_disk', `${Math.max(0, free)} bytes are free on the disk, ${freeBytesMin} must stay free`)
    },
    async looked() {
      if (!checking) return false
      await checking
      return true
    },
    written() {
      meters.bytesUsed.set(segments.bytes)
      checkNowAndThen()
    },
  }
}
