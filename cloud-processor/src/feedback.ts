/**
 * What people say of an anomaly that they looked at: its detector, if it is one that learns, becomes bolder (it was one) or more careful
 * (it was none) about that series. It is said once of an anomaly, bounded by the detector, part of the state, and recorded beside the anomaly.
 */
import { createHash } from 'node:crypto'
import type { OperatorRequest } from '@tributary/protocol'
import type { Answer } from './alerts/index.ts'
import { fieldKey, linePrefix } from './line-protocol.ts'
import { fieldNamed } from './series.ts'
import { findSeries, type RecordedAnomaly } from './state.ts'
import type { AlertScope } from './tell.ts'

/** 12 hexadecimal digits: the same in a replay. */
export const anomalyId = ({ site, device, kind, field, detector, timeMs }: RecordedAnomaly): string =>
  createHash('sha256').update([site, device, kind, field, detector, timeMs].join('\n')).digest('hex').slice(0, 12)

const KEYS = {
  feedback: fieldKey('feedback'),
  by: fieldKey('feedback_by'),
  comment: fieldKey('feedback_comment'),
}

export function takeFeedback(
  { state, effects, receivedAtMs }: AlertScope,
  { action, anomaly: id, by, comment }: Extract<OperatorRequest, { action: 'confirm' | 'dismiss' }>,
): Answer {
  const at = state.anomalies.findIndex((one) => anomalyId(one) === id)
  const anomaly = state.anomalies[at]
  if (anomaly === undefined) return { outcome: 'unknown', detail: `no anomaly is ${id} (any more)` }
  const said = anomaly.feedback
  if (said)
    return { outcome: 'unchanged', detail: `${said.by} has ${said.what} it at ${new Date(said.atMs).toISOString()}` }
  const { site, device, kind, field, detector, timeMs } = anomaly
  const series = findSeries(state, site, device, kind)
  const watch = series && fieldNamed(series, field)?.watches.find((one) => one.detector.name === detector)
  const hear = watch?.detector[action]
  if (watch === undefined || hear === undefined)
    return {
      outcome: 'refused',
      detail: watch
        ? `${detector} goes by what the contract says and learns nothing: change the contract`
        : `${device} has no ${detector} of ${field || 'the device'} any more`,
    }
  hear(watch.state)
  const what = action === 'confirm' ? 'confirmed' : 'dismissed'
  state.anomalies[at] = { ...anomaly, feedback: { what, by, atMs: receivedAtMs } }
  const { lines } = effects
  const prefix = linePrefix('anomaly', { site, device, field, detector })
  lines.begin(prefix)
  lines.string(KEYS.feedback, what)
  lines.string(KEYS.by, by)
  if (comment !== '') lines.string(KEYS.comment, comment)
  lines.end(prefix, timeMs, 0, -1)
  return { outcome: 'done', detail: '' }
}
