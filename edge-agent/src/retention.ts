/**
 * Room in a spool that is nearly full: the oldest unsent records are made coarser, and at last shed.
 *
 * Guarantee: at every moment each reading stands in exactly one record, or in exactly one tombstone that is on the disk; what is left of it in
 * windows stands beside that tombstone. The order of the two steps is what makes it so:
 *   1. one record with the windows, what is carried on, and the tombstones of all that goes, is appended: durable;
 *   2. what went is discarded.
 * A crash between them leaves both; `finishGivingUp` does the second step before anything is sent.
 */
import type { Batch, Tombstone } from '@tributary/protocol'
import { type Logger, messageOf } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'
import type { EventTime } from './event-time.ts'
import type { RecordClaims } from './record-claims.ts'
import { createRemains, type RecordContent, SEVERITY_MAX, type Severity } from './remains.ts'
import { isGivenUp } from './tombstones.ts'

const READ_BYTES = 256 * 1024
/** Above this share of the budget room is made before it is needed. */
const HIGH_MARK = 0.9
/** What is left must be this much smaller than what goes, or it is made coarser still. */
const GAIN_MIN = 2
/** More losses than this are told first, in a record of their own. */
const LOSSES_MAX = 100
/** Steps in a row for one batch that finds no room. */
const STEPS_MAX = 256
/** An attempt reads a whole segment: after failures in a row so many calls at most pass without one. */
const PASSES_MAX = 60

/** Appends records of the agent's own, in their turn; they may use the spool's reserve. */
export interface OwnRecords {
  encode(content: RecordContent): Uint8Array
  append(bytes: Uint8Array, content: RecordContent): Promise<void>
}

export interface Retention {
  /**
   * Makes room when it is scarce. Called before each append, while no other is under way.
   * @param refused the spool had no room
   * @returns whether anything was let go of
   */
  makeRoom(own: OwnRecords, refused: boolean): Promise<boolean>
}

export interface RetentionOptions {
  readonly bytesMax: number
  readonly segmentBytesMax: number
  readonly keepLast: readonly string[]
  readonly bootId: string
}

export interface RetentionDependencies {
  readonly spool: Spool
  readonly claims: RecordClaims
  /** What the spool lost. */
  readonly losses: () => Promise<Tombstone[]>
  /** Whose timeline own records are encoded with. */
  readonly eventTime: EventTime
  /** The batch with its times as far as they are known today. */
  readonly corrected: (batch: Batch) => Batch
  readonly log: Logger
  readonly onGivenUp: (reason: string, readings: number) => void
}

