/**
 * Where sending and trimming stand, and which sequences may have been handed out. One file of two slots of one block each,
 * written in turn and in place: a write that is cut off spoils one slot, the other holds the state before. No rename, no
 * change of size, so a write costs one block on the card. Byte table: FORMAT.md.
 *
 * Guarantee: no record is shown to a reader before a cursor with `reservedThrough` at or above its sequence is on the disk.
 */
import { crc32 } from 'node:zlib'
import { type FileSystem, type OpenFile, writeAll } from '@tributary/runtime'
import type { SpoolEpoch } from './identity.ts'
import { SENT_RANGES_MAX, type SentRange } from './sent.ts'

const SLOT_BYTES = 4096
const FIXED_BYTES = 64
const RANGE_BYTES = 12
/** Ranges of losses already reported that are remembered; beyond, the oldest are forgotten and reported again. */
export const REPORTED_RANGES_MAX = 300
/** Of both kinds. Sent ranges that find no room are forgotten: sending twice harms less than telling a loss twice. */
const RANGES_MAX = Math.floor((SLOT_BYTES - FIXED_BYTES - 4) / RANGE_BYTES)
/** Behind the last range that there may be. */
const TOTAL_AT = 4084
const MAGIC = Buffer.from('TRBCURSR', 'latin1')
/** Version 1 had no sent ranges, and zeros where their number stands. */
export const CURSOR_VERSION = 2

export interface SequenceRange {
  readonly fromSequence: number
  readonly toSequence: number
}

export interface CursorState {
  readonly epoch: SpoolEpoch
  /** Closed in order: `durableThrough` is exact. */
  readonly closed: boolean
  /** The owner knows which sequences of this epoch were never used. */
  readonly unusedReported: boolean
  readonly sentThrough: number
  /** Sent beyond it, ascending. */
  readonly sentRanges: readonly SentRange[]
  readonly trimmedThrough: number
  /** Was on the disk when this was written. */
  readonly durableThrough: number
  /** No sequence above has been shown to a reader. */
  readonly reservedThrough: number
  /** The owner's running total through `durableThrough`, when it tells one. */
  readonly total?: number | undefined
  /** Losses that the owner has turned into tombstones. */
  readonly reported: readonly SequenceRange[]
}

export interface CursorFound {
  readonly state: CursorState | undefined
  readonly generation: number
  /** Both slots hold a state: the newest is the last that was written. */
  readonly whole: boolean
}

interface CursorSlot {
  readonly state: CursorState
  readonly generation: number
  readonly version: number
}

/** @returns what each slot holds; undefined for a damaged one, an empty list when there is no file */
export async function readCursorSlots(
  path: string,
  fileSystem: FileSystem,
): Promise<readonly (CursorSlot | undefined)[]> {
  if (!(await fileSystem.exists(path))) return []
  const file = await fileSystem.open(path, 'read')
  try {
    const slots = []
    for (const position of [0, SLOT_BYTES]) {
      const bytes = await file.read(position, SLOT_BYTES).catch(() => undefined)
      slots.push(bytes && decodeSlot(bytes))
    }
    return slots
  } finally {
    await file.close()
  }
}

export const newestSlot = (slots: readonly (CursorSlot | undefined)[]): CursorSlot | undefined =>
  slots.reduce((best, slot) => (slot && (!best || slot.generation > best.generation) ? slot : best), undefined)

export async function readCursor(path: string, fileSystem: FileSystem): Promise<CursorFound> {
  const slots = await readCursorSlots(path, fileSystem)
  const newest = newestSlot(slots)
  return { state: newest?.state, generation: newest?.generation ?? 0, whole: slots.length > 0 && slots.every(Boolean) }
}

export interface CursorFile {
  /** Resolves when the state is on the disk. One call at a time. */
  write(state: CursorState): Promise<void>
  close(): Promise<void>
}

