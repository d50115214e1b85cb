/**
 * From deliveries to records in the spool.
 *
 * Guarantee: `onStored` of a delivery is called only after everything in it (samples, dead letters, and the samples that it repeats)
 * survives a power cut; in the order of the deliveries. So whatever acknowledges from `onStored` acknowledges what is on disk.
 *
 * One append is under way at a time: a batch carries its own sequence inside, and the spool gives a sequence only to what it
 * takes. While one is being synced the next batch grows; that is the group commit. When the spool is full the batch
 * waits, a few more queue up behind it, and then `accept` says no: inputs that can be told hold their senders back, the others shed.
 */
import {
  BATCH_FORMAT_VERSION,
  type BatchHeader,
  countReadings,
  countSamples,
  encodeBatch,
  TOMBSTONES_PER_BATCH_MAX,
  type Tombstone,
} from '@tributary/protocol'
import { type Clock, type Logger, messageOf } from '@tributary/runtime'
import { type Spool, SpoolFullError } from '@tributary/spool'
import { type BatchContent, type Batcher, createBatcher } from './batcher.ts'
import type { CompleteThrough } from './complete-through.ts'
import { createDeadLetterBudget } from './dead-letter-budget.ts'
import { encodeContent } from './encode-content.ts'
import type { EventTime, Timeline } from './event-time.ts'
import type { RecordContent } from './remains.ts'
import type { RepeatGuard } from './repeat-guard.ts'
import type { OwnRecords, Retention } from './retention.ts'
import type { Delivery } from './sample.ts'
import type { Stamper } from './stamper.ts'

/** Closed batches that may wait for the disk, besides the one being written. */
const WAITING_BATCHES_MAX = 4
const RETRY_MS = 1_000

export interface BatchWriterOptions {
  readonly agent: string
  readonly bootId: string
  readonly ageMs: number
  readonly readings: number
  /** What comes so long after the last sync does not wait for others to share its own: the disk syncs no more often than the spool lets it. */
  readonly durabilityMs?: number
  /** Readings in the epoch so far. */
  readonly readingsTotal: number
  /** What it promised last, by a clock that is trusted. */
  readonly completeThroughMs: number
}

export interface BatchWriterDependencies {
  readonly spool: Spool
  readonly guard: RepeatGuard
  readonly stamper: Stamper
  readonly completeThrough: CompleteThrough
  /** Times of deliveries are event times. */
  readonly eventTime: EventTime
  /** See `CompleteThrough.next`. */
  readonly pendingSinceMs: () => number[]
  readonly tombstones: () => Promise<Tombstone[]>
  readonly retention: Retention
  readonly clock: Clock
  readonly log: Logger
  /** Called for each batch on disk: counts. */
  readonly onBatch: (content: BatchContent, bytes: number, header: BatchHeader) => void
}

export interface WriterTotals {
  /** In the epoch, on disk. */
  readingsTotal: number
  samples: number
  repeatedSamples: number
  deadLetters: number
  deadLetteredReadings: number
  shedReadings: number
}

export interface Accepted {
  readonly newSamples: number
  readonly newReadings: number
}

export interface BatchWriter {
  readonly totals: Readonly<WriterTotals>
  /** Since when the spool takes nothing, monotonic clock; undefined while it does. */
  readonly fullSinceMs: number | undefined
  /** @returns undefined when there is no room: nothing was taken; wait for `whenRoom`, or `shed` */
  accept(input: string, delivery: Delivery, onStored?: () => void): Accepted | undefined
  /** Counts a delivery that cannot wait and does not fit; it becomes part of a dead letter with reason `spool_full`. */
  shed(input: string, delivery: Delivery): void
  /** Calls back once, as soon as there is room; the returned function takes that back. */
  whenRoom(callback: () => void): () => void
  /** Closes the open batch without waiting for its age: senders are waiting for their acknowledgement. */
  hurry(): void
  /** The same, and the disk does not wait either: as much waits as we let wait, so that the sync is worth it. */
  hurryDisk(): void
  /** Resolves when everything accepted so far is on disk. */
  flush(signal: AbortSignal): Promise<void>
  /** Gives up on a spool that takes nothing. */
  stop(): void
}

interface ClosedBatch {
  readonly content: BatchContent
  readonly completeThroughMs: number
  readonly timeline: Timeline
  readonly onStored: readonly (() => void)[]
}

