/** What lies in a spool's folder, for people: nothing is written, and an owner that runs is not disturbed. */
import { type FileSystem, nodeFileSystem, readFileWhole } from '@tributary/runtime'
import { type CursorState, newestSlot, readCursorSlots } from './cursor.ts'
import { readIdentity, type SpoolEpoch } from './identity.ts'
import { type Processes, parseOwner, systemProcesses } from './lock.ts'
import { patientFileSystem } from './patient-file-system.ts'
import { epochSeed, scanRecords } from './record.ts'
import { CURSOR_FILE, IDENTITY_FILE, knownEpochs, LOCK_FILE, QUARANTINE_FOLDER } from './recover.ts'
import { parseSegmentName, SEGMENT_HEADER_BYTES } from './segment.ts'
import {
  deniedAsUserError,
  epochOf,
  isLater,
  listSegmentFiles,
  listSpoolFolder,
  type SegmentFile,
  withSegment,
} from './spool-folder.ts'

/** Something in the folder that is not as it should be. */
export interface SpoolDamage {
  readonly kind:
    | 'identity'
    | 'cursor'
    | 'segment_header'
    | 'records'
    | 'segment_missing'
    | 'torn_tail'
    | 'damaged_tail'
    | 'unreadable'
    | 'later_version'
    | 'foreign_file'
  /** Name in the folder. */
  readonly file: string
  /** Where it begins, and how long it is, in bytes. */
  readonly offset?: number
  readonly bytes?: number
  /** Sequences that cannot be read because of it, as far as that can be told; both ends included. */
  readonly fromSequence?: number
  readonly toSequence?: number
  /** `trimmed`: nobody needs them any more; `reported`: the owner knows; `sent`: the other end has them; `unsent`: they are gone. */
  readonly standing?: 'trimmed' | 'reported' | 'sent' | 'unsent'
  /** What it is, and what opening the spool does with it. */
  readonly detail: string
}

export interface SpoolSegmentInspection {
  readonly file: string
  readonly version: number
  /** '' when neither header nor records tell. */
  readonly epoch: string
  readonly firstSequence: number
  /** As the next segment's name tells; of the newest, the last that can be read: below `firstSequence` when none can. */
  readonly lastSequence: number
  readonly bytes: number
}

export interface SpoolCursorInspection extends CursorState {
  readonly version: number
}

export interface SpoolInspection {
  readonly folder: string
  /** Who the lock names; one that is not alive left it behind. */
  readonly owner: { readonly pid: number; readonly alive: boolean } | undefined
  /** Oldest first; the last is the present one. Without an identity file, as cursor and segments tell. */
  readonly epochs: readonly SpoolEpoch[]
  readonly cursor: SpoolCursorInspection | undefined
  /** In the order of their sequences. */
  readonly segments: readonly SpoolSegmentInspection[]
  /** What a reader can hope for; both 0 when there is nothing. */
  readonly firstSequence: number
  readonly lastSequence: number
  /** Of all segments. */
  readonly bytes: number
  /** Records after the sent prefix that are in no sent range. */
  readonly unsentRecords: number
  /** What shows without reading all records: `checkSpool` finds the rest. */
  readonly damage: readonly SpoolDamage[]
  /** What was set aside; it is never read. */
  readonly quarantine: readonly { readonly file: string; readonly bytes: number }[]
}

export interface OfflineDependencies {
  readonly fileSystem?: FileSystem
  readonly processes?: Processes
}

/** A slot that is just being written is looked at again. */
const CURSOR_LOOKS_MAX = 5

/**
 * Reads names, headers, cursor and the newest segment.
 * @throws UserError when there is no spool in the folder, or it may not be read
 */
