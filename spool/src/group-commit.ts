/**
 * Guarantee: once `append` resolves, the record survives a power cut. Not: that it is delivered once.
 *
 * Appends that come within `durabilityMs` share one write and one fsync. A write or fsync that fails cuts the segment at
 * its last durable byte; the records are still held here, and go into a new segment, again and again with growing delays,
 * until the disk takes them. Nothing is acknowledged meanwhile, and no sequence is skipped. (After a failed fsync the
 * kernel may have dropped the pages and call the next fsync a success: hence never the same file again.)
 */
import {
  type Backoff,
  backoffDelayMs,
  type Clock,
  errorCode,
  type FileSystem,
  type Logger,
  messageOf,
  type OpenFile,
  writeAll,
} from '@tributary/runtime'
import type { SpoolEpoch } from './identity.ts'
import type { Meters } from './meters.ts'
import { encodeRecords, epochSeed, RECORD_HEADER_BYTES } from './record.ts'
import {
  createSegment,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type Segment,
  type SegmentList,
  segmentName,
} from './segment.ts'

const GROUP_BYTES_MAX = 4 * 1024 ** 2
const BACKOFF: Backoff = { firstMs: 100, maxMs: 5_000 }

interface Pending {
  readonly sequence: number
  readonly payload: Uint8Array
  readonly resolve: (sequence: number) => void
  readonly reject: (error: unknown) => void
}

export interface GroupCommitOptions {
  readonly folder: string
  readonly epoch: SpoolEpoch
  readonly segmentBytesMax: number
  readonly durabilityMs: number
  /** Half of it waiting makes the group go before its time. */
  readonly queueBytesMax: number
  /** Goes on in this segment, when there is one to go on in. */
  readonly active: { segment: Segment; file: OpenFile } | undefined
  readonly durableThrough: number
}

export interface GroupCommitDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly fileSystem: FileSystem
  readonly meters: Meters
  readonly segments: SegmentList
  /** What must be on the disk before a record with this sequence may be shown. */
  readonly beforeCommit: (lastSequence: number) => Promise<void>
  /** Records up to here are durable; called before their appends resolve. */
  readonly onDurable: (lastSequence: number) => void
}

export interface GroupCommit {
  readonly pendingBytes: number
  readonly durableThrough: number
  /** Why writing does not work at present. */
  readonly failing: string | undefined
  append(sequence: number, payload: Uint8Array): Promise<number>
  /** What waits is written now, whoever else might have shared its fsync. */
  hurry(): void
  /** Writes what waits; what cannot be written then is rejected. */
  close(): Promise<void>
}

