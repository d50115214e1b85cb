/**
 * What the registry knows of a device, as of event time: placements, each in force from its time on until the next one. A
 * reading belongs to the placement that was in force when it was measured; before the first one, to its gateway's site.
 */
import { isDeepStrictEqual } from 'node:util'
import { isName, NAME_RULE, thresholdSchema } from '@tributary/protocol'
import { z } from 'zod'

/** Placements of a device; at the limit the two oldest become one: the second of them counts for the time of the first, too. */
export const PLACEMENTS_MAX = 16
/** `from` of what has always been so. */
export const ALWAYS_MS = -8_640_000_000_000_000
const TEXT_MAX = 200

const name = () => z.string().refine(isName, NAME_RULE)
const text = () => z.string().max(TEXT_MAX, `must be at most ${TEXT_MAX} characters`).default('')
const FROM_RULE = 'must be a time with its zone, such as "2026-05-01T08:00:00Z"'

/** A time that a person wrote → milliseconds since 1970. Local times without a zone are refused: it would depend on the machine. */
export const instant = () =>
  z
    .string(FROM_RULE)
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/, FROM_RULE)
    .transform((written) => Date.parse(written))
    .refine(Number.isFinite, FROM_RULE)

const deviceThreshold = thresholdSchema.safeExtend({ kind: z.string().optional() })
/** A limit of this device alone: it stands in for all limits that the contract has for the field. */
export type DeviceThreshold = z.output<typeof deviceThreshold>

const attributes = {
  /** Where it stands, when that is not the site of the gateway that it reports through. */
  site: name().optional(),
  line: text(),
  /** What people call it. */
  name: text(),
  location: text(),
  thresholds: z.array(deviceThreshold).max(50).default([]),
  /** It was taken out of the registry: from then on it is at its gateway's site, without a name. */
  removed: z.literal(true).optional(),
}

/** One entry of a file: a device may have several, each with another `from`. */
export const deviceEntrySchema = z.strictObject({ device: name(), from: instant().optional(), ...attributes })
export type DeviceEntry = z.output<typeof deviceEntrySchema>

const placementSchema = z.strictObject({ fromMs: z.int().min(ALWAYS_MS), ...attributes })
/** In force for what is measured at `fromMs` and later. */
export type Placement = z.output<typeof placementSchema>

/** As it is stored: ascending and without two of one time. */
export const deviceRecordSchema = z.strictObject({
  version: z.literal(1),
  placements: z
    .array(placementSchema)
    .min(1)
    .max(PLACEMENTS_MAX)
    .refine((all) => all.every(({ fromMs }, i) => i === 0 || fromMs > (all[i - 1] as Placement).fromMs), 'must ascend'),
})
export interface DeviceRecord {
  readonly version: 1
  readonly placements: readonly Placement[]
}

/** @returns undefined before the first placement, and for a device that the registry does not know */
export function placementAt(record: DeviceRecord | undefined, timeMs: number): Placement | undefined {
  if (record === undefined) return undefined
  const { placements } = record
  for (let i = placements.length - 1; i >= 0; i--)
    if ((placements[i] as Placement).fromMs <= timeMs) return placements[i]
  return undefined
}

/** With one more placement; one of the same time is replaced. */
export function withPlacement(record: DeviceRecord | undefined, placement: Placement): DeviceRecord {
  const others = (record?.placements ?? []).filter(({ fromMs }) => fromMs !== placement.fromMs)
  const placements = [...others, placement].sort((a, b) => a.fromMs - b.fromMs)
  while (placements.length > PLACEMENTS_MAX) {
    const [oldest, second] = placements.splice(0, 2) as [Placement, Placement]
    placements.unshift({ ...second, fromMs: oldest.fromMs })
  }
  return { version: 1, placements }
}

/** At each time what stands above, and where that says nothing of a site, a text or a field's limits, what stands beneath. */
export function overlaid(beneath: DeviceRecord | undefined, above: DeviceRecord): DeviceRecord {
  if (beneath === undefined) return above
  const times = new Set([...beneath.placements, ...above.placements].map(({ fromMs }) => fromMs))
  return [...times].reduce<DeviceRecord | undefined>((record, fromMs) => {
    const low = placementAt(beneath, fromMs)
    const high = placementAt(above, fromMs)
    if (low === undefined || low.removed || high === undefined || high.removed)
      return withPlacement(record, { ...((high ?? low) as Placement), fromMs })
    return withPlacement(record, {
      ...low,
      ...(high.site === undefined ? {} : { site: high.site }),
      fromMs,
      line: high.line || low.line,
      name: high.name || low.name,
      location: high.location || low.location,
      thresholds: withLimits(low.thresholds, high.thresholds),
    })
  }, undefined) as DeviceRecord
}

/** Limits of a field replace those that there were of it; of another kind's field of that name only if one of them says no kind. */
export const withLimits = (before: readonly DeviceThreshold[], more: readonly DeviceThreshold[]): DeviceThreshold[] => [
  ...before.filter(
    ({ field, kind }) => !more.some((one) => one.field === field && (one.kind ?? kind) === (kind ?? one.kind)),
  ),
  ...more,
]

/** Entries of a file → records by device. An entry without `from` has always been so. */
export function recordsOf(entries: readonly DeviceEntry[]): Map<string, DeviceRecord> {
  const records = new Map<string, DeviceRecord>()
  for (const { device, from, ...rest } of entries)
    records.set(device, withPlacement(records.get(device), { fromMs: from ?? ALWAYS_MS, ...rest }))
  return records
}

/** A record as entries, as a file has them. */
export const entriesOf = (device: string, { placements }: DeviceRecord): object[] =>
  placements.map(({ fromMs, thresholds, ...rest }) => ({
    device,
    ...(fromMs === ALWAYS_MS ? {} : { from: new Date(fromMs).toISOString() }),
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== '' && value !== undefined)),
    ...(thresholds.length === 0 ? {} : { thresholds }),
  }))

export const isSameRecord = (a: DeviceRecord | undefined, b: DeviceRecord | undefined): boolean =>
  a === b || isDeepStrictEqual(a, b)
