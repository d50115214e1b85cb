/**
 * What is wrong with samples, as points of measurement `data_quality`: late, with a time that was corrected or that nobody vouches for,
 * in breach of their contract.
 *
 * Guarantee: a batch makes one point a device, field and issue at most, and the same ones when it is processed again. Not: a word of
 * readings that are requeued; it was said when they were refused.
 */
import type { BatchHeader, DeviceBlock } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { fieldKey, linePrefix, lineTags } from './line-protocol.ts'
import type { DeviceSeries } from './series.ts'

export interface QualityIssue {
  /** A rule of the contract as dead letters and marks name it, or `late`, `late_beyond_memory`, `time_…`. */
  readonly issue: string
  /** '': the whole sample. */
  readonly field: string
  /** What became of a violation. */
  readonly policy: 'reject' | 'flag' | ''
}

/** An issue with samples of one block. */
export interface QualityFinding extends QualityIssue {
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly series: DeviceSeries | undefined
  /** Event time of the first of them. */
  readonly timeMs: number
  readonly samples: number
}

/** @param samples indices into the times */
export function noteIssue(
  s: BatchScope,
  series: DeviceSeries,
  issue: QualityIssue,
  timesMs: Float64Array,
  samples: readonly number[],
): void {
  if (samples.length === 0) return
  const { site, device, contract } = series
  const timeMs = samples.reduce((first, i) => Math.min(first, timesMs[i] as number), Number.POSITIVE_INFINITY)
  s.quality.push({ ...issue, site, device, kind: contract.kind, series, timeMs, samples: samples.length })
}

/** Whole samples that were refused before anything was known of their series. @param timeMs when the first was measured, or came */
export function noteRefusedSamples(
  s: BatchScope,
  site: string,
  { device, kind }: DeviceBlock,
  issue: 'unknown_kind' | 'time_in_future',
  timeMs: number,
  samples: number,
): void {
  s.quality.push({ issue, field: '', policy: 'reject', site, device, kind, series: undefined, timeMs, samples })
}

/** Times that the agent stamped while nobody vouched for its clock. */
export function noteClock(
  s: BatchScope,
  series: DeviceSeries,
  { timesMs, stampedByAgent }: DeviceBlock,
  { clockQuality }: Pick<BatchHeader, 'clockQuality'>,
): void {
  if (clockQuality === 'trusted' || !stampedByAgent) return
  noteIssue(s, series, { issue: `time_${clockQuality}`, field: '', policy: '' }, timesMs, [...timesMs.keys()])
}

/** Samples [from, to), of which at least one reading was stored. */
export function noteLate(
  s: BatchScope,
  series: DeviceSeries,
  isInMemory: boolean,
  { timesMs, columns }: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
  from: number,
  to: number,
): void {
  const samples: number[] = []
  for (let i = from; i < to; i++)
    if (columns.some(({ present }, c) => present?.[i] !== 0 && refusals[c]?.[i] !== 1)) samples.push(i)
  noteIssue(s, series, { issue: isInMemory ? 'late' : 'late_beyond_memory', field: '', policy: '' }, timesMs, samples)
}

const KEYS = { kind: fieldKey('kind'), policy: fieldKey('policy'), samples: fieldKey('samples') }

/** At the end of the step of a batch. */
export function writeQuality({ quality, effects: { lines } }: BatchScope): void {
  const points = new Map<string, { kind: string; policy: string; timeMs: number; samples: number }>()
  for (const finding of quality) {
    const { site, device, kind, issue, policy, timeMs, samples } = finding
    const tags = lineTags({ site, device, field: namedField(finding), issue })
    const point = points.get(tags)
    if (point === undefined) points.set(tags, { kind, policy, timeMs, samples })
    else {
      point.timeMs = Math.min(point.timeMs, timeMs)
      point.samples += samples
    }
  }
  for (const [tags, { kind, policy, timeMs, samples }] of points) {
    const prefix = linePrefix('data_quality', tags)
    lines.begin(prefix)
    lines.string(KEYS.kind, kind)
    if (policy !== '') lines.string(KEYS.policy, policy)
    lines.integer(KEYS.samples, samples)
    lines.end(prefix, timeMs, 0, -1)
  }
}

/** Names of fields that are not in the contract are the device's own: those that are remembered stand, the others would be tags without end. */
function namedField({ field, series }: QualityFinding): string {
  return series?.layout.slotOf.has(field) || series?.shape.extras.has(field) ? field : ''
}