export function createBatchWriter(options: BatchWriterOptions, dependencies: BatchWriterDependencies): BatchWriter {
  const { spool, guard, stamper, completeThrough, eventTime, retention, clock, log } = dependencies
  const budget = createDeadLetterBudget(() => clock.monotonicMs())
  const stopping = new AbortController()
  const totals: WriterTotals = {
    readingsTotal: options.readingsTotal,
    samples: 0,
    repeatedSamples: 0,
    deadLetters: 0,
    deadLetteredReadings: 0,
    shedReadings: 0,
  }
  let open: Batcher = createBatcher()
  let onStored: (() => void)[] = []
  let cancelAge: (() => void) | undefined
  let due = false
  const closed: ClosedBatch[] = []
  let writing = false
  let diskHurried = false
  let syncedAtMs = Number.NEGATIVE_INFINITY
  let fullSinceMs: number | undefined
  const roomCallbacks = new Set<() => void>()
  /** What is on disk promises. */
  const promisedThroughMs = { trusted: options.completeThroughMs, untrusted: 0 }

  const close = () => {
    due = false
    for (const letter of budget.takeSummaries()) {
      if (!open.addDeadLetter(letter)) {
        pushClosed(false)
        open.addDeadLetter(letter)
      }
    }
    if (!open.isEmpty || onStored.length > 0) pushClosed(true)
  }
  /** @param isAll nothing of the deliveries so far is still in a summary: they are stored with this batch */
  const pushClosed = (isAll: boolean) => {
    cancelAge?.()
    cancelAge = undefined
    due = false
    const { timeline } = eventTime
    const closedAtMs = eventTime.at(clock.monotonicMs())
    const completeThroughMs = completeThrough.next(closedAtMs, dependencies.pendingSinceMs(), timeline.quality)
    closed.push({ content: open.finish(), completeThroughMs, timeline, onStored: isAll ? onStored : [] })
    open = createBatcher()
    if (isAll) onStored = []
  }
  const becomeDue = () => {
    due = true
    advance()
  }
  /** Writes what is closed, or closes what is due; one batch at a time. */
  const advance = () => {
    // The next batch is as large as it may be: the one before it has no others to share its sync with.
    if (writing && closed.length > 0) spool.hurry()
    if (writing || stopping.signal.aborted) return
    if (closed.length === 0 && (due || open.readingCount >= options.readings)) close()
    const next = closed.shift()
    if (!next) return
    writing = true
    write(next)
      .then(() => {
        for (const stored of next.onStored) stored()
      })
      .catch((error) => {
        if (!stopping.signal.aborted) log.error({ err: error }, 'a batch was lost: it could not be written')
      })
      .finally(() => {
        writing = false
        // A copy: who finds no room after all waits again, in the set that is being gone through.
        for (const callback of [...roomCallbacks]) if (hasRoom()) callback()
        advance()
      })
  }
  const hasRoom = () => closed.length < WAITING_BATCHES_MAX
  const write = async ({ content, completeThroughMs, timeline }: ClosedBatch): Promise<void> => {
    await retention.makeRoom(ownRecords, false)
    for (;;) {
      const tombstones = await tombstonesNow()
      if (content.sampleCount === 0 && content.deadLetters.length === 0 && tombstones.length === 0) return
      const header = headerFor(content, completeThroughMs, timeline)
      const bytes = encodeContent(header, content, tombstones, log)
      const problem = await append(bytes, totals.readingsTotal + content.readingCount)
      if (problem === undefined) {
        promisedThroughMs[timeline.quality] = completeThroughMs
        totals.readingsTotal += content.readingCount
        totals.samples += content.sampleCount
        if (tombstones.length > 0) spool.lossesReported()
        dependencies.onBatch(content, bytes.length, header)
        return
      }
      // What makes room takes a sequence: the batch is encoded anew.
      if (problem === 'full' && (await retention.makeRoom(ownRecords, true))) continue
      await waitAfter(problem)
    }
  }
  /** With the sequence of the next append. */
  const headerFor = (
    { sampleCount, readingCount }: Pick<BatchContent, 'sampleCount' | 'readingCount'>,
    completeThroughMs: number,
    timeline: Timeline,
  ): BatchHeader => {
    // Whole milliseconds: their difference is the offset that the readings were stamped with, and that they are corrected by.
    const monotonicMs = Math.floor(clock.monotonicMs())
    return {
      formatVersion: BATCH_FORMAT_VERSION,
      agent: options.agent,
      epoch: spool.epoch,
      sequence: spool.nextSequence,
      lane: 'live',
      createdAtMs: monotonicMs + timeline.offsetMs,
      completeThroughMs,
      bootId: options.bootId,
      clockQuality: timeline.quality,
      sampleCount,
      readingCount,
      readingsTotal: totals.readingsTotal + readingCount,
      backlogBatches: 0,
      backlogBytes: 0,
      drainSeconds: 0,
      monotonicMs,
    }
  }
  const countsOf = (content: RecordContent) => ({
    sampleCount: countSamples(content.blocks),
    readingCount: countReadings(content),
  })
  /** They promise nothing new: what is carried on is older than what was promised before. */
  const ownRecords: OwnRecords = {
    encode(content) {
      const { timeline } = eventTime
      const header = headerFor(countsOf(content), promisedThroughMs[timeline.quality], timeline)
      return encodeBatch({ header, ...content })
    },
    async append(bytes, content) {
      const readingsTotal = totals.readingsTotal + countsOf(content).readingCount
      await spool.append(bytes, { reserve: true, total: readingsTotal })
      totals.readingsTotal = readingsTotal
    },
  }
  /** They are read from the spool, which may fail; then they wait for a later batch. */
  const tombstonesNow = async (): Promise<Tombstone[]> => {
    try {
      return (await dependencies.tombstones()).slice(0, TOMBSTONES_PER_BATCH_MAX)
    } catch (error) {
      log.warn({ err: error }, 'what the spool lost cannot be told yet; it is tried again with the next batch')
      return []
    }
  }
  /** @returns why it could not be appended */
  const append = async (bytes: Uint8Array, readingsTotal: number): Promise<'full' | Error | undefined> => {
    try {
      const appended = spool.append(bytes, { total: readingsTotal })
      const { durabilityMs } = options
      const isRested = durabilityMs !== undefined && clock.monotonicMs() - syncedAtMs >= durabilityMs
      if (diskHurried || isRested || closed.length > 0) spool.hurry()
      diskHurried = false
      await appended
      syncedAtMs = clock.monotonicMs()
      if (fullSinceMs !== undefined)
        log.info({ fullForMs: clock.monotonicMs() - fullSinceMs }, 'the spool takes batches again')
      fullSinceMs = undefined
      return undefined
    } catch (error) {
      if (error instanceof SpoolFullError) return 'full'
      return error instanceof Error ? error : new Error(messageOf(error))
    }
  }
  const waitAfter = async (problem: 'full' | Error): Promise<void> => {
    if (fullSinceMs === undefined) {
      fullSinceMs = clock.monotonicMs()
      const hint =
        'senders that wait for an acknowledgement are held back, readings of all others are shed and counted; raise spool.budget, free disk space, or see why the gateway takes nothing'
      if (problem === 'full') log.error({ hint }, 'the spool is full, and nothing in it can make room')
      else log.error({ err: problem, hint }, `the spool cannot be written: ${problem.message}`)
    }
    await clock.sleep(RETRY_MS, stopping.signal)
  }
  const roll = () => {
    pushClosed(!budget.hasSummaries)
    advance()
  }
  eventTime.onTurn((shiftMs, turnedAtMs) => {
    close()
    advance()
    stamper.shift(shiftMs)
    completeThrough.turned(turnedAtMs)
  })
  return {
    totals,
    get fullSinceMs() {
      return fullSinceMs
    },
    accept(input, delivery, stored) {
      if (!hasRoom() || stopping.signal.aborted) return undefined
      let newSamples = 0
      let newReadings = 0
      for (const sample of delivery.samples) {
        if (guard.isRepeat(sample)) {
          totals.repeatedSamples++
          continue
        }
        const timeMs = sample.measuredAtMs ?? stamper.stamp(sample.device, sample.kind, delivery.receivedAtMs)
        if (!open.add(sample, timeMs)) {
          roll()
          open.add(sample, timeMs)
        }
        newSamples++
        newReadings += sample.names.length
      }
      for (const refusal of delivery.refusals) {
        totals.deadLetters++
        totals.deadLetteredReadings += refusal.readingCount
        const letter = budget.admit(input, refusal, delivery.receivedAtMs)
        if (letter && !open.addDeadLetter(letter)) {
          roll()
          open.addDeadLetter(letter)
        }
      }
      if (stored) onStored.push(stored)
      if (!open.isEmpty || onStored.length > 0 || budget.hasSummaries)
        cancelAge ??= clock.after(options.ageMs, becomeDue)
      if (open.readingCount >= options.readings) advance()
      return { newSamples, newReadings }
    },
    shed(input, delivery) {
      const readingCount =
        delivery.samples.reduce((sum, sample) => sum + sample.names.length, 0) +
        delivery.refusals.reduce((sum, refusal) => sum + refusal.readingCount, 0)
      totals.shedReadings += readingCount
      const refusal = { device: '', reason: 'spool_full', detail: '', original: new Uint8Array(0), readingCount }
      budget.admit(input, refusal, delivery.receivedAtMs)
    },
    whenRoom(callback) {
      const once = () => {
        roomCallbacks.delete(once)
        callback()
      }
      if (hasRoom()) {
        const cancel = clock.after(0, once)
        return () => {
          cancel()
        }
      }
      roomCallbacks.add(once)
      return () => roomCallbacks.delete(once)
    },
    hurry: becomeDue,
    hurryDisk() {
      diskHurried = true
      if (writing) spool.hurry()
      becomeDue()
    },
    flush(signal) {
      if (open.isEmpty && onStored.length === 0 && closed.length === 0 && !writing && !budget.hasSummaries)
        return Promise.resolve()
      return new Promise((resolve, reject) => {
        const onAbort = () => reject(signal.reason)
        if (signal.aborted) {
          onAbort()
          return
        }
        signal.addEventListener('abort', onAbort, { once: true })
        onStored.push(() => {
          signal.removeEventListener('abort', onAbort)
          resolve()
        })
        becomeDue()
      })
    },
    stop() {
      stopping.abort(new DOMException('the agent stops', 'AbortError'))
      cancelAge?.()
      const readings = closed.reduce((sum, batch) => sum + batch.content.readingCount, open.readingCount)
      if (writing || readings > 0)
        log.error({ readings }, 'stopped before everything was on disk; what no sender keeps is lost')
    },
  }
}
