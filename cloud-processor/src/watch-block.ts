/** Detectors and alerts: which readings they see, and what becomes of their verdicts. */
import type { DeviceBlock, FieldColumn } from '@tributary/protocol'
import type { VerdictChange } from './alerts/index.ts'
import type { BatchScope } from './batch-scope.ts'
import { type Detector, type DetectorState, NEVER_MS } from './detectors/index.ts'
import { NO_LIMITS, ownLimitOf, watchesFor } from './device-limits.ts'
import type { DeviceThreshold } from './device-record.ts'
import { fieldKey, linePrefix } from './line-protocol.ts'
import { type DeviceSeries, type FieldSeries, fieldNamed, pastWatches, type Watch } from './series.ts'
import { agentKeyOf } from './state.ts'
import { tell } from './tell.ts'

const ANOMALIES_KEPT = 100

/** The registry's limits of the device are what it is judged by from now on; alerts about limits that are gone end. */
export function followLimits(s: BatchScope, series: DeviceSeries, own: readonly DeviceThreshold[] = NO_LIMITS): void {
  if (series.ownThresholds === own) return
  const isSame = JSON.stringify(series.ownThresholds) === JSON.stringify(own)
  series.ownThresholds = own
  if (isSame || series.windows === undefined) return
  const { site, device, contract } = series
  for (const field of series.fields) {
    const saved = Object.fromEntries(field.watches.map(({ detector, state }) => [detector.name, state]))
    field.watches = watchesFor(contract, own, { site, device, field: field.name }, saved)
    field.past = undefined
    for (const detector of Object.keys(saved))
      if (!field.watches.some((watch) => watch.detector.name === detector)) {
        const place = { site, device, kind: contract.kind, field: field.name, detector }
        tell(s, s.context.engine.forget(s.state.alerts, place, `${device} has other limits now`))
      }
  }
}

/** Hands new readings to the detectors, in event-time order; what is older than the newest one seen is history. */
export function watchBlock(
  s: BatchScope,
  series: DeviceSeries,
  block: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
): void {
  const { timesMs } = block
  for (let c = 0; c < block.columns.length; c++) {
    const column = block.columns[c] as FieldColumn
    const field = fieldNamed(series, column.field)
    if (field === undefined || column.type === 'string') continue
    const refused = refusals[c] ?? null
    if (field.watches.length === 0) {
      rememberLast(field, column, refused, timesMs.length)
      continue
    }
    const rangeWatch =
      refused === null ? undefined : field.watches.find(({ detector }) => detector.family === 'out_of_range')
    for (let i = 0; i < timesMs.length; i++) {
      if (column.present !== null && column.present[i] === 0) continue
      if (refused?.[i] === 1) {
        if (rangeWatch) watchRefused(s, series, field, rangeWatch, timesMs[i] as number, column.values[i] as number)
        continue
      }
      const timeMs = timesMs[i] as number
      if (series.left || timeMs <= field.watchedThroughMs) {
        s.state.counters.historical += 1
        if (!series.left) watchPast(s, series, field, timeMs, column.values[i] as number)
        continue
      }
      const value = column.values[i] as number
      field.watchedThroughMs = timeMs
      field.lastValue = value
      for (const { detector, state } of field.watches) {
        const verdict = detector.observe(state, timeMs, value)
        if (verdict) judge(s, { ...changeOf(s, series, field.name, detector, timeMs), verdict, value, live: s.live })
      }
    }
    rememberLast(field, column, refused, timesMs.length)
  }
}

/** A value that was refused for its range is nothing to learn from, but to be told of; an old one to be recorded. */
function watchRefused(
  s: BatchScope,
  series: DeviceSeries,
  field: FieldSeries,
  present: Watch,
  timeMs: number,
  value: number,
): void {
  if (series.left || inRange(field, value)) return
  const past = timeMs <= field.watchedThroughMs
  const { detector } = present
  const { state } = past ? (pastOf(field).watches.find((one) => one.detector.name === detector.name) as Watch) : present
  const verdict = detector.observe(state, timeMs, value)
  if (!verdict) return
  judge(s, { ...changeOf(s, series, field.name, detector, timeMs), verdict, value, live: s.live && !past, past })
}

/**
 * Explicit detectors judge old readings, too, with memories of their own, and nobody is told: what they say is recorded as history.
 * Learned ones do not: what is usual now says nothing of then. What is older than that history, too, is not judged any more.
 */
