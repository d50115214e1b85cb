/**
 * The processor's own health: a kind like any other, sent along the same path, so that one data source serves all dashboards. No
 * gateway keeps it, so what is not stored yet is kept here, and sent again when it is asked for.
 */
import { randomBytes } from 'node:crypto'
import {
  BATCH_FORMAT_VERSION,
  type Contract,
  type DeviceBlock,
  encodeBatch,
  type FieldColumn,
  type KeptWatermark,
  type ResendRequest,
  type StoredWatermarks,
  type Tombstone,
  telemetrySubject,
  type WatermarkQuestion,
} from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'
import type { AgentAccount } from './account.ts'

export type HealthValues = Readonly<Record<string, number | string | undefined>>

export interface HealthReport {
  readonly subject: string
  readonly bytes: Uint8Array
}

export interface HealthReporter {
  readonly site: string
  readonly processor: string
  readonly epoch: string
  /** One batch with one sample of kind `processor_health`. @param lost reports of former runs that nobody has any more */
  next(values: HealthValues, lost?: readonly Tombstone[]): HealthReport
  stored(message: StoredWatermarks | undefined): void
  watermark(question: WatermarkQuestion | undefined): KeptWatermark | undefined
  /** Reports in the range that are not stored. */
  again(request: ResendRequest | undefined): HealthReport[]
}

/** An hour of them. Older ones cannot be asked for; what is in the stream still arrives. */
const REPORTS_KEPT_MAX = 360
/** In one report. */
const LOST_MAX = 100
/** A report of a former run that has not come by then does not come. */
const LOST_AFTER_MS = 10_000

/** Each start is an epoch of its own: nothing of the one before is waited for. */
export function createHealthReporter(site: string, processor: string, clock: Clock): HealthReporter {
  const epoch = randomBytes(8).toString('hex')
  const subject = telemetrySubject(site, processor)
  /** Sequence → report, ascending. */
  const reports = new Map<number, Uint8Array>()
  let kept: KeptWatermark = { agent: processor, epoch, sequence: 0 }
  let sequence = 0
  let readingsTotal = 0
  const isOwn = (of: { agent: string; epoch: string }) => of.agent === processor && of.epoch === epoch
  return {
    site,
    processor,
    epoch,
    stored(message) {
      const own = message?.watermarks.find(isOwn)
      if (own === undefined || own.sequence <= kept.sequence) return
      kept = own
      for (const stored of reports.keys()) if (stored <= own.sequence) reports.delete(stored)
    },
    watermark: (question) => (question !== undefined && isOwn(question) ? kept : undefined),
    again: (request) =>
      request === undefined || !isOwn(request)
        ? []
        : [...reports]
            .filter(([number]) => number >= request.fromSequence && number <= request.toSequence)
            .map(([, bytes]) => ({ subject, bytes })),
    next(values, lost = []) {
      const nowMs = Math.floor(clock.wallMs())
      const columns = Object.entries(values).flatMap(([field, value]): FieldColumn[] => {
        if (typeof value === 'string') return [{ field, type: 'string', present: null, values: [value] }]
        if (value === undefined || !Number.isFinite(value)) return []
        return [{ field, type: 'number', present: null, values: Float64Array.of(value) }]
      })
      const block: DeviceBlock = {
        device: processor,
        kind: 'processor_health',
        timesMs: Float64Array.of(nowMs),
        columns,
      }
      sequence += 1
      readingsTotal += columns.length
      const bytes = encodeBatch({
        header: {
          formatVersion: BATCH_FORMAT_VERSION,
          agent: processor,
          epoch,
          sequence,
          lane: 'live',
          createdAtMs: nowMs,
          completeThroughMs: nowMs,
          bootId: epoch,
          clockQuality: 'trusted',
          sampleCount: 1,
          readingCount: columns.length,
          readingsTotal,
          backlogBatches: 0,
          backlogBytes: 0,
          drainSeconds: 0,
          monotonicMs: 0,
        },
        blocks: [block],
        deadLetters: [],
        tombstones: lost.slice(0, LOST_MAX),
        rollups: [],
      })
      reports.set(sequence, bytes)
      const [oldest] = reports.keys()
      if (reports.size > REPORTS_KEPT_MAX && oldest !== undefined) reports.delete(oldest)
      return { subject, bytes }
    },
  }
}

/** What the contract in force knows: one of an earlier release would make dead letters of the rest. */
export const knownTo = (contract: Contract | undefined, values: HealthValues): HealthValues =>
  contract === undefined
    ? values
    : Object.fromEntries(Object.entries(values).filter(([field]) => field in contract.fields))

/** Gaps in the reports of former runs of this processor: who made them is gone, and nobody else has them. */
export function lostReports(
  agents: readonly AgentAccount[],
  { site, processor, epoch }: HealthReporter,
  clock: Clock,
): Tombstone[] {
  const own = agents.find((one) => one.site === site && one.agent === processor)
  return (own?.gaps ?? [])
    .filter((gap) => gap.epoch !== epoch && clock.wallMs() - gap.seenAtMs >= LOST_AFTER_MS)
    .map(({ epoch: former, fromSequence, toSequence, readings }) => ({
      epoch: former,
      fromSequence,
      toSequence,
      readingCount: readings ?? 0,
      reason: 'restarted',
    }))
}
