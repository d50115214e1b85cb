/**
 * Sends a spool's records, the newest first when many wait.
 *
 * Guarantee: every record is sent at least once; the cursor moves over a record only when it was acknowledged, in its lane's
 * order, or was lost. Within a lane of one run records go out in ascending order. Not: that a record is sent once, or that
 * the lanes keep an order between them.
 *
 * When more than `overtakeFrom` records wait, as a run starts or for a while later, the live lane leaps to the newest ones and
 * what it leapt over becomes backlog, which is drained oldest first beside it: with a window of its own that follows the pace of the other
 * end, and at most a share of what may be in flight. Where both meet they are one lane again. Nothing waits in memory but
 * what is in flight and one read of each lane.
 */
import { strict as assert } from 'node:assert'
import type { Clock, Logger } from '@tributary/runtime'
import { createDrainPace } from './drain-pace.ts'
import { createDrainWindow } from './drain-window.ts'
import { createLane, type Lane, type PumpLane } from './lane.ts'
import type { Spool, SpoolRecord } from './spool.ts'

export interface PumpOptions {
  /** Records of the live lane in flight at most. */
  readonly inFlightMax: number
  /** Bytes in flight at most, both lanes together; a record that is larger goes alone. 4 MiB by default. */
  readonly inFlightBytesMax?: number
  /** More records than so many waiting: the newest go first. */
  readonly overtakeFrom: number
  /** The newest of those that wait go with the live lane; 8 by default. */
  readonly newestRecords?: number
  /** The window of the backlog is never wider; three times `inFlightMax` by default. */
  readonly backlogInFlightMax?: number
  /** The backlog has at most this share of `inFlightBytesMax`, and at least one record; 0.5 by default. */
  readonly backlogShare?: number
}

/** What waits beside a record as it is sent: older ones that are not there yet, and newer ones. */
export interface PumpBehind {
  readonly records: number
  /** Estimated from the mean size of records. */
  readonly bytes: number
  readonly drainSeconds: number
}

export interface PumpDependencies {
  readonly clock: Clock
  readonly log?: Logger
  /** Resolves when the other end has the record for good. A rejection ends the run. */
  readonly send: (record: SpoolRecord, lane: PumpLane, behind: PumpBehind) => Promise<void>
  /** Whether the backlog may go on; asked before each record of it, and four times a second while it may not. */
  readonly mayDrain?: () => boolean
}

export interface Pump extends PumpFigures {
  /**
   * Sends until a send fails, and rejects with what failed once all in flight have settled; or with the reason of the signal, at
   * once. Begins at what the spool says was sent. One run at a time.
   */
  run(signal: AbortSignal): Promise<never>
}

export interface PumpFigures {
  /** Records that were not acknowledged, but for those that the live lane has in flight. */
  readonly backlogRecords: number
  /** Estimated from the mean size of records. */
  readonly backlogBytes: number
  /** At the pace of the last seconds; 0 when there is no backlog, too little is known, or nobody is at the other end. */
  readonly drainSeconds: number
  /** Records of the backlog that may be in flight. */
  readonly window: number
  /** Records that were sent and wait for their acknowledgement, both lanes. */
  readonly inFlight: number
}

const IN_FLIGHT_BYTES_MAX = 4 * 1024 ** 2
const NEWEST_RECORDS = 8
const BACKLOG_SHARE = 0.5
const READ_BYTES_MAX = 256 * 1024
/** Before looking again: when the backlog may not go on, when a read failed or found nothing. */
const LOOK_AGAIN_MS = 250
/** A burst that the other end takes within this time is no backlog. As a run starts, nothing is known of it. */
const OVERTAKE_AFTER_MS = 1_000
const SAY_AGAIN_MS = 60_000