function watchPast(s: BatchScope, series: DeviceSeries, field: FieldSeries, timeMs: number, value: number): void {
  const past = pastOf(field)
  if (timeMs <= past.throughMs) return
  past.throughMs = timeMs
  for (const { detector, state } of past.watches) {
    const verdict = detector.observe(state, timeMs, value)
    if (verdict)
      judge(s, { ...changeOf(s, series, field.name, detector, timeMs), verdict, value, live: false, past: true })
  }
}

function pastOf(field: FieldSeries): NonNullable<FieldSeries['past']> {
  field.past ??= { throughMs: NEVER_MS, watches: pastWatches(field.watches.map(({ detector }) => detector)) }
  return field.past
}

const changeOf = (
  s: BatchScope,
  series: DeviceSeries,
  field: string,
  detector: Detector<DetectorState>,
  atMs: number,
) => ({
  agent: agentKeyOf(s.agent),
  site: series.site,
  device: series.device,
  kind: series.contract.kind,
  field,
  detector,
  ownLimit: ownLimitOf(series, field, detector.name),
  atMs,
})

/**
 * The last value of the column is what the next one is compared with by `largest_step`, also when it was refused for its step:
 * else one step to a new level would refuse all that follows.
 */
function rememberLast(field: FieldSeries, column: FieldColumn, refused: Uint8Array | null, count: number): void {
  if (column.type !== 'number') return
  for (let i = count - 1; i >= 0; i--) {
    if (column.present !== null && column.present[i] === 0) continue
    const value = column.values[i] as number
    if (!Number.isFinite(value)) continue
    if (refused?.[i] === 1 && !inRange(field, value)) continue
    field.lastValue = value
    return
  }
}

const inRange = (field: FieldSeries, value: number): boolean => value >= field.low && value <= field.high

export function judgeSilence(s: BatchScope, series: DeviceSeries, completeThroughMs: number): void {
  if (series.left || series.silence === undefined || series.silenceState === undefined) return
  const verdict = series.silence.judge(series.silenceState, { lastSampleMs: series.newestMs, completeThroughMs })
  if (verdict)
    judge(s, {
      agent: agentKeyOf(s.agent),
      site: series.site,
      device: series.device,
      kind: series.contract.kind,
      field: '',
      detector: series.silence,
      verdict,
      value: verdict.value,
      atMs: verdict.timeMs,
      live: s.live,
    })
}

const ANOMALY_KEYS = {
  kind: fieldKey('kind'),
  value: fieldKey('value'),
  score: fieldKey('score'),
  expected: fieldKey('expected'),
  lower: fieldKey('lower'),
  upper: fieldKey('upper'),
  message: fieldKey('message'),
  component: fieldKey('component'),
}

/** An anomaly into the store, and what comes of a verdict for alerts. */
export function judge(s: BatchScope, change: VerdictChange): void {
  const { verdict, site, device, kind, field, detector, atMs, value } = change
  if (verdict.anomalous) {
    const { lines, anomalies } = s.effects
    const prefix = linePrefix('anomaly', { site, device, field, detector: detector.name })
    lines.begin(prefix)
    lines.string(ANOMALY_KEYS.kind, kind)
    for (const [key, number] of [
      [ANOMALY_KEYS.value, value],
      [ANOMALY_KEYS.score, verdict.score],
      [ANOMALY_KEYS.expected, verdict.expected],
      [ANOMALY_KEYS.lower, verdict.lower],
      [ANOMALY_KEYS.upper, verdict.upper],
    ] as const)
      if (number !== undefined && Number.isFinite(number)) lines.float(key, number, 1000)
    lines.string(ANOMALY_KEYS.message, verdict.message)
    if (verdict.component !== '') lines.string(ANOMALY_KEYS.component, verdict.component)
    lines.end(prefix, atMs, 0, -1)
    const recorded = {
      site,
      device,
      kind,
      field,
      detector: detector.name,
      timeMs: atMs,
      value,
      score: verdict.score,
      expected: verdict.expected ?? null,
      lower: verdict.lower ?? null,
      upper: verdict.upper ?? null,
      component: verdict.component,
      message: verdict.message,
    }
    anomalies.push(recorded)
    s.state.anomalies.push(recorded)
    if (s.state.anomalies.length > ANOMALIES_KEPT) s.state.anomalies.shift()
    s.state.counters.anomalies += 1
  }
  tell(s, s.context.engine.judge(s.state.alerts, change))
}
