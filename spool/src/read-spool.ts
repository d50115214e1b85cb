/** All records of a spool's folder in order, for export: nothing is written, and an owner that runs is not disturbed. */
import { nodeFileSystem } from '@tributary/runtime'
import { inspectSpool, type OfflineDependencies } from './inspect-spool.ts'
import { patientFileSystem } from './patient-file-system.ts'
import { epochSeed, scanRecords } from './record.ts'
import { SEGMENT_HEADER_BYTES } from './segment.ts'
import { isLater, withSegment } from './spool-folder.ts'

export interface ExportedRecord {
  readonly sequence: number
  readonly epoch: string
  readonly payload: Uint8Array
}

/** Held in memory at a time; one record may be longer. */
const CHUNK_BYTES = 1024 ** 2

/**
 * Every record that can be read, trimmed ones that are still there included; what cannot is passed over: `checkSpool` names it.
 * What is appended meanwhile is not followed.
 * @throws UserError when there is no spool in the folder, or it may not be read
 */
export async function* readSpool(
  folder: string,
  { fromSequence = 1 }: { readonly fromSequence?: number } = {},
  dependencies: OfflineDependencies = {},
): AsyncGenerator<ExportedRecord, void, undefined> {
  const fileSystem = patientFileSystem(dependencies.fileSystem ?? nodeFileSystem)
  const { segments } = await inspectSpool(folder, dependencies)
  for (const { file, version, epoch, firstSequence, lastSequence } of segments) {
    if (lastSequence < fromSequence || epoch === '' || isLater({ version })) continue
    let next = Math.max(fromSequence, firstSequence)
    for (let offset: number | undefined = SEGMENT_HEADER_BYTES; offset !== undefined; ) {
      const from: number = offset
      const records: ExportedRecord[] = []
      let bytes = 0
      offset = await withSegment(`${folder}/${file}`, fileSystem, async (read, end) => {
        const { stopped, endOffset } = await scanRecords(
          read,
          { from, end, seed: epochSeed(epoch) },
          ({ sequence, payload }) => {
            // Beyond lie left-overs of a write that failed; the next segment has them again.
            if (sequence < next || sequence > lastSequence) return false
            next = sequence + 1
            records.push({ sequence, epoch, payload: Uint8Array.from(payload) })
            bytes += payload.length
            return bytes >= CHUNK_BYTES
          },
        )
        return stopped ? endOffset : undefined
      })
      yield* records
    }
  }
}
