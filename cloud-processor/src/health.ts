/** The processor's own health: a kind like any other, sent along the same path, so that one data source serves all dashboards. */
import { randomBytes } from 'node:crypto'
import {
  BATCH_FORMAT_VERSION,
  type DeviceBlock,
  encodeBatch,
  type FieldColumn,
  telemetrySubject,
} from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'

export type HealthValues = Readonly<Record<string, number | string | undefined>>

export interface HealthReporter {
  /** One batch with one sample of kind `processor_health`. */
  next(values: HealthValues): { subject: string; bytes: Uint8Array; id: string }
}

/** Each start is an epoch of its own: nothing of the one before is waited for. */
export function createHealthReporter(site: string, processor: string, clock: Clock): HealthReporter {
  const epoch = randomBytes(8).toString('hex')
  let sequence = 0
  let readingsTotal = 0
  return {
    next(values) {
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
        tombstones: [],
        rollups: [],
      })
      return { subject: telemetrySubject(site, processor), bytes, id: `${processor}/${epoch}/${sequence}` }
    },
  }
}