export function createPump(spool: Spool, options: PumpOptions, dependencies: PumpDependencies): Pump {
  const { clock, log, send, mayDrain = () => true } = dependencies
  const { inFlightMax, inFlightBytesMax = IN_FLIGHT_BYTES_MAX, overtakeFrom } = options
  const { backlogInFlightMax = 3 * inFlightMax, backlogShare = BACKLOG_SHARE } = options
  const { newestRecords = Math.min(NEWEST_RECORDS, overtakeFrom) } = options
  assert(inFlightMax >= 1 && backlogInFlightMax >= 1, 'something may be in flight')
  assert(newestRecords <= overtakeFrom, 'a lane that leaps leaps ahead')
  assert(backlogShare > 0 && backlogShare <= 1, 'a share is above 0 and at most 1')
  const window = createDrainWindow({ recordsMax: backlogInFlightMax })
  const pace = createDrainPace()
  let live = createLane('live', spool)
  let backlog = createLane('backlog', spool)
  let running = false
  let saidMs = Number.NEGATIVE_INFINITY

  /** Not acknowledged, from a sequence on. */
  const unsentFrom = (sequence: number): number => {
    const from = Math.max(sequence, spool.sentThrough + 1)
    const sent = spool.sentRanges.reduce(
      (sum, range) => sum + Math.max(0, range.to + 1 - Math.max(range.from, from)),
      0,
    )
    return Math.max(0, spool.nextSequence - from - sent)
  }
  const backlogRecords = () => Math.max(0, unsentFrom(1) - live.flights.length)
  const bytesOf = (records: number): number => {
    const held = spool.nextSequence - spool.firstSequence
    return held <= 0 ? 0 : Math.round(spool.bytesUsed * Math.min(1, records / held))
  }
  const drainSeconds = () => {
    // Nobody is at the other end: that is what people are told of, not a backlog that grows.
    if (!running) return 0
    const records = backlogRecords()
    const appended = spool.nextSequence - 1
    pace.note(clock.monotonicMs(), appended - records, appended)
    return pace.drainSeconds(records)
  }

  async function run(signal: AbortSignal): Promise<never> {
    assert(!running, 'one run at a time')
    running = true
    pace.forget()
    const ending = new AbortController()
    const ended = ending.signal
    const waiting = new Set<() => void>()
    let unsettled = 0
    const wakeAll = () => {
      for (const wake of [...waiting]) wake()
    }
    const end = (reason: unknown) => {
      ending.abort(reason)
      wakeAll()
    }
    /** Resolves when something has changed, or the time is over. */
    const change = (timeoutMs?: number): Promise<void> =>
      new Promise((resolve) => {
        const cancel = timeoutMs === undefined ? undefined : clock.after(timeoutMs, () => wake())
        const wake = () => {
          waiting.delete(wake)
          cancel?.()
          resolve()
        }
        waiting.add(wake)
      })
    const start = spool.sentThrough + 1
    live = createLane('live', spool, start)
    backlog = createLane('backlog', spool, start, start)
    const lanes = { live, backlog }
    let behindSinceMs: number | undefined = Number.NEGATIVE_INFINITY

    /** The live lane leaps to the newest records when too many wait. */
    const overtake = (): boolean => {
      const nowMs = clock.monotonicMs()
      if (unsentFrom(lanes.live.next) <= overtakeFrom) {
        behindSinceMs = undefined
        return false
      }
      behindSinceMs ??= nowMs
      if (nowMs - behindSinceMs < OVERTAKE_AFTER_MS) return false
      const newest = spool.nextSequence - newestRecords
      if (nowMs - saidMs > SAY_AGAIN_MS) {
        saidMs = nowMs
        log?.info({ fromSequence: lanes.live.next, toSequence: newest - 1 }, 'a backlog waits; what is new goes first')
      }
      lanes.backlog.end = newest
      lanes.live.next = newest
      wakeAll()
      return true
    }
    /** Passes over what was sent, and what the other lane has in flight. */
    const skipSettled = (lane: Lane) => {
      const other = lane === lanes.live ? lanes.backlog : lanes.live
      lane.next = Math.max(lane.next, spool.sentThrough + 1)
      if (spool.sentRanges.length + other.flights.length === 0) return
      const settled = [...spool.sentRanges, ...other.flights].sort((a, b) => a.from - b.from)
      for (const { from, to } of settled) if (from <= lane.next && lane.next <= to) lane.next = to + 1
    }
    const hasRoom = (lane: Lane, bytes: number): boolean => {
      const isWithinBytes = lanes.live.bytes + lanes.backlog.bytes + bytes <= inFlightBytesMax
      if (lane === lanes.live) return lane.flights.length < inFlightMax && (lane.flights.length === 0 || isWithinBytes)
      if (!mayDrain()) return false
      if (lane.flights.length >= window.records) {
        window.wasFull()
        return false
      }
      return lane.flights.length === 0 || (isWithinBytes && lane.bytes + bytes <= inFlightBytesMax * backlogShare)
    }
    const launch = (lane: Lane, record: SpoolRecord) => {
      const acknowledged = lane.sent(record.sequence, record.payload.length)
      const sentAtMs = clock.monotonicMs()
      const records = Math.max(0, backlogRecords() - (lane.name === 'backlog' ? 1 : 0))
      const behind = { records, bytes: bytesOf(records), drainSeconds: drainSeconds() }
      unsettled += 1
      const sending = async () => {
        try {
          await send(record, lane.name, behind)
          acknowledged()
          // Without a backlog there is nothing to pace.
          if (lanes.backlog.flights.length > 0 || lane === lanes.backlog)
            window.acknowledged(sentAtMs, clock.monotonicMs(), lane.name)
        } catch (error) {
          if (!ended.aborted) window.failed(clock.monotonicMs())
          end(error)
        } finally {
          unsettled -= 1
          wakeAll()
        }
      }
      void sending()
    }
    const sendAll = async (lane: Lane, records: readonly SpoolRecord[]): Promise<void> => {
      for (const record of records) {
        const { sequence, payload } = record
        for (;;) {
          ended.throwIfAborted()
          if (lane === lanes.live && overtake()) return
          skipSettled(lane)
          if (sequence < lane.next || hasRoom(lane, payload.length)) break
          await change(lane === lanes.live ? undefined : LOOK_AGAIN_MS)
        }
        // What should come before it and does not was told as a loss by the read.
        if (sequence >= lane.next) lane.lost(Math.min(sequence, lane.end) - 1)
        if (sequence >= lane.end) return
        if (sequence >= lane.next) launch(lane, record)
      }
    }
    const drive = async (lane: Lane): Promise<void> => {
      for (;;) {
        ended.throwIfAborted()
        if (lane === lanes.live) overtake()
        skipSettled(lane)
        if (lane.next >= lane.end) {
          await change()
          continue
        }
        await spool.waitFor(lane.next, ended)
        const records = await spool.read(lane.next, READ_BYTES_MAX).catch((error): SpoolRecord[] => {
          // Tried again, until the spool gives the segment up and tells what it held as lost.
          log?.warn({ err: error, fromSequence: lane.next, lane: lane.name }, 'the spool cannot be read')
          return []
        })
        if (records.length === 0) await clock.sleep(LOOK_AGAIN_MS, ended)
        await sendAll(lane, records)
      }
    }
    const onAbort = () => end(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      for (const lane of [lanes.live, lanes.backlog]) drive(lane).catch(end)
      // After a failure a send that was not answered yet may still succeed: then it need not be sent again.
      while (!signal.aborted && (!ended.aborted || unsettled > 0)) await change()
      signal.throwIfAborted()
      throw ended.reason
    } finally {
      signal.removeEventListener('abort', onAbort)
      live = createLane('live', spool)
      backlog = createLane('backlog', spool)
      running = false
    }
  }
  return {
    run,
    get backlogRecords() {
      return backlogRecords()
    },
    get backlogBytes() {
      return bytesOf(backlogRecords())
    },
    get drainSeconds() {
      return drainSeconds()
    },
    get window() {
      return window.records
    },
    get inFlight() {
      return live.flights.length + backlog.flights.length
    },
  }
}
