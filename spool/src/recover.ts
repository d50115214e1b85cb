/**
 * Opening: whatever lies in the folder, a spool comes of it that can be read and appended to, and that hands out no
 * sequence which may have been seen with other content. Decision table: DESIGN.md.
 */
import { type FileSystem, type Logger, messageOf, type OpenFile } from '@tributary/runtime'
import { type CursorFound, type CursorState, readCursor, type SequenceRange } from './cursor.ts'
import { drawEpoch, type Identity, isDenied, readIdentity, type SpoolEpoch } from './identity.ts'
import type { Meters } from './meters.ts'
import { salvagingRead, sayUnreadable } from './reader.ts'
import { epochSeed, probeEpoch, type ScanResult, scanRecords } from './record.ts'
import {
  createSegment,
  decodeSegmentHeader,
  FORMAT_VERSION,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  type Segment,
  type SegmentList,
  segmentName,
} from './segment.ts'
import type { SentRange } from './sent.ts'

export const IDENTITY_FILE = 'identity'
export const CURSOR_FILE = 'cursor'
export const LOCK_FILE = 'lock'
export const QUARANTINE_FOLDER = 'quarantine'

export interface Recovered {
  readonly identity: Identity
  /** The identity must be written before the next append. */
  readonly identityChanged: boolean
  readonly cursorFound: CursorFound
  readonly sentThrough: number
  readonly sentRanges: readonly SentRange[]
  readonly trimmedThrough: number
  readonly durableThrough: number
  /** The last record that can be read; numbers above it, up to `durableThrough`, are lost. */
  readonly lastReadable: number
  readonly reservedThrough: number
  /** What the owner told of the present epoch, through what the cursor knew to be durable. */
  readonly total: number | undefined
  readonly active: { segment: Segment; file: OpenFile } | undefined
  /** Sequences that opening already knows to be lost. */
  readonly lost: readonly SequenceRange[]
}

interface Header {
  readonly epoch: SpoolEpoch | undefined
  /** Written by a later version of this program. */
  readonly later?: boolean
  readonly bytes: number
}

interface RecoverDependencies {
  readonly fileSystem: FileSystem
  readonly log: Logger
  readonly meters: Meters
  readonly segments: SegmentList
}

