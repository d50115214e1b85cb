import { dirname } from 'node:path'
import {
  type Clock,
  errorCode,
  type FileSystem,
  type Logger,
  type Metrics,
  nodeFileSystem,
  PermanentError,
  UserError,
} from '@tributary/runtime'
import { createCursorKeeper } from './cursor-keeper.ts'
import { createGroupCommit } from './group-commit.ts'
import { isDenied, type SpoolEpoch, writeIdentity } from './identity.ts'
import { type Processes, systemProcesses, takeLock } from './lock.ts'
import { createLossLedger } from './loss-ledger.ts'
import { meteredFileSystem } from './metered-file-system.ts'
import { createMeters, type DamageReason } from './meters.ts'
import { patientFileSystem } from './patient-file-system.ts'
import { createReader } from './reader.ts'
import { RECORD_BYTES_MAX, RECORD_HEADER_BYTES } from './record.ts'
import { CURSOR_FILE, IDENTITY_FILE, LOCK_FILE, recover } from './recover.ts'
import { createRetention, SEGMENTS_KEPT } from './retention.ts'
import { createRoom } from './room.ts'
import { createSegmentList, SEGMENT_HEADER_BYTES } from './segment.ts'
import { createSent, type SentRange } from './sent.ts'
import { createWaiters } from './waiters.ts'

/** One record, as read back. */
export interface SpoolRecord {
  /** 1, 2, 3, … without holes in the epoch. */
  readonly sequence: number
  readonly payload: Uint8Array
}

/** A run of sequences that existed and cannot be read any more, found on opening or reading. */
export interface SpoolLoss {
  readonly fromSequence: number
  readonly toSequence: number
  /** `unused`: the numbers below the first of a new epoch, which begins where the one before ended. Nothing is lost there. */
  readonly reason: 'damaged' | 'disk_budget' | 'unused'
  /** The epoch that these sequences belong to: not the present one when a new one had to be drawn. */
  readonly epoch: string
}

export interface SpoolOptions {
  readonly segmentBytesMax: number
  /** Bytes of all segments, at least four: beyond, appends are refused with `SpoolFullError`. The last segment's worth is for appends with `reserve`. */
  readonly bytesMax: number
  /** Appends within this time share one fsync; 0: each append is synced at once. */
  readonly durabilityMs: number
  /** Keep this much free on the disk: below it appends are refused like beyond `bytesMax`; those with `reserve` may take one segment of it. */
  readonly freeBytesMin: number
  /** Bytes that may wait for their fsync; 16 MiB by default. Beyond, appends are refused. */
  readonly queueBytesMax?: number
}

