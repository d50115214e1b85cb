/** What the agent knows again after a restart, read from the newest records of its spool. */
import { type BatchHeader, decodeBatch, decodeHeader, type Tombstone } from '@tributary/protocol'
import { type Logger, messageOf } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'
import type { Timeline } from './event-time.ts'
import type { RepeatGuard } from './repeat-guard.ts'
import type { FieldValue } from './sample.ts'

/** The uplink trims the spool no further than this many records from its end, so that they are there to be read. */
export const RECORDS_KEPT = 256
const BYTES_MAX = 8 * 1024 * 1024
const READ_BYTES = 1024 * 1024

export interface Recovered {
  readonly readingsTotal: number
  /** By a clock that was trusted. */
  readonly completeThroughMs: number
  /** By boot: the latest time seen on its monotonic clock, and what was stamped then. */
  readonly boots: ReadonlyMap<string, { readonly monotonicMs: number; readonly timeline: Timeline }>
  /** By device and kind: the last time that the agent stamped, on the monotonic clock of that boot. */
  readonly stamps: ReadonlyMap<string, Stamped>
  /** Those in the newest records. */
  readonly tombstones: readonly Tombstone[]
}

export interface Stamped {
  readonly device: string
  readonly kind: string
  readonly bootId: string
  readonly monotonicMs: number
}

export async function recover(spool: Spool, guard: RepeatGuard, log: Logger): Promise<Recovered> {
  const payloads = await newestPayloads(spool)
  let readingsTotal = 0
  let completeThroughMs = 0
  const boots = new Map<string, { monotonicMs: number; timeline: Timeline }>()
  const stamps = new Map<string, Stamped>()
  const tombstones: Tombstone[] = []
  for (const payload of payloads) {
    try {
      const header = decodeHeader(payload)
      const timeline = timelineOf(header)
      if (header.epoch === spool.epoch) {
        readingsTotal = header.readingsTotal
        if (header.clockQuality === 'trusted') completeThroughMs = header.completeThroughMs
      }
      if (timeline) boots.set(header.bootId, { monotonicMs: header.monotonicMs, timeline })
      const batch = decodeBatch(payload)
      tombstones.push(...batch.tombstones)
      for (const block of batch.blocks) {
        const lastMs = block.timesMs.at(-1)
        if (timeline && block.stampedByAgent && lastMs !== undefined) {
          const { device, kind } = block
          const monotonicMs = lastMs - timeline.offsetMs
          stamps.set(`${device} ${kind}`, { device, kind, bootId: header.bootId, monotonicMs })
        }
        for (let i = 0; i < block.timesMs.length; i++) {
          const names: string[] = []
          const values: FieldValue[] = []
          let sequence: number | undefined
          for (const column of block.columns) {
            if (column.present && column.present[i] !== 1) continue
            const raw = column.values[i] as number | string
            const value = column.type === 'boolean' ? raw === 1 : raw
            names.push(column.field)
            values.push(value)
            if (column.field === 'sequence' && Number.isSafeInteger(value) && (value as number) >= 0)
              sequence = value as number
          }
          const { device, kind } = block
          guard.remember({ device, kind, measuredAtMs: undefined, sequence, names, values }, block.timesMs[i] as number)
        }
      }
    } catch (error) {
      log.warn({ err: error }, `a record of the spool is no batch of this version: ${messageOf(error)}`)
    }
  }
  // The last batches may be gone; how many readings they had is known by this, up to a second before the end.
  readingsTotal = Math.max(readingsTotal, spool.total ?? 0)
  return { readingsTotal, completeThroughMs, boots, stamps, tombstones }
}

/** @returns undefined for records of a format without monotonic times */
export function timelineOf({
  formatVersion,
  createdAtMs,
  monotonicMs,
  clockQuality,
}: BatchHeader): Timeline | undefined {
  if (formatVersion < 2 || !Number.isInteger(createdAtMs - monotonicMs)) return undefined
  return { offsetMs: createdAtMs - monotonicMs, quality: clockQuality === 'trusted' ? 'trusted' : 'untrusted' }
}

/** Oldest first; at most `RECORDS_KEPT` records, and no more once there are `BYTES_MAX` bytes. */
async function newestPayloads(spool: Spool): Promise<Uint8Array[]> {
  const step = 32
  let payloads: Uint8Array[] = []
  let bytes = 0
  for (let end = spool.nextSequence; end > spool.firstSequence && payloads.length < RECORDS_KEPT; end -= step) {
    const chunk: Uint8Array[] = []
    let from = Math.max(spool.firstSequence, end - step)
    while (from < end) {
      const records = await spool.read(from, READ_BYTES)
      if (records.length === 0) break
      for (const { sequence, payload } of records) {
        if (sequence < end) chunk.push(payload)
        from = sequence + 1
      }
    }
    payloads = [...chunk, ...payloads]
    bytes += chunk.reduce((sum, payload) => sum + payload.length, 0)
    if (bytes > BYTES_MAX) break
  }
  return payloads
}
