/** Lets go of whole segments from the front, when all that they hold may be forgotten. */
import { errorCode, type FileSystem, type Logger } from '@tributary/runtime'
import type { Segment, SegmentList } from './segment.ts'

/** The segment that is written to, and the newest whole one behind it, from which an owner restores what it knew. */
export const SEGMENTS_KEPT = 2

export function createRetention(
  trimmedThroughAtStart: number,
  {
    fileSystem,
    log,
    segments,
    beforeRemoval,
    onRemoved,
  }: {
    fileSystem: FileSystem
    log: Logger
    segments: SegmentList
    beforeRemoval: (throughSequence: number) => Promise<void>
    onRemoved: (segment: Segment) => void
  },
) {
  let trimmedThrough = trimmedThroughAtStart
  let running: Promise<void> = Promise.resolve()

  const removable = (throughSequence: number): Segment | undefined => {
    const first = segments.all[0]
    return first && segments.all.length > SEGMENTS_KEPT && segments.lastSequenceOf(first) <= throughSequence
      ? first
      : undefined
  }
  async function removeWhatMayGo(): Promise<void> {
    // What is let go of meanwhile is not on the disk yet.
    const through = trimmedThrough
    if (!removable(through)) return
    try {
      await beforeRemoval(through)
      for (let segment = removable(through); segment; segment = removable(through)) {
        await fileSystem.remove(segment.path).catch((error) => {
          if (errorCode(error) !== 'ENOENT') throw error
        })
        segments.remove(segment)
        onRemoved(segment)
      }
    } catch (error) {
      log.warn({ err: error }, 'a segment that is no longer needed could not be removed; tried again at the next trim')
    }
  }
  return {
    get trimmedThrough() {
      return trimmedThrough
    },
    /** What must go for bytes to come back; undefined when only the segments are left that stay. */
    get oldestSegmentThrough() {
      const first = segments.all[0]
      return first && segments.all.length > SEGMENTS_KEPT ? segments.lastSequenceOf(first) : undefined
    },
    settled: () => running,
    /** Lets go of a prefix; nothing is removed yet. */
    advance(throughSequence: number): void {
      trimmedThrough = Math.max(trimmedThrough, throughSequence)
    },
    async remove(): Promise<void> {
      running = running.then(removeWhatMayGo)
      await running
    },
  }
}