export interface Spool {
  /** Drawn when the folder was new: 16 lower-case hexadecimal digits. */
  readonly epoch: string
  /** The sequence that the next append will get. Appends get theirs in call order. */
  readonly nextSequence: number
  /** Every sequence up to here has been sent: a prefix. */
  readonly sentThrough: number
  /** What was sent beyond it: ascending, with a gap before each, at most 100; of more the lowest are forgotten, and sent again. */
  readonly sentRanges: readonly SentRange[]
  /** Every sequence up to here may be forgotten. */
  readonly trimmedThrough: number
  /** Lowest sequence that can still be read; `nextSequence` when there is none. */
  readonly firstSequence: number
  readonly bytesUsed: number
  /** Bytes written to the disk since it was opened, with all overhead. */
  readonly bytesWritten: number
  /** Letting go of everything up to here gives the bytes of the oldest segment back; undefined when it is one of the last two, which stay. */
  readonly oldestSegmentThrough: number | undefined
  /**
   * What opening and reading found to be lost; the owner turns it into tombstones and calls `lossesReported`. Opening looks
   * at the newest segment only, so it grows while older ones are read: always before a record beyond the hole is returned. Of very many the first are shown; the others follow when those are reported.
   */
  readonly losses: readonly SpoolLoss[]
  /** First sequence of the lowest loss that was not reported yet. What is trimmed beyond it is, after a crash, never told. */
  readonly untoldFrom: number | undefined
  /** Takes back what `losses` showed when it was last read; it is not told again, even after a restart. */
  lossesReported(): void
  /** The owner's running total through the last durable record. After an opening as the cursor has it: also when that record is lost, and up to a second old. */
  readonly total: number | undefined
  /** Why nothing can be written at present; undefined when all is well. It is tried again, and nothing is acknowledged. */
  readonly failing: string | undefined
  /**
   * Guarantee: once it resolves, the record survives a power cut. Resolves in order of the calls. The payload must not be
   * changed until then.
   * @param options `reserve`: it may use the room that others must leave, because it is what makes room; `total`: a running total
   * of the owner's through this record, at least 0, kept in the cursor beside it
   * @returns the record's sequence
   * @throws SpoolFullError when there is no room; nothing was written and no sequence used
   * @throws PermanentError when the payload is larger than a segment
   */
  append(payload: Uint8Array, options?: { readonly reserve?: boolean; readonly total?: number }): Promise<number>
  /** What was appended so far does not wait any longer for others to share its fsync. */
  hurry(): void
  /** Durable records from a sequence on, at most `bytesMax` bytes of them (at least one); empty when there are none yet. Reading removes nothing. */
  read(fromSequence: number, bytesMax: number): Promise<SpoolRecord[]>
  /** Resolves when a record with this or a higher sequence is durable. */
  waitFor(sequence: number, signal: AbortSignal): Promise<void>
  /** Moves the send cursor; kept on disk lazily: after a crash it may lie further back, and records are sent again. */
  markSent(throughSequence: number): void
  /** The same for a range, both ends included: neighbours are joined, and the prefix swallows what it reaches. */
  markSentRange(fromSequence: number, toSequence: number): void
  /** What was marked so far is on the disk when it resolves. @throws when that cannot be written; it is tried again lazily */
  saveSent(): Promise<void>
  /** Lets go of a prefix; whole segments are removed. Never beyond `sentThrough`. */
  trim(throughSequence: number): Promise<void>
  /**
   * Lets go of a prefix that was not sent. It counts as sent and trimmed at once, and is never told as a loss, whatever of it could
   * not be read: a durable tombstone must name every sequence of it already. Once it resolves, nothing of it comes back; after a
   * crash before that it may, and the owner, who finds its tombstone, discards again. Its last records may stay readable, as those
   * of a trim do.
   * @throws when that cannot be written; it holds while the process lives, and the next call tries again
   */
  discard(throughSequence: number): Promise<void>
  close(): Promise<void>
}

export interface SpoolDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly fileSystem?: FileSystem
  readonly processes?: Processes
}

const OPENING_ATTEMPTS_MAX = 3
const QUEUE_BYTES_MAX = 16 * 1024 ** 2

/**
 * Opens or creates the spool in a folder. It always starts: what is damaged is cut or set aside, and counted.
 * @throws UserError when another process has it open, or the folder cannot be used at all
 */