export function createRetention(options: RetentionOptions, dependencies: RetentionDependencies): Retention {
  const { bytesMax, segmentBytesMax, bootId } = options
  const { spool, claims, losses, eventTime, corrected, log, onGivenUp } = dependencies
  const keepLast = new Set(options.keepLast)
  const highMark = bytesMax * HIGH_MARK - segmentBytesMax
  /** A remainder this small may stay as large as it is. */
  const smallBytes = segmentBytesMax / 16
  let saying = true
  let failures = 0
  let passes = 0

  const isIn = (ranges: Spool['sentRanges'], sequence: number): boolean =>
    ranges.some(({ from, to }) => from <= sequence && sequence <= to)

  const collect = async (throughSequence: number, severity: Severity) => {
    for (;;) {
      const { timeline } = eventTime
      const collected = await collectOnce(throughSequence, severity)
      const lost = await losses()
      // Else what was collected before the turn would stand in a record that speaks of another time.
      if (eventTime.timeline === timeline) return { ...collected, lost }
    }
  }
  const collectOnce = async (throughSequence: number, severity: Severity) => {
    const remains = createRemains({
      epoch: spool.epoch,
      bootId,
      severity,
      keepLast,
      mayHaveLeft: claims.mayHaveLeft,
      wasSent: (sequence) => isIn(spool.sentRanges, sequence),
      corrected,
    })
    let through = spool.sentThrough
    let bytes = 0
    while (through < throughSequence && bytes < segmentBytesMax && !remains.isFull) {
      const records = await spool.read(through + 1, READ_BYTES)
      // Nothing of it can be read: it is among the losses.
      if ((records[0]?.sequence ?? Number.POSITIVE_INFINITY) > throughSequence) through = throughSequence
      for (const record of records) {
        if (record.sequence > throughSequence || remains.isFull) break
        remains.add(record)
        bytes += record.payload.length
        through = record.sequence
      }
    }
    return { content: remains.finish(), through, bytes }
  }

  /** @returns whether something was let go of */
  const step = async (own: OwnRecords): Promise<boolean> => {
    const oldest = spool.oldestSegmentThrough
    if (oldest === undefined) return false
    const before = spool.bytesUsed
    // What is trimmed behind a loss must be told first; where there is no room even for that, the next batch tells it, if we live.
    if ((spool.untoldFrom ?? Number.POSITIVE_INFINITY) <= spool.sentThrough)
      await losses()
        .then((lost) => tellLosses(own, lost))
        .catch((error) =>
          log.warn({ err: error }, 'what the spool lost cannot be told yet; it is tried again with the next batch'),
        )
    await spool.trim(spool.sentThrough)
    if (oldest <= spool.sentThrough) return spool.bytesUsed < before
    const release = claims.take(oldest)
    if (!release) return false
    try {
      for (let severity: Severity = 0; ; severity = (severity + 1) as Severity) {
        const { content, through, bytes, lost } = await collect(oldest, severity)
        if (lost.length > LOSSES_MAX) {
          await tellLosses(own, lost)
          return true
        }
        const whole = { ...content, tombstones: [...lost, ...content.tombstones] }
        if (Object.values(whole).every((parts) => parts.length === 0)) {
          await spool.discard(through)
          return true
        }
        const encoded = tryEncode(own, whole)
        const fits = encoded && encoded.length <= Math.max(bytes / GAIN_MIN, smallBytes)
        if (!encoded || (!fits && severity < SEVERITY_MAX)) {
          if (severity < SEVERITY_MAX) continue
          return false
        }
        // 1. Durable: what is left, and the tombstones of what goes.
        await own.append(encoded, whole)
        if (lost.length > 0) spool.lossesReported()
        for (const { reason, readingCount } of content.tombstones)
          if (isGivenUp(reason)) onGivenUp(reason, readingCount)
        // 2. What went.
        await discarding(spool, through, log)
        return true
      }
    } finally {
      release()
    }
  }
  const tellLosses = async (own: OwnRecords, tombstones: Tombstone[]) => {
    const content = { blocks: [], deadLetters: [], tombstones, rollups: [] }
    await own.append(own.encode(content), content)
    spool.lossesReported()
  }
  const tryEncode = (own: OwnRecords, content: RecordContent): Uint8Array | undefined => {
    try {
      return own.encode(content)
    } catch (error) {
      log.warn({ err: error }, 'what is left of old records does not fit into one; more of it is given up')
      return undefined
    }
  }
  return {
    async makeRoom(own, refused) {
      if (!refused && spool.bytesUsed <= highMark) {
        saying = true
        return false
      }
      if (passes > 0) {
        passes -= 1
        return false
      }
      const before = spool.bytesUsed
      let made = false
      try {
        for (let steps = 0; steps < (refused ? STEPS_MAX : 1) && (await step(own)); steps++) {
          if (saying)
            log.warn(
              { bytesUsed: spool.bytesUsed, bytesMax },
              'the spool is nearly full: the oldest readings are rolled up, and shed at last; raise spool.budget, or see why the gateway takes nothing',
            )
          saying = false
          made = true
          if (spool.bytesUsed < before) break
        }
        failures = 0
      } catch (error) {
        const detail = `no room could be made in the spool: ${messageOf(error)}; it is tried again`
        log[failures === 0 ? 'warn' : 'debug']({ err: error }, detail)
        failures += 1
        passes = Math.min(2 ** failures, PASSES_MAX)
      }
      return made
    },
  }
}

/**
 * Discards what the newest records say was given up: a process before this one died before it could.
 * @param tombstones of the spool's newest records
 */
export async function finishGivingUp(spool: Spool, tombstones: readonly Tombstone[], log: Logger): Promise<void> {
  const gone = tombstones
    .filter(({ reason }) => isGivenUp(reason))
    .map(({ fromSequence, toSequence }) => ({ from: fromSequence, to: toSequence }))
  const ranges = [...gone, ...spool.sentRanges]
  let through = spool.sentThrough
  for (let found = true; found; ) {
    const next = ranges.find(({ from, to }) => from <= through + 1 && to > through)
    found = next !== undefined
    if (next) through = next.to
  }
  if (through === spool.sentThrough || !gone.some(({ to }) => to > spool.sentThrough)) return
  log.info({ fromSequence: spool.sentThrough + 1, toSequence: through }, 'what was given up before is let go of')
  await discarding(spool, through, log)
}

/** Where the cursor cannot be written it holds while the process lives; after a restart the tombstones are found again. */
const discarding = (spool: Spool, through: number, log: Logger): Promise<void> =>
  spool
    .discard(through)
    .catch((error) => log.warn({ err: error }, 'the cursor of the spool could not be written; it is tried again'))
