import { type BatchHeader, type EdgeDeadLetter, encodeBatch, type Tombstone } from '@tributary/protocol'
import { type Logger, messageOf } from '@tributary/runtime'
import type { BatchContent } from './batcher.ts'

/** What the codec refuses, although the batcher keeps the limits, must neither block nor vanish: it is counted as one dead letter. */
export function encodeContent(
  header: BatchHeader,
  { blocks, deadLetters, readingCount }: BatchContent,
  tombstones: readonly Tombstone[],
  log: Logger,
): Uint8Array {
  try {
    return encodeBatch({ header, blocks, deadLetters, tombstones, rollups: [] })
  } catch (error) {
    log.error({ err: error, readings: readingCount }, 'a batch could not be encoded; its readings are lost')
    const letter: EdgeDeadLetter = {
      input: '',
      device: '',
      reason: 'not_encodable',
      detail: messageOf(error).slice(0, 300),
      receivedAtMs: header.createdAtMs,
      original: new Uint8Array(0),
      originalBytes: 0,
      readingCount,
    }
    const counted = { ...header, sampleCount: 0 }
    return encodeBatch({ header: counted, blocks: [], deadLetters: [letter], tombstones, rollups: [] })
  }
}