export async function inspectSpool(
  folder: string,
  { fileSystem: disk = nodeFileSystem, processes = systemProcesses }: OfflineDependencies = {},
): Promise<SpoolInspection> {
  const fileSystem = patientFileSystem(disk)
  // First: what it says was on the disk is then in the segments that are listed, whatever an owner does meanwhile.
  const cursor = await inspectCursor(`${folder}/${CURSOR_FILE}`, fileSystem)
  const names = await listSpoolFolder(folder, fileSystem)
  const lock = parseOwner(await readFileWhole(`${folder}/${LOCK_FILE}`, fileSystem).catch(() => undefined))
  const owner = lock && { pid: lock.pid, alive: await processes.isAlive(lock) }
  const identity = await readIdentity(`${folder}/${IDENTITY_FILE}`, fileSystem).catch((error) => {
    throw deniedAsUserError(error, `${folder}/${IDENTITY_FILE}`)
  })
  const files = await listSegmentFiles(folder, names, fileSystem)
  const epochs = identity ?? knownEpochs(cursor.state, files)
  const damage: SpoolDamage[] = [...cursor.damage]
  if (!identity)
    damage.push({
      kind: 'identity',
      file: IDENTITY_FILE,
      detail: `${names.includes(IDENTITY_FILE) ? 'damaged' : 'missing'}; opening takes the epoch from the cursor`,
    })
  const isForeign = ({ epoch }: SegmentFile) =>
    epoch !== undefined && !epochs.some((known) => known.epoch === epoch.epoch)
  for (const { file, bytes, epoch } of files.filter(isForeign)) {
    const detail = `a segment of another spool, epoch ${epoch?.epoch}; opening sets it aside`
    damage.push({ kind: 'foreign_file', file, offset: 0, bytes, detail })
  }
  const own = files.filter((segment) => !isForeign(segment))
  const segments: SpoolSegmentInspection[] = []
  for (const [i, segment] of own.entries()) {
    const { file, firstSequence, version, bytes } = segment
    const nextSequence = own[i + 1]?.firstSequence
    const epoch = (await epochOf(folder, segment, epochs, fileSystem)) ?? ''
    const newest =
      nextSequence === undefined && !isLater(segment) ? await endOf(folder, segment, epoch, fileSystem) : undefined
    const lastSequence = nextSequence ? nextSequence - 1 : (newest?.lastSequence ?? firstSequence - 1)
    const headerDamage = damageOfHeader(segment, epoch, lastSequence)
    // The owner may just be writing what has no end yet.
    if (headerDamage && !(owner?.alive && newest && bytes < SEGMENT_HEADER_BYTES)) damage.push(headerDamage)
    else if (newest && newest.tail !== 'clean' && !owner?.alive)
      damage.push(damageOfTail(file, newest.endOffset, bytes, newest.tail))
    segments.push({ file, version, epoch, firstSequence, lastSequence, bytes })
  }
  for (const file of names)
    if (!isOfSpool(file)) damage.push({ kind: 'foreign_file', file, detail: 'none of a spool; opening sets it aside' })

  const first = segments[0]
  const lastSequence = segments.at(-1)?.lastSequence ?? 0
  const { durableThrough, trimmedThrough } = cursor.state ?? { durableThrough: 0, trimmedThrough: 0 }
  if (durableThrough > Math.max(lastSequence, trimmedThrough))
    damage.push({
      kind: 'segment_missing',
      file: segments.at(-1)?.file ?? CURSOR_FILE,
      fromSequence: Math.max(lastSequence, trimmedThrough) + 1,
      toSequence: durableThrough,
      detail: 'the cursor says that these were on the disk; no segment has them',
    })
  const sentThrough = Math.max(cursor.state?.sentThrough ?? 0, (first?.firstSequence ?? 1) - 1)
  const inRanges = (cursor.state?.sentRanges ?? []).reduce((sum, { from, to }) => sum + to - from + 1, 0)
  return {
    folder,
    owner,
    epochs,
    cursor: cursor.state,
    segments,
    firstSequence: first?.firstSequence ?? 0,
    lastSequence,
    bytes: segments.reduce((sum, { bytes }) => sum + bytes, 0),
    unsentRecords: Math.max(0, lastSequence - sentThrough - inRanges),
    damage,
    quarantine: await inspectQuarantine(`${folder}/${QUARANTINE_FOLDER}`, fileSystem),
  }
}

