/** Reads every record of every segment and names each damage: nothing is written, and an owner that runs is not disturbed. */
import { nodeFileSystem } from '@tributary/runtime'
import { type CursorState, newestSlot, readCursorSlots } from './cursor.ts'
import {
  inspectSpool,
  type OfflineDependencies,
  type SpoolDamage,
  type SpoolInspection,
  type SpoolSegmentInspection,
} from './inspect-spool.ts'
import { subtract } from './loss-ledger.ts'
import { patientFileSystem } from './patient-file-system.ts'
import { epochSeed, type ScannedRecord, scanRecords } from './record.ts'
import { CURSOR_FILE } from './recover.ts'
import { SEGMENT_HEADER_BYTES } from './segment.ts'
import { isLater, withSegment } from './spool-folder.ts'

export interface SpoolCheckProgress {
  /** The segment that was read last. */
  readonly file: string
  readonly segmentsRead: number
  readonly segments: number
  readonly bytesRead: number
  readonly bytes: number
}

export interface SpoolCheck {
  readonly inspection: SpoolInspection
  /** Records that were read and are whole. */
  readonly records: number
  readonly bytesRead: number
  /** In the order of files and offsets; at most 1,000. */
  readonly damage: readonly SpoolDamage[]
  readonly damageNotShown: number
  /** Nothing that somebody still needs is lost or endangered: at most a tail that was never acknowledged, what was trimmed, what was reported. */
  readonly sound: boolean
}

const DAMAGE_MAX = 1_000

/** @throws UserError when there is no spool in the folder, or it may not be read */
export async function checkSpool(
  folder: string,
  { onProgress = () => undefined }: { readonly onProgress?: (progress: SpoolCheckProgress) => void } = {},
  dependencies: OfflineDependencies = {},
): Promise<SpoolCheck> {
  const fileSystem = patientFileSystem(dependencies.fileSystem ?? nodeFileSystem)
  const inspection = await inspectSpool(folder, dependencies)
  const { segments } = inspection
  const found: SpoolDamage[] = [...inspection.damage]
  let records = 0
  let bytesRead = 0
  let expected = (inspection.cursor?.trimmedThrough ?? 0) + 1

  for (const [i, segment] of segments.entries()) {
    const { file, firstSequence, lastSequence, bytes } = segment
    if (firstSequence > expected)
      found.push({
        kind: 'segment_missing',
        file,
        fromSequence: expected,
        toSequence: firstSequence - 1,
        detail: 'no segment holds what comes before this one',
      })
    records += await checkSegment(segment, i === segments.length - 1)
    expected = Math.max(expected, lastSequence + 1)
    bytesRead += bytes
    onProgress({ file, segmentsRead: i + 1, segments: segments.length, bytesRead, bytes: inspection.bytes })
  }
  // As it stands now: what was trimmed while we looked is not missing.
  const slots = await readCursorSlots(`${folder}/${CURSOR_FILE}`, fileSystem)
  const cursor = newestSlot(slots)?.state ?? inspection.cursor
  const damage = found
    .map((each) => ({ ...each, ...standingOf(each, cursor) }))
    .filter(({ kind, standing }) => kind !== 'segment_missing' || standing !== 'trimmed')
    .sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : (a.offset ?? 0) - (b.offset ?? 0)))
  const harmless = ({ kind, standing }: SpoolDamage) =>
    kind === 'torn_tail' || standing === 'trimmed' || standing === 'reported'
  return {
    inspection,
    records,
    bytesRead,
    damage: damage.slice(0, DAMAGE_MAX),
    damageNotShown: Math.max(0, damage.length - DAMAGE_MAX),
    sound: damage.every(harmless),
  }

  /** @returns records that are whole */
  async function checkSegment(segment: SpoolSegmentInspection, newest: boolean): Promise<number> {
    const { file, version, epoch, firstSequence, lastSequence, bytes } = segment
    // Named by the inspection.
    if (epoch === '' || isLater({ version })) return 0
    let whole = 0
    let next = firstSequence
    let end = SEGMENT_HEADER_BYTES
    const damaged = (offset: number, throughSequence: number) =>
      found.push({
        kind: 'records',
        file,
        offset: end,
        bytes: offset - end,
        ...(throughSequence >= next && { fromSequence: next, toSequence: throughSequence }),
        detail:
          offset > end ? 'bytes that are no record; reading passes over them' : 'a record is not where it should be',
      })
    const visit = ({ sequence, offset, endOffset }: ScannedRecord) => {
      // Left behind by a write that failed; the next segment has it again.
      if (sequence > lastSequence) return true
      if (sequence > next || offset > end) damaged(offset, sequence - 1)
      whole += 1
      next = Math.max(next, sequence + 1)
      end = endOffset
      return false
    }
    const onUnreadable = (offset: number, blocks: number) =>
      found.push({
        kind: 'unreadable',
        file,
        offset,
        bytes: blocks * 4096,
        detail: 'the disk does not give these blocks',
      })
    const sizeRead = await withSegment(
      `${folder}/${file}`,
      fileSystem,
      async (read, size) => {
        const range = { from: SEGMENT_HEADER_BYTES, end: newest ? Math.min(bytes, size) : size, seed: epochSeed(epoch) }
        await scanRecords(read, range, visit)
        return size
      },
      onUnreadable,
    )
    // Its owner may have trimmed it while we looked.
    if (sizeRead !== undefined && next <= lastSequence) damaged(sizeRead, lastSequence)
    return whole
  }
}

/** Who still needs the sequences that are gone; those that were trimmed are left out if others are among them. */
function standingOf(
  { fromSequence, toSequence }: SpoolDamage,
  cursor: CursorState | undefined,
): Pick<SpoolDamage, 'standing' | 'fromSequence'> {
  if (fromSequence === undefined || toSequence === undefined || !cursor) return {}
  const range = { fromSequence: Math.max(fromSequence, cursor.trimmedThrough + 1), toSequence }
  if (range.fromSequence > toSequence) return { standing: 'trimmed' }
  const untold = subtract(range, cursor.reported)
  if (untold.length === 0) return { fromSequence: range.fromSequence, standing: 'reported' }
  const sent = [{ from: 1, to: cursor.sentThrough }, ...cursor.sentRanges]
  const ranges = sent.map(({ from, to }) => ({ fromSequence: from, toSequence: to }))
  const isSent = untold.every((each) => subtract(each, ranges).length === 0)
  return { fromSequence: range.fromSequence, standing: isSent ? 'sent' : 'unsent' }
}
