/** Series, interned: everything that a (site, device, kind) needs on the hot path is built once, at its first sample. */
import { type Contract, type ContractField, storedType, windowName, windowWidthsOf } from '@tributary/protocol'
import type { Counter } from './counter.ts'
import type { Detector, DetectorState, SilenceDetector, SilenceState } from './detectors/index.ts'
import { silenceFor } from './detectors/index.ts'
import { NO_LIMITS, watchesFor } from './device-limits.ts'
import type { DeviceThreshold } from './device-record.ts'
import { fieldKey, linePrefix } from './line-protocol.ts'
import { createShape, type SavedShape, type Shape } from './shape.ts'
import { createWindows, type RowShape, type Windows } from './window.ts'
import { SHARE_NAMES, type WindowKeys } from './window-lines.ts'

export interface Watch {
  readonly detector: Detector<DetectorState>
  readonly state: DetectorState
}

export interface FieldSeries {
  readonly name: string
  /** In the store. */
  readonly type: 'float' | 'integer' | 'boolean' | 'string'
  /** Its place in rows and in `fields`. */
  readonly slot: number
  readonly key: Uint8Array
  readonly hasPercentiles: boolean
  /** Its place among the counters of the series. */
  readonly counter: number | undefined
  /** Ten to the power of the contract's decimals. */
  readonly scale: number
  /** The contract's range; infinite when it has none. */
  readonly low: number
  readonly high: number
  /** Newest value that was not refused for its own sake; NaN before the first. For `largest_step`. */
  lastValue: number
  /** Event time of the newest reading that detectors saw. */
  watchedThroughMs: number
  watches: readonly Watch[]
}

export interface DeviceSeries {
  readonly site: string
  readonly device: string
  readonly contract: Contract
  readonly prefix: Uint8Array
  readonly fields: readonly FieldSeries[]
  readonly fieldNamed: ReadonlyMap<string, FieldSeries>
  readonly shape: Shape
  /** `site/agent` that delivered last: its completeness closes the windows. */
  agent: string
  newestMs: number
  /** Where the watermark stood when its last late reading came. */
  lateAtMs: number
  /** When the stream received the last samples of it. */
  heardAtMs: number
  /** The device stands elsewhere now: what still comes of it is history, which nobody judges. */
  left: boolean
  /** The device's own limits, by which its detectors were made. */
  ownThresholds: readonly DeviceThreshold[]
  readonly silence: SilenceDetector | undefined
  readonly silenceState: SilenceState | undefined
  /** undefined when there are too many series to keep windows of all. */
  readonly windows: readonly Windows[] | undefined
  readonly windowPrefixes: readonly Uint8Array[]
  readonly windowKeys: readonly WindowKeys[]
}

/** What a checkpoint kept of a series' detectors. */
export interface SavedWatches {
  readonly silence?: SilenceState | undefined
  readonly ownThresholds?: readonly DeviceThreshold[] | undefined
  readonly fields: Readonly<
    Record<
      string,
      { lastValue: number; watchedThroughMs: number; states: Readonly<Record<string, DetectorState>> } | undefined
    >
  >
}

export const REVISION_KEY = fieldKey('revision')

export function createSeries(
  site: string,
  device: string,
  contract: Contract,
  agent: string,
  {
    saved,
    shape,
    withWindows = true,
  }: { saved?: SavedWatches | undefined; shape?: SavedShape | undefined; withWindows?: boolean } = {},
): DeviceSeries {
  const ownThresholds = saved?.ownThresholds ?? NO_LIMITS
  let counters = 0
  const fields = Object.entries(contract.fields).map(([name, field], slot): FieldSeries => {
    const before = saved?.fields[name]
    return {
      name,
      type: storedType(field),
      slot,
      key: fieldKey(name),
      hasPercentiles: hasPercentiles(field),
      counter: isCounter(field) ? counters++ : undefined,
      scale: 'decimals' in field ? 10 ** field.decimals : 1,
      low: ('range' in field ? field.range?.[0] : undefined) ?? Number.NEGATIVE_INFINITY,
      high: ('range' in field ? field.range?.[1] : undefined) ?? Number.POSITIVE_INFINITY,
      lastValue: before?.lastValue ?? Number.NaN,
      watchedThroughMs: before?.watchedThroughMs ?? Number.NEGATIVE_INFINITY,
      watches: withWindows
        ? watchesFor(contract, ownThresholds, { site, device, field: name }, before?.states ?? {})
        : [],
    }
  })
  const rowShape = shapeOf(contract, fields)
  const silence = withWindows ? silenceFor(contract, { device, kind: contract.kind }) : undefined
  return {
    site,
    device,
    contract,
    prefix: linePrefix(contract.kind, { site, device }),
    fields,
    fieldNamed: new Map(fields.map((field) => [field.name, field])),
    shape: createShape(fields, shape),
    agent,
    newestMs: Number.NEGATIVE_INFINITY,
    lateAtMs: Number.NEGATIVE_INFINITY,
    heardAtMs: Number.NEGATIVE_INFINITY,
    left: false,
    ownThresholds,
    silence,
    silenceState: silence && (saved?.silence ?? silence.start()),
    windows: withWindows ? createWindows(windowWidthsOf(contract), rowShape) : undefined,
    windowPrefixes: windowWidthsOf(contract).map((widthMs) =>
      linePrefix(`${contract.kind}_${windowName(widthMs)}`, { site, device }),
    ),
    windowKeys: fields.map((field) => ({
      type: field.type,
      // One more decimal place than the values have is where most means of few values end.
      scale: field.scale * 10,
      mean: fieldKey(`${field.name}_mean`),
      min: fieldKey(`${field.name}_min`),
      max: fieldKey(`${field.name}_max`),
      count: fieldKey(`${field.name}_count`),
      stddev: fieldKey(`${field.name}_stddev`),
      last: fieldKey(`${field.name}_last`),
      percentiles: field.hasPercentiles ? SHARE_NAMES.map((share) => fieldKey(`${field.name}_${share}`)) : undefined,
      sketched: fieldKey(`${field.name}_sketched`),
      counter: field.counter,
      increase: fieldKey(`${field.name}_increase`),
      rate: fieldKey(`${field.name}_rate`),
      resets: fieldKey(`${field.name}_resets`),
    })),
  }
}

/** Percentiles of what only grows say nothing. */
const hasPercentiles = (field: ContractField): boolean =>
  (field.type === 'float' || field.type === 'integer') && field.role === undefined && field.sensitivity === 'none'
const isCounter = (field: ContractField): boolean =>
  (field.type === 'float' || field.type === 'integer') && field.role === 'counter' && field.sensitivity === 'none'

function shapeOf(contract: Contract, fields: readonly FieldSeries[]): RowShape {
  return {
    fieldCount: fields.length,
    hasSketch: fields.some((field) => field.hasPercentiles),
    counters: fields.flatMap(({ name, slot, counter }): Counter[] => {
      const field = contract.fields[name] as ContractField
      if (counter === undefined) return []
      return [{ slot, wrapsAt: ('wraps_at' in field ? field.wraps_at : undefined) ?? Number.POSITIVE_INFINITY }]
    }),
  }
}