function damageOfTail(file: string, offset: number, end: number, tail: 'torn' | 'damaged'): SpoolDamage {
  const detail =
    tail === 'torn'
      ? 'the beginning of a record whose write was cut off; it was never acknowledged, and opening cuts it off'
      : 'bytes that are no record; opening cuts them off, and names as lost what the cursor says was there'
  return { kind: tail === 'torn' ? 'torn_tail' : 'damaged_tail', file, offset, bytes: end - offset, detail }
}

function damageOfHeader(segment: SegmentFile, epoch: string, lastSequence: number): SpoolDamage | undefined {
  const { file, bytes, firstSequence, version } = segment
  const place = { file, offset: 0, bytes }
  const sequences = { fromSequence: firstSequence, ...(lastSequence >= firstSequence && { toSequence: lastSequence }) }
  if (isLater(segment))
    return {
      ...place,
      ...sequences,
      kind: 'later_version',
      detail: `written by a later version of this program (segment version ${version}); opening sets it aside, whole`,
    }
  if (segment.epoch) return undefined
  const header = { file, offset: 0, bytes: Math.min(bytes, SEGMENT_HEADER_BYTES), kind: 'segment_header' as const }
  return epoch
    ? { ...header, detail: 'damaged; its records tell whose it is' }
    : { ...header, ...sequences, detail: 'damaged, and no record tells whose it is; opening sets it aside' }
}

/** The newest segment is read whole: where do its records end? */
async function endOf(folder: string, { file, firstSequence }: SegmentFile, epoch: string, fileSystem: FileSystem) {
  let lastSequence = firstSequence - 1
  const result = await withSegment(`${folder}/${file}`, fileSystem, (read, end) =>
    scanRecords(read, { from: SEGMENT_HEADER_BYTES, end, seed: epochSeed(epoch) }, ({ sequence }) => {
      lastSequence = Math.max(lastSequence, sequence)
      return false
    }),
  )
  return result && { ...result, lastSequence }
}

async function inspectCursor(path: string, fileSystem: FileSystem) {
  const look = () =>
    readCursorSlots(path, fileSystem).catch((error) => {
      throw deniedAsUserError(error, path)
    })
  let slots = await look()
  for (let looks = 1; looks < CURSOR_LOOKS_MAX && !slots.every(Boolean); looks++) slots = await look()
  const newest = newestSlot(slots)
  const state: SpoolCursorInspection | undefined = newest && { ...newest.state, version: newest.version }
  const say = (detail: string): SpoolDamage => ({ kind: 'cursor', file: CURSOR_FILE, detail })
  const damage: SpoolDamage[] = []
  if (slots.length === 0) damage.push(say('missing; opening begins a new epoch and sends everything again'))
  else if (!newest)
    damage.push(say('both of its slots are damaged; opening begins a new epoch and sends everything again'))
  else if (!slots.every(Boolean))
    damage.push(say('one of its two slots is damaged, and may have been the newer; opening begins a new epoch'))
  return { state, damage }
}

async function inspectQuarantine(folder: string, fileSystem: FileSystem) {
  const found: { file: string; bytes: number }[] = []
  for (const file of (await fileSystem.list(folder).catch(() => [])).sort()) {
    const bytes = await withSegment(`${folder}/${file}`, fileSystem, async (_read, size) => size).catch(() => undefined)
    found.push({ file, bytes: bytes ?? 0 })
  }
  return found
}

const isOfSpool = (name: string): boolean =>
  [IDENTITY_FILE, CURSOR_FILE, LOCK_FILE, QUARANTINE_FOLDER, `${IDENTITY_FILE}.new`].includes(name) ||
  name.startsWith(`${LOCK_FILE}.`) ||
  parseSegmentName(name) !== undefined
