/** Series, interned: everything that a (site, device, kind) needs on the hot path is built once, at its first sample. */
import type { Contract } from '@tributary/protocol'
import type { Detector, DetectorState, SilenceDetector, SilenceState } from './detectors/index.ts'
import { restoreState, silenceFor } from './detectors/index.ts'
import type { ViolationState } from './detectors/violations.ts'
import { NO_LIMITS, watchesFor } from './device-limits.ts'
import type { DeviceThreshold } from './device-record.ts'
import { type FieldLayout, type KindLayout, layoutOf } from './kind-layout.ts'
import { fieldKey, linePrefix, lineTags } from './line-protocol.ts'
import { createShape, type SavedShape, type Shape } from './shape.ts'
import { createWindows, type Windows } from './window.ts'

export interface Watch {
  readonly detector: Detector<DetectorState>
  readonly state: DetectorState
}

export interface FieldSeries extends FieldLayout {
  /** Newest value that was not refused for its own sake; NaN before the first. For `largest_step`. */
  lastValue: number
  /** Event time of the newest reading that detectors saw. */
  watchedThroughMs: number
  watches: readonly Watch[]
  /** Of readings older than those: made with the first. */
  past: PastWatch | undefined
}

/** What explicit detectors remember of a backlog that live readings overtook. */
export interface PastWatch {
  throughMs: number
  readonly watches: readonly Watch[]
}

export interface DeviceSeries {
  readonly site: string
  readonly device: string
  readonly contract: Contract
  readonly layout: KindLayout
  readonly prefix: Uint8Array
  /** By slot. */
  readonly fields: readonly FieldSeries[]
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
  /** Refused readings, while there is a limit of them. */
  violations: ViolationState | undefined
  /** The device's own limits, by which its detectors were made. */
  ownThresholds: readonly DeviceThreshold[]
  readonly silence: SilenceDetector | undefined
  readonly silenceState: SilenceState | undefined
  /** undefined when there are too many series to keep windows of all. */
  readonly windows: readonly Windows[] | undefined
  readonly windowPrefixes: readonly Uint8Array[]
}

/** What a checkpoint kept of a series' detectors. */
export interface SavedWatches {
  readonly silence?: SilenceState | undefined
  readonly ownThresholds?: readonly DeviceThreshold[] | undefined
  readonly fields: Readonly<
    Record<
      string,
      | {
          lastValue: number
          watchedThroughMs: number
          states: Readonly<Record<string, DetectorState>>
          past?: { throughMs: number; states: Readonly<Record<string, DetectorState>> } | undefined
        }
      | undefined
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
  const layout = layoutOf(contract)
  const fields = layout.fields.map((field): FieldSeries => {
    const before = saved?.fields[field.name]
    const watches = withWindows
      ? watchesFor(contract, ownThresholds, { site, device, field: field.name }, before?.states ?? {})
      : []
    const past = before?.past && {
      throughMs: before.past.throughMs,
      watches: pastWatches(
        watches.map(({ detector }) => detector),
        before.past.states,
      ),
    }
    return {
      // What changes comes first: it lies side by side then.
      lastValue: before?.lastValue ?? Number.NaN,
      watchedThroughMs: before?.watchedThroughMs ?? Number.NEGATIVE_INFINITY,
      watches,
      past,
      ...field,
    }
  })
  const tags = lineTags({ site, device })
  const silence = withWindows ? silenceFor(contract, { device, kind: contract.kind }) : undefined
  return {
    site,
    device,
    contract,
    layout,
    prefix: linePrefix(contract.kind, tags),
    fields,
    shape: createShape(fields, shape),
    agent,
    newestMs: Number.NEGATIVE_INFINITY,
    lateAtMs: Number.NEGATIVE_INFINITY,
    heardAtMs: Number.NEGATIVE_INFINITY,
    left: false,
    violations: undefined,
    ownThresholds,
    silence,
    silenceState: silence && (saved?.silence ?? silence.start()),
    windows: withWindows ? createWindows(layout.widthsMs, layout.rowShape) : undefined,
    windowPrefixes: layout.windowNames.map((name) => linePrefix(name, tags)),
  }
}

/** Learned detectors take no part: what is usual now says nothing of then. */
export const pastWatches = (
  detectors: readonly Detector<DetectorState>[],
  saved: Readonly<Record<string, DetectorState | undefined>> = {},
): Watch[] =>
  detectors
    .filter(({ family }) => family !== 'outlier')
    .map((detector) => ({ detector, state: restoreState(detector, saved[detector.name]) }))

/** What the contract says of it: shared by all series of the kind, and so most probably at hand. */
export function layoutNamed({ layout }: DeviceSeries, name: string): FieldLayout | undefined {
  const slot = layout.slotOf.get(name)
  return slot === undefined ? undefined : layout.fields[slot]
}

export function fieldNamed({ layout, fields }: DeviceSeries, name: string): FieldSeries | undefined {
  const slot = layout.slotOf.get(name)
  return slot === undefined ? undefined : fields[slot]
}