export async function recover(folder: string, dependencies: RecoverDependencies): Promise<Recovered> {
  const { fileSystem, log, meters, segments } = dependencies
  const identityFound = await readIdentity(`${folder}/${IDENTITY_FILE}`, fileSystem)
  const cursorFound = await readCursor(`${folder}/${CURSOR_FILE}`, fileSystem)
  const cursor = cursorFound.state

  const setAside = async (name: string, reason: string) => {
    meters.setAside.inc({ reason })
    try {
      await fileSystem.makeFolder(`${folder}/${QUARANTINE_FOLDER}`)
      let target = `${folder}/${QUARANTINE_FOLDER}/${name}`
      for (let i = 1; await fileSystem.exists(target); i++) target = `${folder}/${QUARANTINE_FOLDER}/${name}.${i}`
      await fileSystem.rename(`${folder}/${name}`, target)
      log.warn({ file: name, reason, to: target }, 'a file in the spool was set aside')
    } catch (error) {
      log.error({ file: name, reason, err: messageOf(error) }, 'a file in the spool could not be set aside; ignored')
    }
  }

  // 1. What is here?
  const names: { name: string; firstSequence: number }[] = []
  for (const name of (await fileSystem.list(folder)).sort()) {
    if ([IDENTITY_FILE, CURSOR_FILE, LOCK_FILE, QUARANTINE_FOLDER].includes(name)) continue
    const firstSequence = parseSegmentName(name)
    if (firstSequence !== undefined) names.push({ name, firstSequence })
    else if (name === `${IDENTITY_FILE}.new` || name.startsWith(`${LOCK_FILE}.`))
      // What is in the way of a file of ours and cannot be removed is a folder.
      await fileSystem.remove(`${folder}/${name}`).catch(() => setAside(name, 'foreign'))
    else await setAside(name, 'foreign')
  }
  const fresh = identityFound === undefined && cursor === undefined && names.length === 0

  // 2. Headers say whose a segment is; where a header is damaged, the records do.
  const headers = new Map<string, Header>()
  for (const { name, firstSequence } of names) headers.set(name, await readHeader(`${folder}/${name}`, firstSequence))
  const known = new Set<string>(identityFound?.map(({ epoch }) => epoch))
  if (cursor) known.add(cursor.epoch.epoch)
  if (!identityFound) for (const { epoch } of headers.values()) if (epoch) known.add(epoch.epoch)
  const bound = cursor && (cursor.closed ? cursor.durableThrough : cursor.reservedThrough)
  /** A segment of this name proves that all before its first sequence was on the disk. */
  let highestName = 1
  let newestSetAside = false
  for (const [i, { name, firstSequence }] of names.entries()) {
    const path = `${folder}/${name}`
    const { epoch: stated, later, bytes } = headers.get(name) as Header
    const newest = i === names.length - 1
    // Made, but never written: nothing in it was acknowledged.
    const possible = bound === undefined || firstSequence <= bound + 1
    if (newest && possible && bytes < SEGMENT_HEADER_BYTES) {
      highestName = firstSequence
      await fileSystem.remove(path).catch(() => undefined)
      continue
    }
    if (later) {
      highestName = firstSequence
      newestSetAside ||= newest
      await setAside(name, 'later_version')
      continue
    }
    const epoch = stated?.epoch ?? (await epochOfRecords(path, bytes))
    if (epoch && known.has(epoch)) {
      highestName = firstSequence
      segments.add(createSegment(path, epoch, firstSequence, bytes))
    } else {
      if (!stated && bound !== undefined && possible) {
        newestSetAside ||= newest
        highestName = firstSequence
      }
      await setAside(name, stated ? 'foreign_segment' : 'damaged_segment')
    }
  }

  // 3. The newest segment is read whole: where does it end, and how?
  const newest = segments.all[segments.all.length - 1]
  const scanned = newest ? await scanNewest(newest) : undefined
  const lastRead = scanned?.lastSequence ?? 0

  // 4. Which numbers may have been seen?
  const trimmedThrough = Math.max(
    cursor?.trimmedThrough ?? 0,
    // Without a cursor the first readable one is as far back as we know.
    cursor ? 0 : (segments.all[0]?.firstSequence ?? 1) - 1,
  )
  const seenAtLeast = Math.max(cursor?.durableThrough ?? 0, highestName - 1)
  const doubtful = lastRead < seenAtLeast || scanned?.tail === 'damaged' || newestSetAside
  // The bound is sound when no newer cursor can have been lost, and the segments do not contradict it.
  const boundSound = bound !== undefined && cursorFound.whole && bound >= lastRead && bound >= highestName - 1
  let durableThrough = lastRead
  const lost: SequenceRange[] = []
  let epochs: Identity = identityFound ?? knownEpochs(cursor, headers.values())
  let identityChanged = identityFound === undefined
  const lose = (fromSequence: number, toSequence: number) => {
    if (fromSequence <= toSequence) lost.push({ fromSequence, toSequence })
  }
  if (fresh) epochs = [{ epoch: drawEpoch(), firstSequence: 1 }]
  else if (boundSound && doubtful) {
    durableThrough = Math.max(bound, seenAtLeast)
    lose(Math.max(lastRead, trimmedThrough) + 1, durableThrough)
  } else if (!boundSound) {
    // The new epoch may use any number: what there may have been beyond is a loss only where something is missing.
    durableThrough = Math.max(doubtful ? (bound ?? 0) : 0, seenAtLeast, lastRead)
    lose(Math.max(lastRead, trimmedThrough) + 1, durableThrough)
    epochs = [...epochs, { epoch: drawEpoch(), firstSequence: durableThrough + 1 }]
    identityChanged = true
    log.error(
      { epoch: epochs[epochs.length - 1]?.epoch, fromSequence: durableThrough + 1 },
      'it cannot be told which sequences were used before; a new epoch begins',
    )
  }
  const firstSequence = segments.all[0]?.firstSequence
  if (firstSequence !== undefined) lose(trimmedThrough + 1, Math.min(firstSequence - 1, durableThrough))

  // 5. Cut what is no record off the newest segment, and go on in it if it is ours, whole and has no hole at its end.
  const present = epochs[epochs.length - 1]?.epoch
  let active: Recovered['active']
  if (newest && scanned && lastRead >= newest.firstSequence) active = await cut(newest, scanned)
  else if (newest && scanned) {
    segments.remove(newest)
    if (scanned.tail === 'damaged') await setAside(segmentName(newest.firstSequence), 'damaged_segment')
    else await fileSystem.remove(newest.path).catch(() => undefined)
  }
  const goesOn = active?.segment.epoch === present && durableThrough === lastRead
  if (!goesOn) await active?.file.close()
  await fileSystem.syncFolder(folder).catch((error) => log.warn({ err: error }, 'the folder cannot be synced'))

  return {
    identity: epochs,
    identityChanged,
    cursorFound,
    sentThrough: Math.max(trimmedThrough, Math.min(cursor?.sentThrough ?? 0, durableThrough)),
    sentRanges: (cursor?.sentRanges ?? []).map(({ from, to }) => ({ from, to: Math.min(to, durableThrough) })),
    trimmedThrough: Math.min(trimmedThrough, durableThrough),
    durableThrough,
    lastReadable: lastRead,
    reservedThrough: boundSound && cursor && !cursor.closed && !identityChanged ? cursor.reservedThrough : 0,
    total: cursor?.epoch.epoch === present ? cursor?.total : undefined,
    active: goesOn ? active : undefined,
    lost,
  }

  async function readHeader(path: string, firstSequence: number): Promise<Header> {
    try {
      const file = await fileSystem.open(path, 'read')
      try {
        const header = decodeSegmentHeader(await file.read(0, SEGMENT_HEADER_BYTES))
        const bytes = await file.size()
        if (header && header.version > FORMAT_VERSION) return { epoch: undefined, later: true, bytes }
        return { epoch: header?.firstSequence === firstSequence ? header.epoch : undefined, bytes }
      } finally {
        await file.close()
      }
    } catch (error) {
      if (isDenied(error)) throw error
      log.error({ path, err: messageOf(error) }, 'a segment cannot be read')
      return { epoch: undefined, bytes: SEGMENT_HEADER_BYTES }
    }
  }

  async function epochOfRecords(path: string, bytes: number) {
    try {
      const file = await fileSystem.open(path, 'read')
      try {
        return await probeEpoch(salvagingRead(file, sayUnreadable(log, path)), bytes, known)
      } finally {
        await file.close()
      }
    } catch {
      return undefined
    }
  }

  async function scanNewest(segment: Segment): Promise<ScanResult & { lastSequence: number }> {
    let lastSequence = segment.firstSequence - 1
    const unreadable = { endOffset: SEGMENT_HEADER_BYTES, damagedRuns: 1, tail: 'damaged' as const, stopped: false }
    try {
      const file = await fileSystem.open(segment.path, 'read')
      try {
        const range = { from: SEGMENT_HEADER_BYTES, end: segment.endOffset, seed: epochSeed(segment.epoch) }
        const result = await scanRecords(salvagingRead(file, sayUnreadable(log, segment.path)), range, (record) => {
          if (record.sequence > lastSequence) lastSequence = record.sequence
          segments.note(segment, record.sequence, record.offset)
          return false
        })
        return { ...result, lastSequence }
      } finally {
        await file.close()
      }
    } catch (error) {
      log.error({ path: segment.path, err: messageOf(error) }, 'the newest segment cannot be read')
      return { ...unreadable, lastSequence }
    }
  }

  /** @returns undefined when the segment cannot be written to any more */
  async function cut(segment: Segment, { endOffset, tail }: ScanResult) {
    let file: OpenFile | undefined
    try {
      file = await fileSystem.open(segment.path, 'write')
      if (tail !== 'clean') {
        log.warn({ path: segment.path, bytes: segment.endOffset - endOffset, tail }, 'the end of the spool was cut off')
        await file.truncate(endOffset)
      }
      segments.grow(segment, endOffset - segment.endOffset)
      // A process that was killed may have written without syncing.
      await file.sync()
      return { segment, file }
    } catch (error) {
      log.warn({ path: segment.path, err: error }, 'the newest segment cannot be written to; a new one begins')
      await file?.close().catch(() => undefined)
      return undefined
    }
  }
}

/** Without an identity file: the epochs that cursor and segments name, in the order of their sequences. */
export function knownEpochs(
  cursor: CursorState | undefined,
  headers: Iterable<{ readonly epoch: SpoolEpoch | undefined }>,
): Identity {
  const epochs = new Map(cursor && [[cursor.epoch.epoch, cursor.epoch]])
  for (const { epoch } of headers) if (epoch) epochs.set(epoch.epoch, epoch)
  return [...epochs.values()].sort((a, b) => a.firstSequence - b.firstSequence)
}