export async function openSpool(
  folder: string,
  options: SpoolOptions,
  { clock, log, metrics, fileSystem: disk = nodeFileSystem, processes = systemProcesses }: SpoolDependencies,
): Promise<Spool> {
  const { segmentBytesMax, bytesMax, durabilityMs, freeBytesMin, queueBytesMax = QUEUE_BYTES_MAX } = options
  if (bytesMax < (SEGMENTS_KEPT + 2) * segmentBytesMax)
    throw new UserError(
      `a spool of ${bytesMax} bytes must hold at least ${SEGMENTS_KEPT + 2} segments of ${segmentBytesMax}`,
      { hint: 'raise the budget of the spool or lower the size of its segments' },
    )
  const payloadBytesMax = Math.min(RECORD_BYTES_MAX, segmentBytesMax - SEGMENT_HEADER_BYTES - RECORD_HEADER_BYTES)
  const meters = createMeters(metrics)
  let bytesWritten = 0
  const metered = meteredFileSystem(disk, (bytes) => {
    bytesWritten += bytes
    meters.bytesWritten.inc(bytes)
  })
  const fileSystem = patientFileSystem(metered)
  await fileSystem.makeFolder(folder).catch((error) => {
    const code = errorCode(error)
    const hint = ['EEXIST', 'ENOTDIR'].includes(code ?? '')
      ? 'a file stands in its way: move it, or choose another folder'
      : 'check its path and permissions'
    throw new UserError(`the folder ${folder} cannot be made (${code})`, { cause: error, hint })
  })
  const unlock = await takeLock(`${folder}/${LOCK_FILE}`, { fileSystem, clock, log, processes })
  try {
    const segments = createSegmentList(segmentBytesMax)
    const recovered = await recover(folder, { fileSystem, log, meters, segments })
    const { identity } = recovered
    const present = identity[identity.length - 1] as SpoolEpoch
    const { epoch } = present
    let prepared = !recovered.identityChanged
    let nextSequence = recovered.durableThrough + 1
    const sent = createSent(recovered.sentThrough, recovered.sentRanges)
    let lastReadable = recovered.lastReadable
    let closed: Promise<void> | undefined
    const waiters = createWaiters()
    let { total } = recovered
    /** Of the records that wait for the disk. */
    let totals: { sequence: number; total: number }[] = []

    const ledger = createLossLedger(() => identity, {
      reported: recovered.cursorFound.state?.reported ?? [],
      unusedReported: !recovered.identityChanged && (recovered.cursorFound.state?.unusedReported ?? false),
    })
    if (present.firstSequence > 1)
      ledger.addUnused({ fromSequence: 1, toSequence: present.firstSequence - 1, reason: 'unused', epoch })
    const lose = (range: { fromSequence: number; toSequence: number }, reason: DamageReason) => {
      // Nobody must wait, or look again and again, for what will never come.
      if (range.toSequence >= lastReadable) lastReadable = Math.min(lastReadable, range.fromSequence - 1)
      const fromSequence = Math.max(range.fromSequence, retention.trimmedThrough + 1)
      if (fromSequence > range.toSequence) return
      const count = ledger.add({ fromSequence, toSequence: range.toSequence }, 'damaged')
      if (count === 0) return
      meters.recordsDamaged.inc({ reason }, count)
      log.error({ fromSequence, toSequence: range.toSequence, reason }, 'records of the spool are lost')
    }
    const cursor = createCursorKeeper(
      { path: `${folder}/${CURSOR_FILE}`, found: recovered.cursorFound, reservedThrough: recovered.reservedThrough },
      {
        clock,
        log,
        fileSystem,
        state: () => ({
          epoch: present,
          unusedReported: ledger.unusedReported,
          sentThrough: sent.through,
          sentRanges: sent.ranges,
          trimmedThrough: retention.trimmedThrough,
          durableThrough: commits.durableThrough,
          total,
          reported: ledger.reportedRanges,
        }),
      },
    )
    /** What must be on the disk before the first record is; on a full disk it has to wait. */
    async function prepare(): Promise<void> {
      if (prepared) return
      for (let path = dirname(folder); ; path = dirname(path)) {
        // The folder may be new, and those above. One that we may not open was not made by us.
        await fileSystem.syncFolder(path).catch((error) => {
          if (!['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error) ?? '')) throw error
        })
        if (path === dirname(path)) break
      }
      await writeIdentity(`${folder}/${IDENTITY_FILE}`, identity, fileSystem)
      prepared = true
    }
    const room = await createRoom(
      { folder, bytesMax, freeBytesMin, reserveBytes: segmentBytesMax, queueBytesMax },
      { clock, fileSystem, segments, meters },
    )
    const commits = createGroupCommit(
      { folder, epoch: present, segmentBytesMax, durabilityMs, queueBytesMax, ...recovered },
      {
        clock,
        log,
        fileSystem,
        meters,
        segments,
        async beforeCommit(lastSequence) {
          await prepare()
          await cursor.reserve(lastSequence)
        },
        onDurable(lastSequence) {
          lastReadable = lastSequence
          total = totals.findLast(({ sequence }) => sequence <= lastSequence)?.total ?? total
          totals = totals.filter(({ sequence }) => sequence > lastSequence)
          room.written()
          cursor.changed()
          waiters.wake(lastSequence)
        },
      },
    )
    const reader = createReader({
      fileSystem,
      log,
      segments,
      durableThrough: () => commits.durableThrough,
      onLoss: lose,
    })
    const retention = createRetention(recovered.trimmedThrough, {
      fileSystem,
      log,
      segments,
      // A hole that the cursor does not explain would be taken for a loss.
      async beforeRemoval(throughSequence) {
        if (cursor.trimmedThrough < throughSequence) await cursor.write()
      },
      onRemoved(segment) {
        reader.forget(segment)
        ledger.forgetBelow(segments.all[0]?.firstSequence ?? 0)
        room.written()
      },
    })
    const markSentRange = (fromSequence: number, toSequence: number) => {
      if (sent.mark(fromSequence, Math.min(toSequence, commits.durableThrough))) cursor.changed()
    }
    for (const range of recovered.lost) lose(range, 'tail')
    // What was found is on the disk before anyone acts on it.
    for (let attempt = 1; attempt <= OPENING_ATTEMPTS_MAX; attempt++) {
      try {
        await prepare()
        await cursor.write()
        break
      } catch (error) {
        log.warn(
          { err: error, folder, attempt },
          'the spool cannot be written yet; it is tried again at the first append',
        )
      }
    }

    return {
      epoch,
      get nextSequence() {
        return nextSequence
      },
      get sentThrough() {
        return sent.through
      },
      get sentRanges() {
        return sent.ranges
      },
      get trimmedThrough() {
        return retention.trimmedThrough
      },
      get firstSequence() {
        const first = segments.all[0]
        return first && first.firstSequence <= commits.durableThrough ? first.firstSequence : nextSequence
      },
      get bytesUsed() {
        return segments.bytes
      },
      get bytesWritten() {
        return bytesWritten
      },
      get oldestSegmentThrough() {
        return retention.oldestSegmentThrough
      },
      get losses() {
        return ledger.snapshot()
      },
      get untoldFrom() {
        return ledger.untoldFrom
      },
      lossesReported() {
        if (ledger.reported()) cursor.changed()
      },
      get total() {
        return total
      },
      get failing() {
        return commits.failing
      },
      async append(payload, { reserve = false, total: totalNow } = {}) {
        if (closed) throw new Error('the spool is closed')
        if (payload.length > payloadBytesMax)
          throw new PermanentError(`a record of ${payload.length} bytes is larger than a segment (${payloadBytesMax})`)
        const take = () => room.take(commits.pendingBytes, RECORD_HEADER_BYTES + payload.length, reserve)
        try {
          take()
        } catch (error) {
          // Space may have returned: who is refused gives up records for good.
          if (!(await room.looked())) throw error
          if (closed) throw new Error('the spool is closed')
          take()
        }
        if (totalNow !== undefined) totals.push({ sequence: nextSequence, total: totalNow })
        return commits.append(nextSequence++, payload)
      },
      hurry: () => commits.hurry(),
      read: (fromSequence, readBytesMax) => reader.read(fromSequence, readBytesMax),
      waitFor: async (sequence, signal) => {
        if (sequence > lastReadable) await waiters.add(sequence, signal)
      },
      markSent: (throughSequence) => markSentRange(1, throughSequence),
      markSentRange,
      async saveSent() {
        if (!closed) await cursor.write()
      },
      async trim(throughSequence) {
        if (closed) return
        retention.advance(Math.min(throughSequence, sent.through))
        cursor.changed()
        await retention.remove()
      },
      async discard(throughSequence) {
        if (closed) return
        const through = Math.min(throughSequence, commits.durableThrough)
        sent.mark(1, through)
        ledger.settled(through)
        retention.advance(through)
        await cursor.write()
        await retention.remove()
      },
      close() {
        closed ??= (async () => {
          await commits.close()
          await retention.settled()
          await cursor.close()
          await unlock()
        })()
        return closed
      },
    }
  } catch (error) {
    await unlock().catch(() => undefined)
    if (!isDenied(error)) throw error
    throw new UserError(`${pathIn(error) ?? `a file in ${folder}`} cannot be read (${errorCode(error)})`, {
      cause: error,
      hint: `all of ${folder} must belong to the user that runs this: \`chown -R USER ${folder}\``,
    })
  }
}

const pathIn = (error: unknown): string | undefined =>
  error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : undefined
