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
    beforeRemoval: () => Promise<void>
    onRemoved: (segment: Segment) => void
  },
) {
  let trimmedThrough = trimmedThroughAtStart
  let running: Promise<void> = Promise.resolve()

  const removable = (): Segment | undefined => {
    const first = segments.all[0]
    return first && segments.all.length > SEGMENTS_KEPT && segments.lastSequenceOf(first) <= trimmedThrough
      ? first
      : undefined
  }
  async function removeWhatMayGo(): Promise<void> {
    if (!removable()) return
    try {
      await beforeRemoval()
      for (let segment = removable(); segment; segment = removable()) {
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
    settled: () => running,
    async trim(throughSequence: number): Promise<void> {
      trimmedThrough = Math.max(trimmedThrough, throughSequence)
      running = running.then(removeWhatMayGo)
      await running
    },
  }
}