export function createGroupCommit(options: GroupCommitOptions, dependencies: GroupCommitDependencies): GroupCommit {
  const { folder, epoch, segmentBytesMax, durabilityMs, queueBytesMax } = options
  const { clock, log, fileSystem, meters, segments } = dependencies
  const seed = epochSeed(epoch.epoch)
  const groupBytesMax = Math.min(GROUP_BYTES_MAX, segmentBytesMax - SEGMENT_HEADER_BYTES)
  const closing = new AbortController()
  const queue: Pending[] = []
  let pendingBytes = 0
  let active: { segment: Segment; file: OpenFile; listed: boolean } | undefined = options.active && {
    ...options.active,
    listed: true,
  }
  let durableThrough = options.durableThrough
  let failing: string | undefined
  let cancelTimer: (() => void) | undefined
  let due = false
  let running: Promise<void> | undefined

  function makeDue(): void {
    cancelTimer?.()
    cancelTimer = undefined
    due = true
    running ??= Promise.resolve()
      .then(run)
      .finally(() => {
        running = undefined
        if (due && queue.length > 0 && !closing.signal.aborted) makeDue()
      })
  }

  async function run(): Promise<void> {
    while (due && queue.length > 0) {
      due = false
      // Everything that waits now; what comes meanwhile has a time of its own.
      let left = queue.length
      while (left > 0) {
        const group = takeGroup(left)
        left -= group.length
        if (!(await commitUntilDone(group))) return
        queue.splice(0, group.length)
        for (const { sequence, payload, resolve } of group) {
          pendingBytes -= RECORD_HEADER_BYTES + payload.length
          resolve(sequence)
        }
      }
    }
  }

  /** As many as fit into the segment that is written to, or else into a new one. */
  function takeGroup(countMax: number): Pending[] {
    const frameBytes = ({ payload }: Pending) => RECORD_HEADER_BYTES + payload.length
    const room = active ? segmentBytesMax - active.segment.endOffset : 0
    const first = queue[0] as Pending
    const bytesMax = frameBytes(first) <= room ? Math.min(room, groupBytesMax) : groupBytesMax
    let count = 0
    for (let bytes = 0; count < countMax; count++) {
      bytes += frameBytes(queue[count] as Pending)
      if (count > 0 && bytes > bytesMax) break
    }
    return queue.slice(0, count)
  }

  /** @returns false when closing ended the attempts */
  async function commitUntilDone(group: readonly Pending[]): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      try {
        // 1. Numbers are reserved before anyone can see them.
        await dependencies.beforeCommit((group[group.length - 1] as Pending).sequence)
        await commit(group).catch(async (error) => {
          await abandonActive()
          throw error
        })
        if (failing !== undefined) log.info({ attempt, durableThrough }, 'the spool can be written again')
        failing = undefined
        meters.failing.set(0)
        return true
      } catch (error) {
        if (failing === undefined)
          log.error(
            { err: error, folder, waiting: queue.length },
            'the spool cannot be written; nothing is acknowledged until it can',
          )
        failing = errorCode(error) === 'ENOSPC' ? 'the disk is full' : messageOf(error)
        meters.failing.set(1)
        if (closing.signal.aborted) return false
        await clock.sleep(backoffDelayMs(BACKOFF, attempt), closing.signal).catch(() => undefined)
      }
    }
  }

  async function commit(group: readonly Pending[]): Promise<void> {
    const first = group[0] as Pending
    const last = group[group.length - 1] as Pending
    let bytes = encodeRecords(group, seed)
    if (active && active.segment.endOffset + bytes.length > segmentBytesMax) {
      const full = active
      active = undefined
      await full.file.close()
    }
    if (!active) {
      const path = `${folder}/${segmentName(first.sequence)}`
      active = { segment: createSegment(path, epoch.epoch, first.sequence, 0), file: await create(path), listed: false }
      bytes = Buffer.concat([encodeSegmentHeader(epoch, first.sequence), bytes])
    }
    const { segment, file, listed } = active
    const offset = segment.endOffset
    // 2. The bytes, 3. on the device, 4. under a name that is there after a power cut.
    await writeAll(file, bytes, offset)
    const startedMs = clock.monotonicMs()
    await file.sync()
    meters.syncSeconds.observe((clock.monotonicMs() - startedMs) / 1000)
    if (!listed) await fileSystem.syncFolder(folder)
    // 5. Only now they exist.
    if (listed) segments.grow(segment, bytes.length)
    else {
      segment.endOffset = bytes.length
      segments.add(segment)
      active.listed = true
    }
    segments.note(segment, first.sequence, listed ? offset : SEGMENT_HEADER_BYTES)
    durableThrough = last.sequence
    dependencies.onDurable(last.sequence)
  }

  /** A file of that name that is there already holds nothing durable: an attempt before this one left it. */
  async function create(path: string): Promise<OpenFile> {
    try {
      return await fileSystem.open(path, 'create')
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
      await fileSystem.remove(path)
      return await fileSystem.open(path, 'create')
    }
  }

  /** Cuts the segment after its last durable byte, as far as the disk lets us; opening copes with what is left. */
  async function abandonActive(): Promise<void> {
    if (!active) return
    const { segment, file, listed } = active
    active = undefined
    if (listed) await file.truncate(segment.endOffset).catch(() => undefined)
    await file.close().catch(() => undefined)
    if (!listed) await fileSystem.remove(segment.path).catch(() => undefined)
  }

  return {
    get pendingBytes() {
      return pendingBytes
    },
    get durableThrough() {
      return durableThrough
    },
    get failing() {
      return failing
    },
    append(sequence, payload) {
      return new Promise((resolve, reject) => {
        queue.push({ sequence, payload, resolve, reject })
        pendingBytes += RECORD_HEADER_BYTES + payload.length
        if (durabilityMs <= 0 || pendingBytes * 2 >= queueBytesMax) makeDue()
        else cancelTimer ??= clock.after(durabilityMs, makeDue)
      })
    },
    hurry() {
      if (queue.length > 0) makeDue()
    },
    async close() {
      if (queue.length > 0 && failing === undefined) makeDue()
      closing.abort(new DOMException('the spool is being closed', 'AbortError'))
      cancelTimer?.()
      while (running) await running
      for (const { reject } of queue.splice(0))
        reject(new Error(`the spool was closed before it could write: ${failing}`))
      pendingBytes = 0
      await active?.file.close().catch(() => undefined)
      active = undefined
    },
  }
}