/** Opens or creates the file; the first write after creation fills both slots. */
export function createCursorFile(path: string, fileSystem: FileSystem, found: CursorFound): CursorFile {
  let file: OpenFile | undefined
  let generation = found.generation
  let whole = found.whole
  return {
    async write(state) {
      if (!file) file = await fileSystem.open(path, 'write')
      const next = generation + 1
      if (whole) {
        await writeAll(file, encodeSlot(state, next), (next % 2) * SLOT_BYTES)
        await file.sync()
        generation = next
        return
      }
      // The slot that is no longer needed first: the other may hold the only state there is.
      for (const each of [next, next + 1]) {
        await writeAll(file, encodeSlot(state, each), (each % 2) * SLOT_BYTES)
        await file.sync()
      }
      await fileSystem.syncFolder(path.slice(0, path.lastIndexOf('/')))
      generation = next + 1
      whole = true
    },
    async close() {
      await file?.close()
      file = undefined
    },
  }
}

function encodeSlot(state: CursorState, generation: number): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES)
  MAGIC.copy(slot)
  slot.writeUInt16LE(CURSOR_VERSION, 8)
  slot.writeUInt16LE((state.closed ? 1 : 0) | (state.unusedReported ? 2 : 0), 10)
  slot.writeUIntLE(generation, 12, 6)
  slot.write(state.epoch.epoch, 18, 8, 'hex')
  slot.writeUIntLE(state.epoch.firstSequence, 52, 6)
  slot.writeUIntLE(state.sentThrough, 26, 6)
  slot.writeUIntLE(state.trimmedThrough, 32, 6)
  slot.writeUIntLE(state.durableThrough, 38, 6)
  slot.writeUIntLE(state.reservedThrough, 44, 6)
  const reported = state.reported.slice(-REPORTED_RANGES_MAX)
  slot.writeUInt16LE(reported.length, 50)
  const sent = state.sentRanges.slice(-Math.min(SENT_RANGES_MAX, RANGES_MAX - reported.length))
  slot.writeUInt16LE(sent.length, 58)
  const ranges = [
    ...reported.map((range) => [range.fromSequence, range.toSequence]),
    ...sent.map(({ from, to }) => [from, to]),
  ]
  for (const [i, [from, to]] of (ranges as [number, number][]).entries()) {
    slot.writeUIntLE(from, FIXED_BYTES + i * RANGE_BYTES, 6)
    slot.writeUIntLE(to, FIXED_BYTES + i * RANGE_BYTES + 6, 6)
  }
  if (state.total !== undefined) slot.writeUIntLE(state.total + 1, TOTAL_AT, 6)
  slot.writeUInt32LE(crc32(slot.subarray(0, SLOT_BYTES - 4)), SLOT_BYTES - 4)
  return slot
}

function decodeSlot(bytes: Uint8Array): CursorSlot | undefined {
  const slot = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (slot.length < SLOT_BYTES || MAGIC.compare(slot, 0, MAGIC.length) !== 0) return undefined
  if (crc32(slot.subarray(0, SLOT_BYTES - 4)) !== slot.readUInt32LE(SLOT_BYTES - 4)) return undefined
  const version = slot.readUInt16LE(8)
  if (version < 1 || version > CURSOR_VERSION) return undefined
  const flags = slot.readUInt16LE(10)
  const reportedCount = Math.min(slot.readUInt16LE(50), REPORTED_RANGES_MAX)
  const sentCount = version === 1 ? 0 : Math.min(slot.readUInt16LE(58), RANGES_MAX - reportedCount)
  const totalPlusOne = slot.readUIntLE(TOTAL_AT, 6)
  const rangeAt = (i: number) => ({
    from: slot.readUIntLE(FIXED_BYTES + i * RANGE_BYTES, 6),
    to: slot.readUIntLE(FIXED_BYTES + i * RANGE_BYTES + 6, 6),
  })
  return {
    version,
    generation: slot.readUIntLE(12, 6),
    state: {
      epoch: { epoch: slot.toString('hex', 18, 26), firstSequence: slot.readUIntLE(52, 6) },
      closed: (flags & 1) !== 0,
      unusedReported: (flags & 2) !== 0,
      sentThrough: slot.readUIntLE(26, 6),
      sentRanges: Array.from({ length: sentCount }, (_, i) => rangeAt(reportedCount + i)),
      trimmedThrough: slot.readUIntLE(32, 6),
      durableThrough: slot.readUIntLE(38, 6),
      reservedThrough: slot.readUIntLE(44, 6),
      total: totalPlusOne === 0 ? undefined : totalPlusOne - 1,
      reported: Array.from({ length: reportedCount }, (_, i) => {
        const { from, to } = rangeAt(i)
        return { fromSequence: from, toSequence: to }
      }),
    },
  }
}
