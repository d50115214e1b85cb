/** What an edit makes of a device's record. Pure; times are handed in. */
import {
  ALWAYS_MS,
  type DeviceEntry,
  type DeviceRecord,
  type DeviceThreshold,
  isSameRecord,
  type Placement,
  placementAt,
  withLimits,
  withPlacement,
} from '@tributary/cloud-processor'

/** What `set` was told; what is absent stays as it is. */
export interface DeviceChange {
  readonly site?: string
  readonly line?: string
  readonly name?: string
  readonly location?: string
  /** They stand in for the device's limits of the same fields, of a kind when they say one. */
  readonly thresholds?: readonly DeviceThreshold[]
  readonly clearThresholds?: boolean
}

const BLANK: Placement = { fromMs: ALWAYS_MS, line: '', name: '', location: '', thresholds: [] }

/**
 * A change of site is a move: it is in force from `fromMs`, else from now. Everything else without `fromMs` is a correction: it
 * counts for all of the time that the device has stood where it stands.
 */
export function changeDevice(
  record: DeviceRecord | undefined,
  change: DeviceChange,
  { fromMs, nowMs }: { fromMs: number | undefined; nowMs: number },
): DeviceRecord {
  const { removed, ...base } = placementAt(record, fromMs ?? nowMs) ?? BLANK
  const { thresholds, clearThresholds, ...texts } = change
  const moves = removed === true || (texts.site !== undefined && texts.site !== base.site)
  const kept = clearThresholds ? [] : base.thresholds
  return withPlacement(record, {
    ...base,
    ...texts,
    thresholds: withLimits(kept, thresholds ?? []),
    fromMs: fromMs ?? (moves ? nowMs : base.fromMs),
  })
}

/** From then on the device is at its gateway's site; what was measured before keeps its place. */
export const removeDevice = (record: DeviceRecord, fromMs: number): DeviceRecord => {
  const before = { ...record, placements: record.placements.filter((placement) => placement.fromMs < fromMs) }
  return withPlacement(before, { ...BLANK, fromMs, removed: true })
}

/**
 * All entries that a file has of one device. A single one without `from` says how the device stands now: another site than the
 * one that is known is a move, now. Several, or those with `from`, are history, and one without `from` has always been so.
 */
export function importDevice(
  record: DeviceRecord | undefined,
  entries: readonly DeviceEntry[],
  nowMs: number,
): DeviceRecord {
  const [first] = entries
  const now = placementAt(record, nowMs)
  if (entries.length === 1 && first?.from === undefined && record !== undefined) {
    const { device: _, from: __, ...placement } = first as DeviceEntry
    const stays = now !== undefined && now.site === placement.site && now.removed === placement.removed
    const next = withPlacement(record, { ...placement, fromMs: stays ? now.fromMs : nowMs })
    return isSameRecord(next, record) ? record : next
  }
  return entries.reduce<DeviceRecord | undefined>((before, { device: _, from, ...placement }) => {
    return withPlacement(before, { fromMs: from ?? ALWAYS_MS, ...placement })
  }, record) as DeviceRecord
}
